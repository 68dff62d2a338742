"""Which GeoTIFFs a cube becomes: by date, band and cell of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from openeo_backend.cube.grid import Bounds, choose_utm, project_bounds
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.images import Images
from openeo_backend.formats.names import distinct, slug, suffixes

#: Most files of one result.
FILES = 10_000


@dataclass(frozen=True)
class Target:
    """One file to be written."""

    path: Path
    image: int
    """Index of its temporal label."""
    planes: range
    """Indexes of its bands."""
    rows: slice
    columns: slice
    """The part of the image it holds."""
    whole: bool
    """Whether that is all of the image."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def transform(self, images: Images) -> Affine:
        """From the file's pixels to coordinates."""
        return images.transform @ Affine.translation(self.columns.start, self.rows.start)

    def geobox(self, images: Images) -> GeoBox | None:
        """The file's grid, where the cube has a reference system."""
        crs = images.cube.crs
        return None if crs is None else GeoBox(self.shape, self.transform(images), crs)


def choose_targets(images: Images, folder: Path, stem: str, options: Mapping[str, Any]) -> list[Target]:
    """All files, by image, then cell, then band.

    :raises OpenEOError: ProcessParameterInvalid for a wrong number of names, a grid without a reference system, and
        more files than a result may have.
    """
    count = len(images.planes)
    given = options.get("filepath_per_band")
    if given and len(given) != count:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The option filepath_per_band has {len(given)} names, but there are {count} bands.",
        )
    separate = bool(given or options.get("separate_asset_per_band"))
    groups = [range(i, i + 1) for i in range(count)] if separate else [range(count)]
    ends = suffixes(images.times) if images.times is not None else [""]
    whole = (slice(0, images.shape[1]), slice(0, images.shape[2]))
    cells = list(_cells(images, str(options["tile_grid"]))) if options.get("tile_grid") else [("", *whole)]
    if len(ends) * len(cells) * len(groups) > FILES:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"These options give {len(ends)} dates x {len(cells)} cells x {len(groups)} bands as single files; "
            f"a result has at most {FILES}.",
            hint="Choose a coarser tile_grid, or write bands into one file.",
        )
    out: list[tuple[str, int, range, slice, slice]] = []
    for image, end in enumerate(ends):
        for cell, rows, columns in cells:
            for group in groups:
                name = Path(given[group[0]]).stem if given else stem
                band = "" if given or not separate else slug(images.planes[group[0]].name)
                parts = [part for part in (name, end, cell, band) if part]
                out.append(("_".join(parts), image, group, rows, columns))
    names = distinct(name for name, *_ in out)
    return [
        Target(folder / f"{name}.tif", image, group, rows, columns, (rows, columns) == whole)
        for name, (_, image, group, rows, columns) in zip(names, out, strict=True)
    ]


def _cells(images: Images, grid: str) -> Iterator[tuple[str, slice, slice]]:
    """Name, rows and columns of the cells of a grid that hold pixels."""
    crs = images.cube.crs
    if crs is None:
        raise OpenEOError("ProcessParameterInvalid", "The option tile_grid needs data with a reference system.")
    rows, columns = images.shape[1:]
    t = images.transform
    bounds = Bounds(t.c, t.f + rows * t.e, t.c + columns * t.a, t.f)
    target, size = _grid(grid, crs, bounds)
    xs, ys = t.c + (np.arange(columns) + 0.5) * t.a, t.f + (np.arange(rows) + 0.5) * t.e
    for part in [bounds] if target == crs else project_bounds(bounds, crs, target):
        for north in range(ceil(part.top / size) - 1, floor(part.bottom / size) - 1, -1):
            for east in range(floor(part.left / size), ceil(part.right / size)):
                cell = Bounds(east * size, north * size, (east + 1) * size, (north + 1) * size)
                for place in [cell] if target == crs else project_bounds(cell, target, crs):
                    inside_x = np.flatnonzero((xs >= place.left) & (xs < place.right))
                    inside_y = np.flatnonzero((ys > place.bottom) & (ys <= place.top))
                    if len(inside_x) and len(inside_y):
                        yield (
                            _name(target, east, north, size),
                            slice(int(inside_y[0]), int(inside_y[-1]) + 1),
                            slice(int(inside_x[0]), int(inside_x[-1]) + 1),
                        )


def _grid(name: str, crs: CRS, bounds: Bounds) -> tuple[CRS, float]:
    """Reference system and cell size of a grid."""
    degrees = CRS("EPSG:4326")
    if name == "wgs84-1degree":
        return degrees, 1.0
    size = float(name.removeprefix("utm-").removesuffix("km")) * 1000
    if crs.epsg and (32601 <= crs.epsg <= 32660 or 32701 <= crs.epsg <= 32760):
        return crs, size
    box = bounds if crs.geographic else project_bounds(bounds, crs, degrees)[0]
    return choose_utm((box.left + box.right) / 2, (box.bottom + box.top) / 2), size


def _name(crs: CRS, east: int, north: int, size: float) -> str:
    """The cell's lower left corner: N51E003, or the UTM zone and kilometres."""
    if crs.geographic:
        return f"{'N' if north >= 0 else 'S'}{abs(north):02d}{'E' if east >= 0 else 'W'}{abs(east):03d}"
    epsg = crs.epsg or 0
    length = round(size / 1000)
    return f"{epsg % 100:02d}{'N' if epsg < 32700 else 'S'}-{east * length}-{north * length}"
