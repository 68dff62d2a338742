"""Calling processes on cubes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cube_support import MODULES, call_process

from openeo_backend.processes.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.build(MODULES)


@pytest.fixture
def call(registry: Registry) -> Callable[..., Any]:
    """`call(process_id, **arguments)`."""
    return partial(call_process, registry)
