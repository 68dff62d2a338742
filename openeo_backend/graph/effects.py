"""What processes declare about the extents they need, so that filters can move into the loads before them.

One declaration per process replaces a second, "dry" evaluation of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["spatial", "temporal", "bands"]


@dataclass(frozen=True)
class Keep:
    """The process needs no more of its cube than what is needed of its result."""


@dataclass(frozen=True)
class Block:
    """The process needs its whole cube: filters after it say nothing about the data before it."""


@dataclass(frozen=True)
class Narrow:
    """The process keeps only what its argument says; that argument narrows the loads before it."""

    argument: str

    alone: bool = False
    """Filters after the process say nothing about its cube: it needs all that its argument says."""


@dataclass(frozen=True)
class Widen:
    """The process needs a margin of pixels around what is needed of its result (kernels, resampling)."""

    pixels: int = 0
    """A fixed margin."""

    argument: str | None = None
    """An argument that tells the margin: a number, a kernel (list of lists) or an overlap of apply_neighborhood."""


Need = Keep | Block | Narrow | Widen


@dataclass(frozen=True)
class Coarsen:
    """The process replaces its cube's pixels by means over larger ones, where its arguments say so."""


@dataclass(frozen=True)
class Effect:
    """How one process passes needed extents from its result to the cubes in its arguments."""

    spatial: Need = field(default_factory=Keep)
    temporal: Need = field(default_factory=Keep)
    bands: Need = field(default_factory=Keep)

    coarse: Coarsen | Keep | Block = field(default_factory=Block)
    """Whether means over larger pixels of its cube give those of its result: Keep where it only leaves dates or bands
    out. All others must have every pixel."""

    along: str | None = None
    """Name of the argument that names a dimension the process consumes or changes: filters after the process
    say nothing about that dimension before it."""

    cubes: tuple[str, ...] = ("data",)
    """Arguments that carry cubes with these needs; cubes in other arguments are needed whole."""

    all_bands: tuple[str, ...] = ()
    """Those of `cubes` whose bands are not the bands of the result: all of them are needed."""

    def need(self, kind: Kind) -> Need:
        return {"spatial": self.spatial, "temporal": self.temporal, "bands": self.bands}[kind]


#: The process reads every value it is given, wherever later filters look.
BLOCKED = Effect(Block(), Block(), Block())


@dataclass(frozen=True)
class Means:
    """Nothing but means over larger pixels is needed: the arguments of the resampling that makes them."""

    resolution: tuple[float, float]
    projection: int | str | None
    align: str


@dataclass(frozen=True)
class LoadHints:
    """What the rest of the graph needs of one load; None means no restriction is known."""

    spatial: tuple[Any, ...] = ()
    """Extents (bounding boxes as mappings, GeoJSON, cubes) that all apply, as in the arguments."""

    temporal: tuple[tuple[str | None, str | None], ...] = ()
    """Half-open intervals that all apply."""

    bands: tuple[str, ...] | None = None
    """Names (or common names) of the only bands needed, from filter_bands."""

    margin: int = 0
    """Pixels needed around the spatial extents."""

    means: Means | None = None
    """Set where the cube is only needed as means over larger pixels."""
