"""What openEO knows about a dimension beside its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

DimensionType = Literal["spatial", "temporal", "bands", "geometry", "other"]


@dataclass(frozen=True)
class Dimension:
    """A dimension of a cube; its labels are the coordinate of the same name in the cube's data."""

    name: str
    """Name of the dimension, as process graphs use it."""

    type: DimensionType
    """The openEO dimension type. Never guessed from the name."""

    axis: Literal["x", "y", "z"] | None = None
    """Axis of a spatial dimension, else None."""

    step: float | None = None
    """Signed distance between neighbouring labels of a regular spatial axis, in units of the CRS.
    It keeps the pixel size of an axis with one label; y is usually negative."""

    unit: str | None = None
    """Unit of the labels, where they have one that the CRS does not tell."""

    def patch(self, **changes: Any) -> Dimension:
        """A copy with the given fields changed."""
        return replace(self, **changes)
