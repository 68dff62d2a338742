"""What goes into a run and what comes out: plain data that crosses process borders as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class RunRequest:
    """One evaluation of a process."""

    id: str
    """Id of the job or synchronous request; prefixes nothing, only names."""
    process: Mapping[str, Any]
    """The process as sent: at least `process_graph`."""
    folder: Path
    """Empty folder for the result files and `result.json`."""
    user: str | None = None
    """Id of the user; None for the operator's command line."""
    roles: Sequence[str] | None = ()
    """Roles by which collections may be loaded; None for the operator, who may load all."""
    title: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values for the parameters of the process."""
    processes: Mapping[str, Any] = field(default_factory=dict)
    """The user's stored processes that the graph may call, by id."""
    remote: Sequence[Mapping[str, Any]] = ()
    """Processes by URL as they are to be used; see :meth:`openeo_backend.run.remote.PinnedProcesses.pins`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    log_level: str = "info"
    limit_samples: float | None = None
    """Most input samples; more is ProcessGraphComplexity."""
    seconds: float | None = None
    """Deadline."""
    memory_mb: float | None = None
    """Most memory; None for what the machine has."""
    threads: int | None = None
    """Threads that compute; None for what the settings say."""
    mode: Literal["run", "estimate"] = "run"
    """`estimate` reads no pixels and writes no files; its outcome is the value {items, samples, bytes, files}."""
    is_plain: bool = False
    """Whether a process may compute it that goes on for others; see :func:`openeo_backend.run.plain.is_plain`."""
    is_checked: bool = False
    """Whether who sends it has just planned it, under the same settings, and found no problems."""
    previews: bool = False
    """Add a picture (PNG, role thumbnail) of the first GeoTIFF of each result."""

    def json(self) -> dict[str, Any]:
        """The request as JSON."""
        return {**vars(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RunRequest:
        """The request that :meth:`json` wrote."""
        return cls(**{**raw, "folder": Path(raw["folder"])})


@dataclass(frozen=True)
class Event:
    """News of a run, in order."""

    kind: Literal["log", "progress", "usage", "place"]
    data: Mapping[str, Any]
    """log: an openEO log entry without id (level, message, time, code, path, data);
    progress: {"percent"}, never falling; usage: openEO usage metrics by name ({value, unit});
    place: {"node_id", "process_id"} of the result that is computed from now on, for who has to tell how it ended."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. Exactly one of `files`/`value` (success) and `error` is meaningful."""

    files: tuple[Mapping[str, Any], ...] = ()
    """One description per file: name, media_type, title, roles, size, bands, proj, bbox, start, end, dimensions,
    node."""
    value: Any = None
    """The bare JSON value of a graph that ends in one (number, string, array ...), when `has_value`."""
    has_value: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """items, collections, licenses, providers, notes."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    """openEO error (code, message, path, status) when the run failed."""
    cancelled: bool = False
    waiting_for: str | None = None
    """The job id or URL of the results that are not there yet and that the graph loads; `error` says it, too."""
    lost: str | None = None
    """Why the process that computed died (out of memory, killed), when it did; `error` says it to the user."""

    def json(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return dict(vars(self))
