"""Merging two data cubes."""

from __future__ import annotations

from typing import Any

from openeo_backend.cube import Cube
from openeo_backend.cube.merging import merge
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.effects import Effect
from openeo_backend.processes.registry import process


@process("merge_cubes", effect=Effect(cubes=("cube1", "cube2")))
def merge_cubes(cube1: Cube, cube2: Cube, overlap_resolver: Callback | None = None, context: Any = None) -> Cube:
    """One cube with the labels of both; see :func:`openeo_backend.cube.merging.merge`."""
    return merge(cube1, cube2, overlap_resolver, context)
