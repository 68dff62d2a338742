"""Archives made for tests: stand-ins for what a process graph loads, and the data of the official test suite.

Stand-ins are made with the pieces of the demo archive. They cover exactly the extent, bands and dates that a graph
asks for, with at most :data:`SIDE` pixels along a side: where an extent is large, pixels are large, and the metadata
say so (gsd, transforms), so that a back-end that loads at the native resolution computes little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely import Polygon, box
from shapely.geometry import shape as from_geojson
from shapely.ops import unary_union

from openeo_backend.catalog.demo import Scenario
from openeo_backend.catalog.demo.archive import write_bands, write_collections
from openeo_backend.catalog.demo.collections import land_cover, sentinel1, sentinel2, terrain
from openeo_backend.catalog.demo.landscape import make_landscape, smooth_noise
from openeo_backend.catalog.demo.scenario import ANGLE_BANDS, OPTICAL_BANDS, Grid
from openeo_backend.catalog.demo.stac import (
    BandSpec,
    CollectionSpec,
    footprint,
    make_item,
    write_catalog,
    write_collection,
)

#: Most pixels along a side of a stand-in.
SIDE = 168
#: Most dates of a stand-in for each period that a graph loads.
DATES = 8

_BUILT = {
    "SENTINEL2_L2A": sentinel2,
    "SENTINEL1_GRD": sentinel1,
    "COPERNICUS_30": terrain,
    "ESA_WORLDCOVER_10M_2021_V2": land_cover,
}
_DEFAULT_PERIOD = ("2021-01-01", "2022-01-01")


@dataclass(frozen=True)
class Measure:
    """A band of a collection that is not satellite imagery like the demo's: a smooth field of numbers."""

    low: float
    high: float
    data_type: str = "float32"
    nodata: float = math.nan
    classes: tuple[int, ...] = ()
    """Values of a categorical band."""


@dataclass(frozen=True)
class Product:
    """A collection of such bands."""

    step: float
    """Native pixel size in degrees."""
    bands: Mapping[str, Measure]


_WORLDCEREAL = Product(1 / 11_200, {"classification": Measure(0, 100, "uint8", 255, (0, 100))})
PRODUCTS: dict[str, Product] = {
    "SENTINEL_5P_L2": Product(
        0.05,
        {
            "AER_AI_340_380": Measure(-2, 3),
            "AER_AI_354_388": Measure(-2, 3),
            "CO": Measure(0.02, 0.05),
            "HCHO": Measure(0, 4e-4),
            "NO2": Measure(1e-5, 2e-4),
            "O3": Measure(0.12, 0.16),
            "SO2": Measure(-1e-3, 1e-3),
            "CH4": Measure(1800, 1950),
        },
    ),
    "GFM": Product(
        0.0002,
        {
            "ensemble_flood_extent": Measure(0, 1, "uint8", 255, (0, 1)),
            "reference_water_mask": Measure(0, 2, "uint8", 255, (0, 1, 2)),
        },
    ),
    "PROBAV_L3_S5_TOC_100M": Product(1 / 1008, {"NDVI": Measure(20, 240, "uint8", 255)}),
    "ESA_WORLDCEREAL_ACTIVECROPLAND": _WORLDCEREAL,
    "ESA_WORLDCEREAL_MAIZE": _WORLDCEREAL,
    "ESA_WORLDCEREAL_WINTERCEREALS": _WORLDCEREAL,
}


@dataclass
class Demand:
    """What a graph loads from one collection."""

    areas: list[Polygon] = field(default_factory=list)
    """In degrees."""
    periods: list[tuple[datetime, datetime]] = field(default_factory=list)
    bands: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    """Values that pass the filters on properties; `eo:cloud_cover` is the limit."""


def stand_in(graph: Mapping[str, Any], folder: Path) -> Path:
    """Write a static STAC with the collections that `graph` loads, and return the path of its catalog.

    :param graph: a process with `process_graph`, or a process graph.
    """
    demands = read_demands(graph.get("process_graph", graph))
    written: list[CollectionSpec] = []
    for name, demand in demands.items():
        if name in _BUILT:
            written += _write_built(folder, name, demand)
        else:
            written.append(_write_product(folder, name, demand))
    return write_catalog(folder, "stand-in", "Stand-ins for the collections of a process graph.", written)


def read_demands(nodes: Mapping[str, Any]) -> dict[str, Demand]:
    """What each collection must hold, from `load_collection` and from the filters that follow it."""
    demands: dict[str, Demand] = {}
    for key, node in nodes.items():
        if node["process_id"] != "load_collection":
            continue
        arguments = node["arguments"]
        demand = demands.setdefault(arguments["id"], Demand())
        later = list(_followers(nodes, key))
        demand.areas.append(_area(arguments.get("spatial_extent"), later))
        demand.periods.append(_period(arguments.get("temporal_extent"), later))
        demand.bands += [band for band in arguments.get("bands") or [] if band not in demand.bands]
        for name, condition in (arguments.get("properties") or {}).items():
            for test in condition["process_graph"].values():
                demand.properties[name] = test["arguments"].get("y")
    return demands


def suite_archive(folder: Path) -> Path:
    """The collections that the official openEO test suite loads: S2_LOCAL and CGLS_SSM_1KM."""
    scenario = Scenario(
        epsg=32632,
        west=679_720,
        north=5_151_920,
        width=96,
        height=84,
        start=datetime(2022, 6, 2, 10, 10, 31, tzinfo=UTC),
        days=(0, 5, 10, 15, 20, 25),
        radar_days=(),
        bands=("B04", "B08", "SCL"),
        offset=0.0,
        neighbour=None,
        edge_every=0,
        tiles=("32TPS", ""),
        cloud_cover=(0.0,),
    )
    spec = replace(sentinel2(scenario), id="S2_LOCAL")
    write_collections(folder, scenario, make_landscape(scenario), [spec], _silent)
    moisture = Demand(
        areas=[box(16.186, 48.087, 16.577, 48.293)],
        periods=[(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 12, 13, tzinfo=UTC))],
    )
    product = Product(1 / 112, {"B01": Measure(20, 180, "uint8", 255)})
    ssm = _write_product(folder, "CGLS_SSM_1KM", moisture, product, dates=12)
    return write_catalog(folder, "suite", "Data of the official test suite.", [spec, ssm])


def _silent(done: int, planned: int) -> None:
    """Progress nobody watches."""


def _followers(nodes: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The nodes that work on the result of `key`, nearest first."""
    reached, queue = {key}, [key]
    while queue:
        current = queue.pop(0)
        for name, node in nodes.items():
            uses = [a for a in node["arguments"].values() if isinstance(a, Mapping) and a.get("from_node") == current]
            if uses and name not in reached:
                reached.add(name)
                queue.append(name)
                yield node


def _area(extent: Any, later: Sequence[Mapping[str, Any]]) -> Polygon:
    """The extent in degrees: of the load, else of the first spatial filter that follows."""
    sought = {"filter_bbox": "extent", "filter_spatial": "geometries", "aggregate_spatial": "geometries"}
    for node in later:
        if extent is None and node["process_id"] in sought:
            extent = node["arguments"][sought[node["process_id"]]]
    if extent is None:
        raise ValueError("a graph without any spatial extent has no stand-in")
    if "west" in extent:
        area = box(extent["west"], extent["south"], extent["east"], extent["north"])
        crs = CRS.from_user_input(extent.get("crs") or 4326)
        if crs.to_epsg() != 4326:
            move = Transformer.from_crs(crs, 4326, always_xy=True)
            area = shapely.transform(area.segmentize(area.length / 40), move.transform, interleaved=False)
        return area
    features = extent.get("features", [extent])
    return unary_union([from_geojson(feature.get("geometry", feature)) for feature in features])


def _period(extent: Any, later: Sequence[Mapping[str, Any]]) -> tuple[datetime, datetime]:
    for node in later:
        if extent is None and node["process_id"] == "filter_temporal":
            extent = node["arguments"]["extent"]
    first, last = extent or _DEFAULT_PERIOD
    start, end = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (first, last))
    return start.replace(tzinfo=start.tzinfo or UTC), end.replace(tzinfo=end.tzinfo or UTC)


def _days(periods: Sequence[tuple[datetime, datetime]], most: int) -> list[datetime]:
    """Days inside the half-open periods, evenly spread: the first day of each, then on."""
    found: set[datetime] = set()
    for start, end in periods:
        whole = max(1, (end - start).days)
        count = min(most, whole)
        for number in range(count):
            day = start + timedelta(days=(number * whole) // count)
            found.add(day.replace(hour=0, minute=0, second=0))
    return sorted(found)


def _write_built(folder: Path, name: str, demand: Demand) -> list[CollectionSpec]:
    """A collection of the kinds in the demo archive, at the place and time of the demand."""
    area = unary_union(demand.areas)
    middle = area.centroid
    epsg = (32600 if middle.y >= 0 else 32700) + int((middle.x + 180) // 6) + 1
    move = Transformer.from_crs(4326, epsg, always_xy=True)
    outline = box(*area.bounds).segmentize(0.02)
    west, south, east, north = shapely.transform(outline, move.transform, interleaved=False).bounds
    resolution = max(10, 10 * math.ceil(max(east - west, north - south) / SIDE / 10))
    cell = 6 * resolution
    left, top = math.floor(west / cell), math.ceil(north / cell)
    days = _days(demand.periods, DATES)
    start = days[0].replace(hour=10, minute=10, second=31)
    wanted = [band for band in (*OPTICAL_BANDS, "SCL", *ANGLE_BANDS) if band in demand.bands or band == "SCL"]
    limit = demand.properties.get("eo:cloud_cover")
    clear = 0.3 * min(float(limit), 60.0) / 100 if limit is not None else 0.1
    scenario = Scenario(
        epsg=epsg,
        west=left * cell,
        north=top * cell,
        resolution=resolution,
        width=6 * (math.ceil(east / cell) - left),
        height=6 * (top - math.floor(south / cell)),
        start=start,
        days=tuple((day - days[0]).days for day in days),
        radar_days=tuple((day - days[0]).days for day in days),
        bands=tuple(wanted),
        offset=0.0,
        neighbour=None,
        edge_every=0,
        tiles=("31UFS", ""),
        cloud_cover=(0.0, clear, 0.9, clear),
    )
    return write_collections(folder, scenario, make_landscape(scenario), [_BUILT[name](scenario)], _silent)


def _write_product(
    folder: Path, name: str, demand: Demand, product: Product | None = None, dates: int = 6
) -> CollectionSpec:
    """A collection of smooth fields on a grid in degrees, with some pixels without data."""
    product = product or PRODUCTS.get(name) or Product(0.001, {})
    measures = {band: product.bands.get(band) or Measure(0, 1) for band in demand.bands} or dict(product.bands)
    if name.startswith("ESA_WORLDCEREAL") and demand.bands:
        measures = {band: _WORLDCEREAL.bands["classification"] for band in demand.bands}
    grid = _degrees(unary_union(demand.areas).bounds, product.step)
    bands = tuple(
        BandSpec(
            band,
            measure.data_type,
            measure.nodata,
            round(grid.step * 111_320, 1),
            classes={value: (f"class_{value}", f"{40 * value % 256:02X}6040") for value in measure.classes},
        )
        for band, measure in measures.items()
    )
    spec = CollectionSpec(name, f"{name} (synthetic)", "Smooth fields of numbers.", bands)
    properties = {key: value for key, value in demand.properties.items() if isinstance(value, str)}
    items = []
    for index, day in enumerate(_days(demand.periods, dates)):
        item = f"{name}_{day:%Y%m%d}"
        values = {band: _field(measure, grid, f"{name}/{band}", index) for band, measure in measures.items()}
        write_bands(folder, spec, item, grid, values)
        time = day.replace(hour=12)
        items.append(make_item(spec, item, time, grid, footprint(grid), properties))
    write_collection(folder / name.lower(), spec, items)
    return spec


def _degrees(bounds: tuple[float, float, float, float], step: float) -> Grid:
    west, south, east, north = bounds
    step *= max(1, math.ceil(max(east - west, north - south) / step / SIDE))
    left, top = math.floor(west / step + 1e-9), math.ceil(north / step - 1e-9)
    right, bottom = math.ceil(east / step - 1e-9), math.floor(south / step + 1e-9)
    return Grid(4326, left * step, top * step, step, right - left, top - bottom)


def _field(measure: Measure, grid: Grid, name: str, index: int) -> NDArray:
    """Values that change slowly in space and differ from date to date; about 3 % have no data."""
    random = Scenario().random(name, index)
    noise = smooth_noise(random, grid.shape, max(3.0, grid.width / 7))
    share = (0.5 + noise / 6).clip(0, 1)
    holes = smooth_noise(random, grid.shape, max(2.0, grid.width / 20)) > 1.9
    if measure.classes:
        values = np.array(measure.classes)[(share * len(measure.classes)).astype(int).clip(0, len(measure.classes) - 1)]
    else:
        values = measure.low + share * (measure.high - measure.low)
    return np.where(holes, measure.nodata, values).astype(measure.data_type)
