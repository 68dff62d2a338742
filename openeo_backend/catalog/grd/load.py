"""Cubes of radar images: digital numbers when loaded, backscatter when a process asks for it (docs/adr on radar)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dask.array as da
import numpy as np
import shapely
import xarray as xr
from affine import Affine
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.grd.blocks import Acquisition, Imager, Wanted
from openeo_backend.catalog.grd.product import images, is_grd
from openeo_backend.catalog.grid import crs_of, lay
from openeo_backend.catalog.handles import Handles
from openeo_backend.catalog.load import LONLAT, Assembler, Assembly
from openeo_backend.catalog.mosaic import Step
from openeo_backend.cube import Band, Cube, memory
from openeo_backend.cube.extent import reproject
from openeo_backend.cube.grid import choose_utm, need_geobox
from openeo_backend.errors import OpenEOError

#: Sides of blocks in pixels: the largest is taken that all threads may compute within the memory planned with. The
#: terrain around blocks, which they are computed with, is the less the larger they are.
_SIDES = (768, 512, 384, 256)

#: Bytes that computing a pixel takes, with all that is found out about it.
_PIXEL_BYTES = 550

#: Layers of a dask graph that only choose among values.
_CHOOSING = ("getitem", "rechunk", "take", "shuffle-take", "transpose")

#: Distance of pixels in metres where the items do not tell.
_SPACING = 10.0

Heights = Callable[[GeoBox], xr.DataArray]
"""Elevations in metres above the sea on a grid, (y, x), lazy."""


def needs_imaging(steps: Sequence[Step]) -> bool:
    """Whether the items of a load are images in radar geometry."""
    return any(is_grd(item) for step in steps for item in step.items)


def load_grd(what: Assembly, door: Any) -> Cube:
    """Digital numbers of radar images on a map grid, at the mean height of the ground; lazy float32.

    The cube's `source` computes backscatter on the same pixels.

    :raises OpenEOError: FeatureUnsupported where items or bands of another kind are among them.
    """
    steps: dict[np.datetime64, list[Acquisition]] = {}
    for step in what.steps:
        for item in step.items:
            found = images(item, what.gate, door)
            missing = [name for name in what.kept if name not in found]
            if len(missing) == len(what.kept):
                raise OpenEOError(
                    "FeatureUnsupported",
                    f"The bands {', '.join(missing)} of item '{item.id}' have no annotation and calibration.",
                    hint="Load the polarisations only.",
                )
            steps.setdefault(step.label.astype("datetime64[ns]"), []).append(Acquisition(found, item.footprint))
    grid = _grid(what)
    what.refuse_large(grid)
    wanted = Wanted(tuple(what.kept), amplitude=True)
    mask = what.area.to(crs_of(grid)) if what.area is not None and not what.area.is_box else None
    values = _lazy(Imager(grid, list(steps.values()), wanted, 0, what.handles, what.soft, mask), None)
    cube = Assembler.wrap(what, values, grid, None)
    source = GrdSource(steps, what.handles, values.name, what.soft, mask)
    bands = {name: Band(description="Digital numbers", unit=None) for name in what.kept}
    return cube.patch(bands=bands, source=source)


@dataclass(frozen=True, eq=False)
class GrdSource:
    """What a cube of digital numbers was loaded from."""

    steps: Mapping[np.datetime64, Sequence[Acquisition]]
    handles: Handles
    name: str
    """Of the dask array that was loaded."""

    soft: Callable[[str], None] | None = None
    """Told about acquisitions that cannot be read; None: they are errors."""

    mask: BaseGeometry | None = None
    """Pixels whose centre is outside are missing, in the reference system of the cube."""

    def backscatter(self, cube: Cube, wanted: Wanted, heights: Heights | None) -> Cube:
        """The pixels, dates and polarisations of `cube` computed anew from the images.

        :param heights: elevations; without them the ground is as smooth as the tie points of the images.
        :raises OpenEOError: ProcessParameterInvalid where values or labels were changed since the load.
        """
        if not self._is_choice(cube):
            raise _changed("its values were changed")
        t, bands, y, x = _names(cube)
        grid = need_geobox(cube)
        try:
            steps = [self.steps[label] for label in cube.labels(t)]
        except KeyError as error:
            raise _changed(f"the label {error} was not loaded") from error
        known = {name for step in steps for acquisition in step for name in acquisition.images}
        unknown = [name for name in wanted.polarisations if name not in known]
        if unknown:
            raise _changed(f"the bands {', '.join(unknown)} were not loaded")
        margin = wanted.margin(_metres(grid)) if heights is not None else 0
        imager = Imager(grid, steps, wanted, margin, self.handles, self.soft, self.mask, _metres(grid))
        values = _lazy(imager, heights)
        data = xr.DataArray(
            values,
            dims=(t, bands, y, x),
            coords={
                t: cube.data[t].values,
                bands: np.array(wanted.bands, dtype=str),
                y: cube.data[y].values,
                x: cube.data[x].values,
            },
        )
        return cube.patch(data=data.transpose(*cube.names), bands={}, nodata=None, source=None)

    def _is_choice(self, cube: Cube) -> bool:
        """Whether the values of a cube are those loaded, or some of them."""
        if not cube.is_lazy or len(_names(cube)) != cube.data.ndim:
            return False
        graph, name = cube.data.data.dask, cube.data.data.name
        while name != self.name:
            before = graph.dependencies.get(name, set()) if name.startswith(_CHOOSING) else set()
            if len(before) != 1:
                return False
            name = next(iter(before))
        return True


def _names(cube: Cube) -> tuple[str, ...]:
    found = [d.name for kind in ("temporal", "bands") for d in cube.of_type(kind)]
    return (*found, *(axis.name for axis in (cube.axis("y"), cube.axis("x")) if axis is not None))


def _changed(why: str) -> OpenEOError:
    return OpenEOError(
        "ProcessParameterInvalid",
        f"Backscatter is computed from the images that the data cube was loaded from, but {why} since.",
        hint="Use the process directly after the load, or after filters of extent, time and bands only.",
    )


def _grid(what: Assembly) -> GeoBox:
    """Square pixels of the images' spacing in the UTM zone of the middle, on multiples of the spacing."""
    if what.geobox is not None:
        return what.geobox
    items = [item for step in what.steps for item in step.items]
    covered = shapely.union_all([item.footprint for item in items])
    where = covered if what.where is None else what.where
    middle = where.envelope.centroid
    crs = choose_utm(middle.x, middle.y)
    told = [item.properties.get("sar:pixel_spacing_range") for item in items]
    spacing = float(next((value for value in told if value), _SPACING))
    room = (what.margin + 1) * spacing
    boxes = [what.area.bounds(crs)] if what.area is not None else []
    for area in what.near:
        west, south, east, north = area.bounds(crs)
        boxes.append((west - room, south - room, east + room, north + room))
    west, south, east, north = reproject(covered, LONLAT, crs).bounds
    sides = np.array(boxes or [(west, south, east, north)])
    bounds = (*sides[:, :2].max(axis=0).tolist(), *sides[:, 2:].min(axis=0).tolist())
    return lay(GeoBox((1, 1), Affine(spacing, 0, 0, 0, -spacing, 0), crs), bounds)


def _lazy(imager: Imager, heights: Heights | None) -> da.Array:
    """The values (t, bands, y, x), one task per block for where it is, and one per date and block."""
    grid, margin, wanted = imager.geobox, imager.margin, imager.wanted
    side = _side(margin)
    cuts = [_cut(size, side) for size in grid.shape]
    terrain = heights(_widen(grid, margin)).data if heights is not None else None
    name = f"grd-{tokenize(grid, wanted)}-{id(imager)}"
    tasks: dict[Any, Any] = {}
    parts: list[da.Array] = []
    for i, rows in enumerate(cuts[0]):
        for j, columns in enumerate(cuts[1]):
            given: tuple[Any, ...] = ()
            if terrain is not None:
                part = terrain[rows.start : rows.stop + 2 * margin, columns.start : columns.stop + 2 * margin]
                part = da.asarray(part).rechunk(part.shape)
                parts.append(part)
                given = ((part.name, 0, 0),)
            place = (f"{name}-place", i, j)
            tasks[place] = (imager.place, rows, columns, *given)
            for t in range(len(imager.steps)):
                tasks[(name, t, 0, i, j)] = (imager.block, t, rows, columns, place)
    chunks = (
        (1,) * len(imager.steps),
        (len(wanted.bands),),
        *(tuple(part.stop - part.start for part in cut) for cut in cuts),
    )
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=cast(Any, parts))
    return da.Array(graph, name, chunks=chunks, dtype=np.dtype("float32"))


def _side(margin: int) -> int:
    """The side of blocks that are computed with some pixels around."""
    there = memory.planned() / memory.threads() / _PIXEL_BYTES
    return next((side for side in _SIDES if (side + 2 * margin) ** 2 <= there), _SIDES[-1])


def _cut(size: int, side: int) -> list[slice]:
    return [slice(start, min(start + side, size)) for start in range(0, size, side)]


def _metres(grid: GeoBox) -> float:
    """About how many metres a pixel has along its shorter side."""
    side = min(abs(float(grid.resolution.x)), abs(float(grid.resolution.y)))
    if grid.crs is not None and grid.crs.geographic:
        return side * 111_000 * math.cos(math.radians(float(grid.affine.f)))
    return side


def _widen(grid: GeoBox, margin: int) -> GeoBox:
    own = grid.affine
    affine = Affine(own.a, 0, own.c - margin * own.a, 0, own.e, own.f - margin * own.e)
    return GeoBox((grid.shape[0] + 2 * margin, grid.shape[1] + 2 * margin), affine, grid.crs)
