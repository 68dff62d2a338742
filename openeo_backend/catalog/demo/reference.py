"""Reference polygons: what really grows where, for training and for validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Polygon, box
from shapely.geometry import mapping

from openeo_backend.catalog.demo.landscape import Landscape
from openeo_backend.catalog.demo.scenario import Scenario, reproject
from openeo_backend.catalog.demo.spectra import COVERS, LABELS

#: Most polygons of one class for training, and as many for validation.
MOST = 12
#: Sides of the plots in forest, water and town, in pixels.
PLOT = {8: 7, 9: 5, 10: 9}


def reference_polygons(scenario: Scenario, landscape: Landscape) -> dict[str, Any]:
    """A GeoJSON feature collection; properties: `id`, `crop` (a label), `target` (its number), `use`."""
    counts: Counter[int] = Counter()
    features: list[dict[str, Any]] = []
    for code, polygon in (*_parcels(scenario, landscape), *_plots(scenario, landscape)):
        if counts[code] == 2 * MOST:
            continue
        counts[code] += 1
        geometry = mapping(_simple(reproject_corners(polygon, scenario.epsg)))
        features.append(
            {
                "type": "Feature",
                "id": str(len(features) + 1),
                "properties": {
                    "id": len(features) + 1,
                    "crop": LABELS[code],
                    "target": code,
                    "use": "training" if counts[code] % 2 else "validation",
                },
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[list(point) for point in ring] for ring in geometry["coordinates"]],
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def reproject_corners(polygon: Polygon, epsg: int) -> Polygon:
    """A small polygon in degrees: its corners are enough."""
    dense = reproject(polygon, epsg, 4326)
    return dense.simplify(1e-6)


def _simple(polygon: Polygon) -> Polygon:
    """Corners with 6 decimals, counter-clockwise as RFC 7946 wants."""
    ring = [(round(x, 6), round(y, 6)) for x, y in polygon.exterior.coords]
    area = Polygon(ring)
    return area if area.exterior.is_ccw else Polygon(ring[::-1])


def _parcels(scenario: Scenario, landscape: Landscape) -> Iterator[tuple[int, Polygon]]:
    """Parcels wholly visible and wholly inside the area, without their margins."""
    grid = landscape.grid
    area = box(*scenario.grid.bounds)
    inner = [(unit, polygon.buffer(-1.3 * grid.step, join_style="mitre")) for unit, polygon in landscape.parcels]
    inner = [(unit, polygon) for unit, polygon in inner if not polygon.is_empty and polygon.within(area)]
    drawn = rasterize(
        [(polygon, unit + 1) for unit, polygon in inner], out_shape=grid.shape, transform=grid.transform, dtype="int32"
    )
    same = landscape.unit == drawn - 1
    whole = np.bincount(drawn.ravel(), minlength=len(landscape.cover_of) + 1)
    seen = np.bincount(drawn.ravel(), weights=same.ravel(), minlength=len(landscape.cover_of) + 1)
    for unit, polygon in inner:
        if whole[unit + 1] >= 9 and seen[unit + 1] == whole[unit + 1]:
            yield COVERS[landscape.cover_of[unit]].code, polygon


def _plots(scenario: Scenario, landscape: Landscape) -> Iterator[tuple[int, Polygon]]:
    """Squares in forest, water and town, at most one in each cell of a lattice."""
    grid = landscape.grid
    codes = np.array([cover.code for cover in COVERS])[landscape.cover]
    area = box(*scenario.grid.bounds)
    for code, side in PLOT.items():
        core = ndimage.binary_erosion(codes == code, np.ones((side, side), dtype=bool))
        # Forest covers much: its plots are spread over the whole area.
        spread = 54 if code == 8 and grid.width > 300 else 18
        rim = side // 2 + 1  # plots of neighbouring cells do not touch
        for top in range(rim, grid.height, spread):
            for left in range(rim, grid.width, spread):
                rows, columns = np.nonzero(core[top : top + spread - 2 * rim, left : left + spread - 2 * rim])
                if not len(rows):
                    continue
                middle = len(rows) // 2
                x = grid.west + (left + columns[middle] + 0.5) * grid.step
                y = grid.north - (top + rows[middle] + 0.5) * grid.step
                half = 0.5 * side * grid.step
                plot = box(x - half, y - half, x + half, y + half)
                if plot.within(area):
                    yield code, plot
