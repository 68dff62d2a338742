"""The work of a child process of the server: one request, which may load results of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openeo_backend.jobs.input import OwnResults
from openeo_backend.run import child
from openeo_backend.sandbox.child import Emit


def work(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """See :func:`openeo_backend.run.child.work`."""
    return child.work(payload, emit, OwnResults)


def prepare(payload: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
    """See :func:`openeo_backend.run.child.prepare`."""
    return child.prepare(payload, emit, OwnResults)
