"""From items to a lazy cube."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal
from uuid import uuid4

import dask.array as da
import numpy as np
import rasterio.errors
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog.bands import AssetBand
from openeo_backend.catalog.bound import refuse
from openeo_backend.catalog.chunks import chunks
from openeo_backend.catalog.coarse import Coarse, coarsen, reduction
from openeo_backend.catalog.grid import (
    Bounds,
    choose_crs,
    common_grid,
    crs_of,
    lay,
    pixel_area,
)
from openeo_backend.catalog.handles import Handles, Probe, probe, tile_shape
from openeo_backend.catalog.hrefs import Gate
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.layer import Layer
from openeo_backend.catalog.missing import missing_value
from openeo_backend.catalog.models import Models
from openeo_backend.catalog.mosaic import Step
from openeo_backend.catalog.ranges import is_remote
from openeo_backend.catalog.read import BlockReader
from openeo_backend.cube import Band, Cube, Dimension, fusion
from openeo_backend.cube.bounds import refuse_large
from openeo_backend.cube.extent import Area, reproject
from openeo_backend.cube.labelled import labelled
from openeo_backend.cube.pixels import float_type
from openeo_backend.cube.warp import warp
from openeo_backend.errors import OpenEOError
from openeo_backend.graph import trace
from openeo_backend.graph.effects import Means

LONLAT = CRS("EPSG:4326")


@dataclass(frozen=True, eq=False)
class Assembly:
    """Everything that makes a cube of items."""

    steps: Sequence[Step]
    bands: Mapping[str, AssetBand]
    """The bands asked for, in order, as the collection has them; the finest of them gives the grid."""

    gate: Gate
    kept: Sequence[str]
    """Those of the bands that later processes need: the bands of the cube."""

    area: Area | None = None
    """The spatial extent asked for."""

    near: Sequence[Area] = ()
    """Spatial extents of later filters, which all apply."""

    where: BaseGeometry | None = None
    """All of these extents together, in longitude and latitude."""

    margin: int = 0
    """Pixels needed around the extents of later filters."""

    geobox: GeoBox | None = None
    """The grid, where it was given."""

    means: Means | None = None
    """Set where nothing but means over larger pixels is needed: the cube gets the grid that is told there."""

    overviews: Literal["declared", "average", "never"] = "never"
    """Which overviews may stand for means."""

    scaled: bool = False
    """Whether scale and offset are applied."""

    names: Sequence[str] = ("t", "bands", "y", "x")
    handles: Handles = field(default_factory=Handles)
    soft: Callable[[str], None] | None = None
    most: float | None = None
    """Most samples of the cube."""

    def refuse_large(self, grid: GeoBox) -> None:
        """:raises OpenEOError: ProcessGraphComplexity, before a cube with all of its blocks is made."""
        steps, bands, (height, width) = len(self.steps), len(self.kept), grid.shape
        refuse_large(dict(zip(self.names, (steps, bands, height, width), strict=True)), "The load")
        samples = steps * bands * height * width
        if self.most is not None and samples > self.most:
            t, b, y, x = self.names
            raise refuse(samples, self.most, f"{steps} {t} x {bands} {b} x {height} {y} x {width} {x}")


class Assembler:
    """Builds one cube; keeps the layers and open files of its items meanwhile."""

    def __init__(self, assembly: Assembly) -> None:
        self.what = assembly
        self.handles = assembly.handles
        self.lattice: GeoBox | None = None
        self.coarse: Coarse | None = None
        self._probes: dict[tuple[object, ...], Probe] = {}
        self._kinds: dict[str, tuple[np.dtype, float | None]] = {}
        self._boxes: dict[object, Bounds] = {}
        models = Models(assembly.bands, assembly.gate)
        self.layers = {item: models.layers(item) for step in assembly.steps for item in step.items}
        self._learn()

    @property
    def has_looked(self) -> bool:
        """Whether it needed to open files to know what they are like."""
        return bool(self._probes) or self.coarse is not None

    def _learn(self) -> None:
        """Take scale, offset and unit from the first file of a band of arrays, where the metadata do not tell them."""
        bands = dict(self.what.bands)
        for name, band in bands.items():
            own = [layers[name] for layers in self.layers.values() if name in layers and layers[name].target]
            if not own:
                continue
            if band.scale is None and band.offset is None:
                found = self._probe(own[0])
                scale, offset = found.linear
                band = bands[name] = replace(band, scale=scale, offset=offset, unit=band.unit or found.unit)
            target = _physical(band)
            for layers in self.layers.values():
                if name in layers and layers[name].target:
                    layers[name] = replace(layers[name], target=target)
        self.what = replace(self.what, bands=bands)

    # -- grid -------------------------------------------------------------------------------------------

    def grid(self) -> GeoBox:
        """The grid of the cube: see docs/collections.md."""
        if self.what.geobox is not None:
            return self.what.geobox
        crs = self._crs()
        lattice = self.lattice = self._lattice(crs)
        areas = [area.bounds(crs) for area in (self.what.area,) if area is not None]
        room = self.what.margin + 1
        step_x, step_y = abs(float(lattice.resolution.x)), abs(float(lattice.resolution.y))
        for area in self.what.near:
            west, south, east, north = area.bounds(crs)
            areas.append((west - room * step_x, south - room * step_y, east + room * step_x, north + room * step_y))
        return lay(lattice, _shared(areas) if areas else self._extent(crs))

    def _crs(self) -> CRS:
        found: dict[int, tuple[CRS, list[BaseGeometry]]] = {}  # by object: most share one, and comparing is slow
        for item, layers in self.layers.items():
            for layer in layers.values():
                crs = layer.crs or crs_of(self._probe(layer).grid)
                found.setdefault(id(crs), (crs, []))[1].append(item.footprint)
                break
        if len(found) == 1:
            return next(crs for crs, _ in found.values())
        footprints: dict[CRS, list[BaseGeometry]] = {}
        for crs, parts in found.values():
            footprints.setdefault(crs, []).extend(parts)
        return choose_crs(footprints, self.what.where)

    def _lattice(self, crs: CRS) -> GeoBox:
        """The most common grid of the finest band among the items in `crs`."""
        best: GeoBox | None = None
        for name in self.what.bands:
            layers = [layers[name] for layers in self.layers.values() if name in layers]
            grids = [grid for grid in map(self._grid_of, layers) if grid is not None]
            fitting = {number: grid.crs == crs for number, grid in {id(grid): grid for grid in grids}.items()}
            known = [grid for grid in grids if fitting[id(grid)]]
            known = known or self._probed_grids(name, crs)
            if known:
                grid = common_grid(known)
                if best is None or pixel_area(grid) < pixel_area(best) * (1 - 1e-9):
                    best = grid
        if best is None:
            raise OpenEOError("NoDataAvailable", f"No item has one of the bands {', '.join(self.what.bands)}.")
        return best

    def _grid_of(self, layer: Layer) -> GeoBox | None:
        """The grid of a layer, as far as it is known without opening the file."""
        return layer.grid or (self._probes[layer.key].grid if layer.key in self._probes else None)

    def _probed_grids(self, name: str, crs: CRS) -> list[GeoBox]:
        """The grid of the first item in `crs` whose metadata do not tell it."""
        for layers in self.layers.values():
            layer = layers.get(name)
            if layer is not None and layer.crs in (crs, None):
                grid = self._probe(layer).grid
                if grid.crs == crs:
                    return [grid]
        return []

    def _probe(self, layer: Layer) -> Probe:
        if layer.key not in self._probes:
            self._probes[layer.key] = probe(layer, self.handles)
        return self._probes[layer.key]

    def _extent(self, crs: CRS) -> Bounds:
        """Where the items are."""
        boxes = [self._bounds(item, layer, crs) for item, layers in self.layers.items() for layer in layers.values()]
        sides = np.array(boxes)
        return (*sides[:, :2].min(axis=0).tolist(), *sides[:, 2:].max(axis=0).tolist())

    def _bounds(self, item: Item, layer: Layer, crs: CRS) -> Bounds:
        """Where a layer lies in `crs`."""
        grid = self._grid_of(layer)
        key = (item if grid is None else id(grid), str(crs))
        if key not in self._boxes:
            geometry, own = (item.footprint, LONLAT) if grid is None else (_outline(grid), crs_of(grid))
            box = grid.boundingbox if grid is not None and own == crs else reproject(geometry, own, crs).bounds
            west, south, east, north = tuple(box)[:4]
            self._boxes[key] = (west, south, east, north)
        return self._boxes[key]

    # -- values -----------------------------------------------------------------------------------------

    def storage(self, grid: GeoBox) -> tuple[np.dtype, float | int | None]:
        """Data type and missing value in which all layers fit unchanged."""
        kinds = {
            self._kind(name, layers[name])
            for layers in self.layers.values()
            for name in self.what.kept
            if name in layers
        }
        if self.what.scaled:
            wide = any(dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize > 2) for dtype, _ in kinds)
            return np.dtype("float64" if wide else "float32"), math.nan
        dtype = np.result_type(*[dtype for dtype, _ in kinds])
        if dtype.kind == "f":
            return dtype, math.nan
        if all(nodata is None for _, nodata in kinds) and self._complete(grid):
            return dtype, None
        return missing_value(dtype, kinds)

    def _kind(self, name: str, layer: Layer) -> tuple[np.dtype, float | None]:
        """Data type and no-data value of a layer; what the metadata leave out is that of the band's first file."""
        dtype, nodata = layer.dtype, layer.nodata
        if dtype is None or (nodata is None and np.dtype(dtype).kind != "f"):
            if name not in self._kinds:
                found = self._probe(layer)
                self._kinds[name] = np.dtype(found.dtype), found.nodata
            own, other = self._kinds[name]
            dtype, nodata = dtype or str(own), nodata if nodata is not None else other
        if nodata is not None and (not math.isfinite(nodata) or not float(nodata).is_integer()):
            nodata = None
        return np.dtype(dtype), nodata

    def _complete(self, grid: GeoBox) -> bool:
        """Whether every step and band has a layer that covers the whole grid, and no polygon cuts it."""
        if self.what.area is not None and not self.what.area.is_box:
            return False
        return all(
            any(name in self.layers[item] and self._covers(self.layers[item][name], grid) for item in step.items)
            for step in self.what.steps
            for name in self.what.kept
        )

    def _covers(self, layer: Layer, grid: GeoBox) -> bool:
        own = self._grid_of(layer)
        if own is None or own.crs != grid.crs:
            return False
        west, south, east, north = tuple(own.boundingbox)[:4]
        inner = tuple(grid.boundingbox)[:4]
        return bool(west <= inner[0] and south <= inner[1] and east >= inner[2] and north >= inner[3])

    def stack(self, step: Step, name: str, crs: CRS) -> list[Layer]:
        """What is read for a band of a step: items of the cube's reference system first, then the oldest first."""
        found: list[tuple[bool, Layer]] = []
        for item in step.items:
            layer = self.layers[item].get(name)
            if layer is None:
                continue
            own = self._grid_of(layer)
            sure = own is not None and (own.crs is crs or own.crs == crs)
            box = self._bounds(item, layer, crs)
            if all(map(math.isfinite, box)):
                layer = layer.within(box if sure else _grow(box))
            found.append((own is not None and not sure, layer))
        return [layer for _, layer in sorted(found, key=lambda pair: pair[0])]

    # -- the cube ---------------------------------------------------------------------------------------

    def cube(self) -> Cube:
        """The lazy cube."""
        grid = self.grid()
        self.what.refuse_large(grid)
        dtype, fill = self.storage(grid)
        coarse = self.coarse = self._coarse(grid)
        if coarse is not None:
            values = self._values(coarse.grid, float_type(dtype), math.nan, coarse)
            return warp(self.wrap(self.what, values, coarse.grid, None), coarse.target, "average")
        values = self._values(grid, dtype, fill)
        return self.wrap(self.what, values, grid, None if fill is None or dtype.kind == "f" else int(fill))

    def _coarse(self, grid: GeoBox) -> Coarse | None:
        """What may be read instead of the grid."""
        what, layers = self.what, [layer for found in self.layers.values() for layer in found.values()]
        if what.means is None or what.overviews == "never" or self.lattice is None:
            return None
        if what.area is not None and not what.area.is_box:
            return None
        return coarsen(grid, self.lattice, layers, what.means, self._has_overviews)

    def _has_overviews(self, grid: GeoBox) -> bool:
        """Whether the first file of each band has means of the size of a grid's pixels."""
        for name in self.what.kept:
            first = next(layers[name] for layers in self.layers.values() if name in layers)
            factor = reduction(first, grid)
            try:
                if factor > 1 and self.handles.open_means(self._reduced(first, grid)).overview is None:
                    return False
            except (rasterio.errors.RasterioError, OpenEOError):  # told when it is read
                return False
        return True

    def _reduced(self, layer: Layer, grid: GeoBox) -> Layer:
        return layer.reduced(reduction(layer, grid), self.what.overviews == "average")

    def _values(
        self, grid: GeoBox, dtype: np.dtype, fill: float | int | None, coarse: Coarse | None = None
    ) -> da.Array:
        """The lazy values (t, bands, y, x) on a grid.

        :param coarse: set where they are means.
        """
        crs, what, names = crs_of(grid), self.what, list(self.what.kept)

        def stacked(step: Step, name: str) -> list[Layer]:
            found = self.stack(step, name, crs)
            if coarse is None:
                return found
            return [self._reduced(layer, grid) for layer in found]

        reader = BlockReader(
            geobox=grid,
            layers=[[stacked(step, name) for name in names] for step in what.steps],
            dtype=dtype,
            fill=fill,
            handles=self.handles,
            mask=what.area.to(crs) if what.area is not None and not what.area.is_box else None,
            physical=[_physical(what.bands[name]) for name in names] if what.scaled else None,
            soft=what.soft,
        )
        shape = (len(what.steps), len(names), *grid.shape)
        far = any(is_remote(layer.address) for layers in self.layers.values() for layer in layers.values())
        blocks = chunks(shape, dtype.itemsize, self._origin(grid), partial(self._tile, grid), far)
        return fusion.filled(f"load-{uuid4().hex}", blocks, dtype, trace.located(reader.fill_block))

    def _tile(self, grid: GeoBox) -> tuple[float, float]:
        """The most rows and columns of the tiles of files, as far as the first ones of the bands tell, if any."""
        first = {name: layer for layers in reversed(self.layers.values()) for name, layer in layers.items()}
        known = [tile_shape(first[name], grid, self.handles) for name in self.what.kept if name in first]
        rows, columns = zip(*known, strict=True) if known else ((math.inf,), (math.inf,))
        return max(rows), max(columns)

    def _origin(self, grid: GeoBox) -> tuple[int, int]:
        """Row and column of the upper left pixel in the files of the finest band, whose tiles blocks follow."""
        if self.lattice is None or self.lattice.crs != grid.crs:
            return 0, 0
        a, b, c, d, e, f = tuple(self.lattice.affine)[:6]
        own = grid.affine
        if b or d or not math.isclose(a, own.a) or not math.isclose(e, own.e):
            return 0, 0
        return round((own.f - f) / e), round((own.c - c) / a)

    @staticmethod
    def wrap(what: Assembly, values: da.Array, grid: GeoBox, nodata: int | None) -> Cube:
        """The cube of values (t, bands, y, x) on a grid."""
        t, bands, y, x = what.names
        a, _, c, _, e, f = tuple(grid.affine)[:6]
        labels = {
            t: np.array([step.label for step in what.steps], dtype="datetime64[ns]"),
            bands: np.array(list(what.kept), dtype=str),
            y: f + (np.arange(grid.shape[0]) + 0.5) * e,
            x: c + (np.arange(grid.shape[1]) + 0.5) * a,
        }
        data = labelled(values, (t, bands, y, x), labels)
        return Cube(
            data,
            (
                Dimension(t, "temporal"),
                Dimension(bands, "bands"),
                Dimension(y, "spatial", "y", step=float(e)),
                Dimension(x, "spatial", "x", step=float(a)),
            ),
            crs=grid.crs,
            nodata=nodata,
            bands={name: cube_band(what.bands[name], what.scaled) for name in what.kept},
        )


def cube_band(band: AssetBand, scaled: bool) -> Band:
    """What results tell about a band."""
    return Band(
        common_name=band.common_name,
        wavelength=band.wavelength,
        scale=None if scaled else band.scale,
        offset=None if scaled else band.offset,
        unit=band.unit,
        description=band.description,
        nodata=band.nodata,
    )


def _physical(band: AssetBand) -> tuple[float, float]:
    return (band.scale if band.scale is not None else 1.0), (band.offset if band.offset is not None else 0.0)


def _outline(grid: GeoBox) -> BaseGeometry:
    corners = [(0, 0), (grid.shape[1], 0), (grid.shape[1], grid.shape[0]), (0, grid.shape[0])]
    return shapely.Polygon([grid.affine @ corner for corner in corners])


def _shared(boxes: Sequence[Bounds]) -> Bounds:
    """What all boxes share."""
    sides = np.array(boxes)
    return (*sides[:, :2].max(axis=0).tolist(), *sides[:, 2:].min(axis=0).tolist())


def _grow(bounds: Bounds) -> Bounds:
    """Bounds with room for what the reprojection of footprints and edges leaves out."""
    room = 0.02 * max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    return bounds[0] - room, bounds[1] - room, bounds[2] + room, bounds[3] + room
