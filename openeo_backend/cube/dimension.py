"""What openEO knows about a dimension beside its labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from openeo_backend.errors import OpenEOError

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

    def __post_init__(self) -> None:
        """:raises OpenEOError: ProcessParameterInvalid for a name that nothing could write down."""
        if not self.name.strip() or not self.name.isprintable():
            raise OpenEOError(
                "ProcessParameterInvalid",
                f"{self.name[:50]!r} is no name of a dimension: it is empty, or holds control characters.",
            )

    def patch(self, **changes: Any) -> Dimension:
        """A copy with the given fields changed."""
        return replace(self, **changes)


def relabelled(dimension: Dimension) -> Dimension:
    """A dimension whose labels become 0, 1, 2 ... or others: no longer regular, and no longer of geometries."""
    return dimension.patch(step=None, type="other" if dimension.type == "geometry" else dimension.type)
