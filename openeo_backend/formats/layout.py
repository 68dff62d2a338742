"""A cube as one variable per band over all its other dimensions, in chunks. Used by netCDF and Zarr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.formats.asset import AssetBand, Progress
from openeo_backend.formats.blocks import stream
from openeo_backend.formats.chunks import Chunking, Encoded
from openeo_backend.formats.images import Plane, Storage, choose_storage, describe_band
from openeo_backend.formats.names import UNNAMED, distinct, text
from openeo_backend.formats.statistics import Statistics, measure
from openeo_backend.formats.tiles import TILE_BUDGET, Cuttings

#: Length of chunks along x and y, and of the first other dimension; series of a pixel then lie in few chunks.
TILE, DEPTH = 256, 16

#: Shortest length of chunks along x and y, for cubes with very many other labels.
SMALLEST_TILE = 32


@dataclass(frozen=True)
class Part:
    """Chunks of some bands in one window."""

    first: int
    """Index of the first band."""
    bands: list[Cuttings[Encoded]]
    statistics: list[Statistics]


@dataclass(frozen=True)
class _Finish:
    """What is done where a window is computed: all it needs, without the cube."""

    storage: Storage
    chunking: Chunking

    def __call__(self, values: np.ndarray, place: tuple[slice, ...]) -> Part:
        stored = self.storage.apply(values)
        statistics = [measure(band, self.storage.nodata) for band in stored]
        return Part(place[0].start, [self.chunking.cut(place[1:], band) for band in stored], statistics)


@dataclass(frozen=True)
class Layout:
    """A cube as variables: bands first, then the dimensions of each variable."""

    cube: Cube
    array: Any
    """(bands, dimensions ...); the last two axes are y and x, or stand in for them with length 1."""
    planes: tuple[Plane, ...]
    dimensions: tuple[Dimension, ...]
    """Those of every variable, in order."""
    storage: Storage
    tiled: bool
    """Whether the last two axes are y and x."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each band, with stand-ins."""
        return tuple(int(length) for length in self.array.shape[1:])

    def chunks(self, bands: int) -> tuple[int, ...]:
        """Lengths of chunks of a file with so many bands: tiles of y and x, one label of other dimensions, but
        several of the first. Tiles are smaller where very many labels lie over each other."""
        leading = self.shape[:-2]
        if not self.tiled:
            return (*(min(length, 1024) for length in leading), 1, 1)
        side = TILE
        while side > SMALLEST_TILE and bands * prod(leading) * side**2 * self.storage.dtype.itemsize > TILE_BUDGET:
            side //= 2
        depth = (min(length, DEPTH) if axis == 0 else 1 for axis, length in enumerate(leading))
        side = min(side, max(self.shape[-2:]))
        return (*depth, side, side)

    def chunking(self, bands: int, compress: Callable[[np.ndarray], bytes]) -> Chunking:
        """How files with so many bands are cut into chunks."""
        fill = self.storage.nodata
        return Chunking(self.shape, self.chunks(bands), 0 if fill is None else fill, compress)

    def parts(self, chunking: Chunking, progress: Progress, folder: Path) -> Iterator[Part]:
        """All windows, computed once.

        :param folder: where what is made of them may wait.
        """
        finish = _Finish(self.storage, chunking)
        apart = {0: 1} | dict.fromkeys((self.array.ndim - 2, self.array.ndim - 1), TILE)
        for block in stream(self.array, finish, progress, apart=apart, order="shared", folder=folder):
            yield block.result

    def describe(self, index: int, stats: Statistics) -> AssetBand:
        """The metadata of one written band."""
        return describe_band(self.planes[index], self.storage, stats)


def arrange(cube: Cube, options: Mapping[str, Any]) -> Layout:
    """Bands to the front, y and x to the back, everything else in the cube's own order; values still lazy."""
    bands = cube.of_type("bands")[:1]
    x, y = cube.axis("x"), cube.axis("y")
    spatial = (y, x) if x is not None and y is not None else ()
    rest = [d for d in cube.dimensions if d not in bands and d not in spatial]
    dimensions = (*rest, *(d for d in spatial if d is not None))
    data = cube.data.transpose(*(d.name for d in (*bands, *dimensions))).data
    if not bands:
        data = data[None]
    if not spatial:
        data = data[..., None, None]
    if bands:
        labels = [text(label) for label in cube.labels(bands[0].name)]
        planes = tuple(Plane(label, cube.bands[label]) if label in cube.bands else Plane(label) for label in labels)
    else:
        planes = (Plane(UNNAMED),)
    names = distinct(plane.name for plane in planes)
    planes = tuple(replace(plane, name=name) for plane, name in zip(planes, names, strict=True))
    return Layout(cube, data, planes, dimensions, choose_storage(cube, options), bool(spatial))
