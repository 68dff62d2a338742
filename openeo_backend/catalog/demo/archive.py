"""Writing a whole archive: images, metadata, reference polygons."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely import box

from openeo_backend.catalog.demo.collections import land_cover, sentinel1, sentinel2, terrain
from openeo_backend.catalog.demo.landscape import Landscape, make_landscape
from openeo_backend.catalog.demo.optical import Scene, make_scenes
from openeo_backend.catalog.demo.radar import ORBIT, make_radar_scene
from openeo_backend.catalog.demo.raster import write_cog
from openeo_backend.catalog.demo.reference import reference_polygons
from openeo_backend.catalog.demo.scenario import Grid, Scenario, nearest, reproject
from openeo_backend.catalog.demo.spectra import COVERS
from openeo_backend.catalog.demo.stac import (
    CollectionSpec,
    footprint,
    make_item,
    write_catalog,
    write_collection,
)

Items = list[dict[str, Any]]

REFERENCE = "reference/crops.geojson"


def write_archive(folder: Path, progress: Callable[[int, int], None], scenario: Scenario | None = None) -> Path:
    """Write the archive of `scenario` (by default the demo's) into `folder`, and return the path of its catalog.

    The same scenario gives the same bytes in every file.
    :param progress: called with (finished steps, all steps) from this thread.
    """
    scenario = scenario or Scenario()
    landscape = make_landscape(scenario)
    specs = [sentinel2(scenario), sentinel1(scenario), terrain(scenario), land_cover(scenario)]
    written = write_collections(folder, scenario, landscape, specs, progress)
    polygons = reference_polygons(scenario, landscape)
    (folder / REFERENCE).parent.mkdir(parents=True, exist_ok=True)
    (folder / REFERENCE).write_text(json.dumps(polygons) + "\n", encoding="utf-8")
    reference = {
        "rel": "related",
        "href": f"./{REFERENCE}",
        "type": "application/geo+json",
        "title": "Reference polygons with crop labels",
    }
    text = "About 5 x 5 km of fields, forest, water and a town, seen by Sentinel-1 and Sentinel-2 for 14 months."
    return write_catalog(folder, "openeo-backend-demo", text, written, [reference])


def write_collections(
    folder: Path,
    scenario: Scenario,
    landscape: Landscape,
    specs: Sequence[CollectionSpec],
    progress: Callable[[int, int], None],
) -> list[CollectionSpec]:
    """Write the collections of `specs` and return those that have items."""
    counts = {"optical": len(scenario.days), "radar": len(scenario.radar_days)}
    work = [
        (spec, partial(_MAKERS[spec.kind], folder, scenario, landscape, spec, index))
        for spec in specs
        for index in range(counts.get(spec.kind, 1))
    ]
    items: dict[str, Items] = {}
    progress(0, len(work))
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        results = [(spec, threads.submit(step)) for spec, step in work]
        for done, (spec, future) in enumerate(results, start=1):
            items.setdefault(spec.id, []).extend(future.result())
            progress(done, len(work))
    written = [spec for spec in specs if items.get(spec.id)]
    for spec in written:
        write_collection(folder / spec.id.lower(), spec, items[spec.id])
    return written


def write_bands(folder: Path, spec: CollectionSpec, name: str, grid: Grid, bands: Mapping[str, NDArray]) -> None:
    """The files of an item: one per band of `spec` that has a file of its own."""
    for band in spec.bands:
        if band.file is None:
            path = folder / spec.id.lower() / name / f"{band.name}.tif"
            write_cog(path, bands[band.name], grid.coarser(band.factor), band.nodata, band.name, band.categorical)


def _write_optical(folder: Path, scenario: Scenario, landscape: Landscape, spec: CollectionSpec, index: int) -> Items:
    items = []
    for scene in make_scenes(scenario, landscape, index):
        name = f"S2A_MSIL2A_{scene.time:%Y%m%dT%H%M%S}_N0511_R{scene.orbit:03d}_T{scene.tile}_SYNTHETIC"
        write_bands(folder, spec, name, scene.grid, scene.bands)
        shape = footprint(scene.grid, scene.edge, scenario.grid, scenario.ground)
        items.append(make_item(spec, name, scene.time, scene.grid, shape, _optical_properties(scenario, scene)))
    return items


def _optical_properties(scenario: Scenario, scene: Scene) -> dict[str, Any]:
    return {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": scene.cloud_cover,
        "sat:orbit_state": "descending",
        "sat:relative_orbit": scene.orbit,
        "view:sun_azimuth": round(scene.sun_azimuth, 3),
        "view:sun_elevation": round(90 - scene.sun_zenith, 3),
        "view:azimuth": scene.view_azimuth,
        "view:off_nadir": scene.view_zenith,
        "processing:level": "L2A",
        "s2:mgrs_tile": scene.tile,
        "s2:processing_baseline": "05.11" if scenario.offset else "03.01",
        "s2:nodata_pixel_percentage": scene.nodata_share,
    }


def _write_radar(folder: Path, scenario: Scenario, landscape: Landscape, spec: CollectionSpec, index: int) -> Items:
    scene = make_radar_scene(scenario, landscape, index)
    name = f"S1A_IW_GRDH_1SDV_{scene.time:%Y%m%dT%H%M%S}_SYNTHETIC"
    write_bands(folder, spec, name, scene.grid, scene.bands)
    properties = {
        "platform": "sentinel-1a",
        "constellation": "sentinel-1",
        "instruments": ["c-sar"],
        "sar:instrument_mode": "IW",
        "sar:frequency_band": "C",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sat:orbit_state": "descending",
        "sat:relative_orbit": ORBIT,
        "processing:level": "L1",
    }
    shape = footprint(scene.grid, scene.edge, scenario.grid)
    return [make_item(spec, name, scene.time, scene.grid, shape, properties)]


def _write_terrain(folder: Path, scenario: Scenario, landscape: Landscape, spec: CollectionSpec, index: int) -> Items:
    grid = _degrees(scenario, 1 / 3600)
    period = datetime(2010, 12, 12, tzinfo=UTC), datetime(2015, 1, 16, tzinfo=UTC)
    heights = nearest(landscape.elevation, landscape.grid, grid, math.nan)
    return [_write_static(folder, spec, "DEM_SYNTHETIC", grid, np.round(heights, 2), period)]


def _write_cover(folder: Path, scenario: Scenario, landscape: Landscape, spec: CollectionSpec, index: int) -> Items:
    grid = _degrees(scenario, 1 / 12_000)
    classes = np.array([cover.worldcover for cover in COVERS], dtype=np.uint8)[landscape.cover]
    period = datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 12, 31, 23, 59, 59, tzinfo=UTC)
    return [
        _write_static(folder, spec, "WORLDCOVER_SYNTHETIC", grid, nearest(classes, landscape.grid, grid, 0), period)
    ]


def _write_static(
    folder: Path, spec: CollectionSpec, name: str, grid: Grid, values: NDArray, period: tuple[datetime, datetime]
) -> dict[str, Any]:
    write_bands(folder, spec, name, grid, {spec.bands[0].name: values})
    return make_item(spec, name, period[0], grid, footprint(grid), {}, period)


def _degrees(scenario: Scenario, step: float) -> Grid:
    """Pixels of `step` degrees (at 10 m; more where the scenario is coarser) around the published area."""
    step *= scenario.resolution / 10
    shape = reproject(box(*scenario.grid.bounds), scenario.epsg, 4326)
    west, south, east, north = shape.bounds
    left, top = math.floor(west / step), math.ceil(north / step)
    return Grid(4326, left * step, top * step, step, math.ceil(east / step) - left, top - math.floor(south / step))


_MAKERS: Mapping[str, Callable[[Path, Scenario, Landscape, CollectionSpec, int], Items]] = {
    "optical": _write_optical,
    "radar": _write_radar,
    "terrain": _write_terrain,
    "cover": _write_cover,
}
