"""Calling processes on vector cubes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from vector_support import MODULES, call_process

from openeo_backend.processes.registry import Registry


@pytest.fixture(scope="session")
def vector_registry() -> Registry:
    return Registry.build(MODULES)


@pytest.fixture
def call(vector_registry: Registry) -> Callable[..., Any]:
    """`call(process_id, **arguments)`."""
    return partial(call_process, vector_registry)
