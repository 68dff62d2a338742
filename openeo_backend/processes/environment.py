"""What a process may reach beside its arguments: handed to it as `env`, made by :mod:`openeo_backend.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, Literal, Protocol

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.graph.nodes import Node

#: Name of the folder of scratch files, beside the results.
SCRATCH = ".scratch"

#: Services of processes that are called for blocks of pixels.
_IN_CALLBACKS = ("udf.externally",)

Level = Literal["debug", "info", "warning", "error"]


class Log(Protocol):
    """Where the entries of the user's log go (job logs, the monitor link of a synchronous request)."""

    def __call__(
        self, level: Level, message: str, *, data: Any = None, node: str | None = None, code: str = ""
    ) -> None: ...


class Collections(Protocol):
    """Loading by collection id or STAC address: :mod:`openeo_backend.catalog` behind one seam."""

    def load(self, id: str, request: Any, env: Env) -> Cube: ...

    def load_url(self, url: str, request: Any, env: Env) -> Cube: ...

    def load_result(self, id: str, request: Any, env: Env) -> Cube: ...


def _unheard(level: Level, message: str, *, data: Any = None, node: str | None = None, code: str = "") -> None:
    """Where log entries go of what runs in other processes."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one evaluation."""

    elements: int = 100_000_000
    """Largest number of elements an array made by a process may have outside of cubes."""

    text: int = 1_000_000
    """Longest text in characters."""

    features: int = 100_000
    """Most geometries of a vector cube."""

    seconds: float | None = None


@dataclass(frozen=True)
class Saved:
    """What save_result (or the end of a graph without one) hands to the writers."""

    value: Any
    format: str
    options: Mapping[str, Any]
    node: str


@dataclass(frozen=True, eq=False)
class StacResource:
    """The STAC Collection of a saved result, which is made when the result is written."""

    subtype: ClassVar[str] = "stac"

    saved: Saved
    changes: tuple[Mapping[str, Any], ...] = ()
    """JSON Merge Patches of the Collection, in order."""


@dataclass(frozen=True, eq=False)
class Export:
    """What an export leaves to be done when the results are written."""

    data: StacResource | Mapping[str, Any]
    """Of a result, or a STAC document."""
    target: str
    """Identifier of the workspace or collection."""
    kind: Literal["workspace", "collection"]
    merge: str | None
    """Path in the workspace of the resource to merge into."""
    node: str


@dataclass(frozen=True)
class Env:
    """The surroundings of one node's evaluation."""

    log: Log
    user: str | None = None
    """Id of the user the graph runs for; None for the operator's command line."""

    node: str = ""
    """Id of the node being evaluated."""

    collections: Collections | None = None
    hints: Mapping[str, LoadHints] = field(default_factory=dict)
    """Needed extents by load node, from the push-down."""

    saved: list[Saved] = field(default_factory=list)
    """Filled by save_result, in order."""

    exports: list[Export] = field(default_factory=list)
    """Filled by the processes that export, in order."""

    download: Callable[[str, Path], None] | None = None
    """`download(url, file)`: the guarded way to outside files."""

    folder: Path | None = None
    """Folder of the results of this evaluation."""

    limits: Limits = field(default_factory=Limits)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Job options, e.g. `soft_errors`."""

    services: Mapping[str, Any] = field(default_factory=dict)
    """What the operator configured for processes that need it, by the name in `requires`."""

    def __getstate__(self) -> dict[str, Any]:
        """What callbacks need that run in another process (a worker of a cluster): no log, no other way out than that
        of a process that is made for callbacks."""
        kept = {name: vars(self)[name] for name in ("user", "node", "limits", "options")}
        kept["services"] = {name: self.services[name] for name in _IN_CALLBACKS if name in self.services}
        return {**vars(Env(log=_unheard)), **kept}

    def at(self, node: Node) -> Env:
        """The surroundings of `node`."""
        return replace(self, node=node.id)

    def service(self, name: str) -> Any:
        """What the operator configured for a process, by the name in its `requires`.

        :raises OpenEOError: FeatureUnsupported where that is nothing.
        """
        if name not in self.services:
            raise OpenEOError("FeatureUnsupported", f"The setting {name} is not set here.")
        return self.services[name]

    def scratch(self) -> Path:
        """A new folder for files that are needed until the results are written, and deleted then."""
        if self.folder is not None:
            (self.folder / SCRATCH).mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(dir=self.folder and self.folder / SCRATCH))

    @property
    def hint(self) -> LoadHints:
        """What the rest of the graph needs of this node, if it loads data."""
        return self.hints.get(self.node, LoadHints())
