"""What requests for processing have in common, synchronous ones and batch jobs alike."""

from __future__ import annotations

from typing import Any

from openeo_backend.errors import OpenEOError

LOG_LEVELS = ("debug", "info", "warning", "error")


def process_of(body: dict[str, Any]) -> dict[str, Any]:
    """The process that a request brings.

    :raises OpenEOError: ProcessGraphMissing without one; RequestInvalid where it is not an object.
    """
    process = body.get("process")
    if process is None:
        raise OpenEOError(
            "ProcessGraphMissing",
            "The request brings no process.",
            hint='Put it into the member \'process\': {"process": {"process_graph": {...}}}.',
        )
    if not isinstance(process, dict):
        raise OpenEOError("RequestInvalid", "The member 'process' is not an object.")
    check_process(process)
    return process


def check_process(process: dict[str, Any]) -> None:
    """Look whether a process has a graph at all.

    :raises OpenEOError: ProcessGraphMissing, or ProcessGraphInvalid where it is not an object.
    """
    graph = process.get("process_graph")
    if graph is None:
        raise OpenEOError("ProcessGraphMissing", "The process has no member 'process_graph'.")
    if not isinstance(graph, dict):
        raise OpenEOError("ProcessGraphInvalid", "The member 'process_graph' is not an object of nodes by id.")


def log_level_of(body: dict[str, Any]) -> str:
    """The least severe level that is to be logged; `info` by default.

    :raises OpenEOError: RequestInvalid for an unknown level.
    """
    level = body.get("log_level")
    if level is None:
        return "info"
    if level not in LOG_LEVELS:
        raise OpenEOError("RequestInvalid", f"The log_level {level!r} is none of {', '.join(LOG_LEVELS)}.")
    return str(level)
