"""What a load asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from odc.geo.geobox import GeoBox

from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import LoadHints


@dataclass(frozen=True, eq=False)
class LoadRequest:
    """The arguments of a load, as the process received them.

    What later processes need beside (`env.hint`) is taken into account by the catalog, not here.
    """

    spatial_extent: Any = None
    """Bounding box, GeoJSON or vector cube; None sets no limit."""

    temporal_extent: Any = None
    """[start, end) as texts, one of them may be None; None sets no limit."""

    bands: tuple[str, ...] | None = None
    """Names or common names, in the order wanted; None means all."""

    properties: Mapping[str, Callback] = field(default_factory=dict)
    """A condition per property; all must hold."""

    most: float | None = None
    """Most samples (pixels x bands x dates) that may be read; a load of more is refused before anything is opened."""

    is_expected: bool = False
    """Whether the least that it reads (:meth:`Catalog.least`) was compared with that before."""

    geobox: GeoBox | None = None
    """The grid to load on instead of the one that the data suggest."""


class Log(Protocol):
    """Where a load tells the user what it does."""

    def __call__(self, level: Any, message: str) -> None: ...


class Surroundings(Protocol):
    """What a load needs of the `env` of its process."""

    @property
    def user(self) -> str | None: ...

    def scratch(self) -> Path: ...

    @property
    def log(self) -> Log: ...

    @property
    def hint(self) -> LoadHints: ...

    @property
    def options(self) -> Mapping[str, Any]: ...
