"""Reducing all pixels of a cube, so that no more than a block is in memory where the reducer allows it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph

from openeo_backend.cube import blocks, fusion
from openeo_backend.cube.blocks import Function
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.moments import Moments, Statistic, combinable, finish, measure_all
from openeo_backend.cube.storage import Storage
from openeo_backend.graph import trace


def reduce_pixels(cube: Cube, function: Function, y: str, x: str) -> Cube:
    """The cube without the dimensions y and x: `function(PixelArray)` of all pixels, row by row.

    Statistics that can be combined are taken block by block; other functions get all pixels of a plane at once.

    :raises OpenEOError: as :func:`blocks.reduce`.
    """
    source = Storage.of(cube)
    statistic = combinable(function, source)
    if not cube.is_lazy or not cube.data.size:
        return blocks.reduce(cube, function, [y, x])
    if statistic is None:
        return blocks.reduce(_by_plane(cube, (y, x)), function, [y, x])
    plain = blocks.reduce(cube, function, [y, x])
    values = cube.data.transpose(y, x, *plain.names).data
    return plain.patch(data=plain.data.copy(data=_joined(values, _Work(statistic, source, Storage.of(plain)))))


def _by_plane(cube: Cube, axes: Sequence[str]) -> Cube:
    """The cube so that what is loaded for one plane is nothing of the others, where it comes as it is loaded."""
    data = cube.data.data
    if all(len(cube.data.chunksizes[axis]) == 1 for axis in axes):
        return cube
    chunks = tuple(
        sizes if name in axes else (1,) * sum(sizes) for name, sizes in zip(cube.names, data.chunks, strict=True)
    )
    found = fusion.recut(data, chunks)
    return cube if found is None else cube.patch(data=cube.data.copy(data=found))


@dataclass(frozen=True, eq=False)
class _Work:
    """A statistic, and how the values it is of and its results are stored."""

    statistic: Statistic
    source: Storage
    target: Storage

    def measure(self, values: np.ndarray) -> Moments:
        """Of one block (rows, columns, others)."""
        return measure_all(np.asarray(values), self.source, self.statistic)

    def finish(self, parts: Sequence[Moments]) -> np.ndarray:
        """Of all blocks."""
        return cast(np.ndarray, finish(parts, self.statistic, self.source, self.target)[1][0])


def _joined(data: da.Array, work: _Work) -> da.Array:
    """The statistic of (rows, columns, others): one task per block, and one that joins those of each part of others."""
    name = f"overall-{uuid.uuid4().hex}"
    measure, finish = trace.located(work.measure), trace.located(work.finish)
    tasks: dict[Any, Any] = {}
    for index in product(*map(range, data.numblocks[2:])):
        parts = []
        for place in product(*map(range, data.numblocks[:2])):
            part = (f"{name}-part", *place, *index)
            tasks[part] = (measure, (data.name, *place, *index))
            parts.append(part)
        tasks[(name, *index)] = (finish, parts)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, [data]))
    return da.Array(graph, name, chunks=data.chunks[2:], dtype=work.target.dtype)
