"""Windows cut into compressed tiles of GeoTIFFs, where the windows are computed, perhaps on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from openeo_backend.formats.images import Part
from openeo_backend.formats.statistics import Statistics, measure
from openeo_backend.formats.targets import Target
from openeo_backend.formats.tiff import Codec
from openeo_backend.formats.tiles import Cutter, Cuttings


@dataclass(frozen=True)
class Sheet:
    """A file to be written, and how it is cut into tiles."""

    file: int
    """Its index among all."""
    target: Target
    cutter: Cutter


@dataclass(frozen=True)
class Piece:
    """What a window gives to a file."""

    file: int
    plane: int
    """Index of the first band in the file."""
    statistics: list[Statistics]
    """One per band."""
    cuttings: Cuttings[list[bytes]]


@dataclass(frozen=True)
class Cut:
    """Makes pieces of windows. It holds no pixels, so that it can be sent to where they are computed."""

    sheets: Mapping[int, Sequence[Sheet]]
    """By image."""
    codec: Codec
    nodata: float | None

    def __call__(self, part: Part) -> list[Piece]:
        """The pieces of all files that the window reaches into."""
        return [piece for sheet in self.sheets[part.image] if (piece := self._piece(sheet, part)) is not None]

    def _piece(self, sheet: Sheet, part: Part) -> Piece | None:
        target = sheet.target
        planes = range(max(part.plane, target.planes.start), min(part.plane + len(part.values), target.planes.stop))
        rows, columns = part.values.shape[1:]
        y0, y1 = max(part.top, target.rows.start), min(part.top + rows, target.rows.stop)
        x0, x1 = max(part.left, target.columns.start), min(part.left + columns, target.columns.stop)
        if not planes or y0 >= y1 or x0 >= x1:
            return None
        own = slice(planes.start - part.plane, planes.stop - part.plane)
        values = part.values[own, y0 - part.top : y1 - part.top, x0 - part.left : x1 - part.left]
        statistics = [measure(band, self.nodata) for band in values]
        top, left = y0 - target.rows.start, x0 - target.columns.start
        cuttings = sheet.cutter.cut(top, left, values, partial(encode, self.codec))
        return Piece(sheet.file, planes.start - target.planes.start, statistics, cuttings)


def encode(codec: Codec, values: np.ndarray) -> list[bytes]:
    """The compressed tile of each band."""
    return [codec.encode(plane) for plane in values]
