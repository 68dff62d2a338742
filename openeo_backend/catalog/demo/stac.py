"""Static STAC 1.0.0: collections, items and the catalog as JSON files with relative links."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from shapely import Polygon, box
from shapely.geometry import mapping

from openeo_backend.catalog.demo.raster import MEDIA_TYPE
from openeo_backend.catalog.demo.scenario import Grid, reproject

SYNTHETIC = "Synthetic data computed by a program; no satellite measured them."

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
ITEM_EXTENSIONS = ("projection/v1.1.0", "eo/v1.1.0", "raster/v1.1.0", "classification/v1.1.0")


@dataclass(frozen=True)
class BandSpec:
    """A band as its metadata tell it; each band is an asset of its own, of the same name."""

    name: str
    data_type: str
    nodata: float | None
    gsd: float
    """Metres."""
    title: str = ""
    factor: int = 1
    """Pixel size in pixels of the item's grid."""
    common_name: str | None = None
    wavelength: tuple[float, float] | None = None
    """Centre and full width at half maximum in micrometres."""
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    classes: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Name and colour by value."""
    file: str | None = None
    """Stem of the file where it is not the band's name: two names of one band."""

    @property
    def categorical(self) -> bool:
        return bool(self.classes)

    def eo(self) -> dict[str, Any]:
        """Entry of `eo:bands`."""
        entry: dict[str, Any] = {"name": self.name}
        if self.title:
            entry["description"] = self.title
        if self.common_name:
            entry["common_name"] = self.common_name
        if self.wavelength:
            entry["center_wavelength"], entry["full_width_half_max"] = self.wavelength
        return entry

    def raster(self) -> dict[str, Any]:
        """Entry of `raster:bands`."""
        entry: dict[str, Any] = {"data_type": self.data_type, "sampling": "area", "spatial_resolution": self.gsd}
        if self.nodata is not None:
            entry["nodata"] = "nan" if math.isnan(self.nodata) else self.nodata
        for key, value in (("scale", self.scale), ("offset", self.offset), ("unit", self.unit)):
            if value is not None:
                entry[key] = value
        if self.classes:
            entry["classification:classes"] = self._classes()
        return entry

    def band(self) -> dict[str, Any]:
        """Entry of `bands`, as STAC 1.1 has it."""
        raster = self.raster()
        entry: dict[str, Any] = {"name": self.name, "gsd": self.gsd, "data_type": self.data_type}
        if self.title:
            entry["description"] = self.title
        entry |= {key: raster[key] for key in ("nodata", "unit", "classification:classes") if key in raster}
        entry |= {f"raster:{key}": raster[key] for key in ("scale", "offset") if key in raster}
        eo = self.eo()
        for key in ("common_name", "center_wavelength", "full_width_half_max"):
            if key in eo:
                entry[f"eo:{key}"] = eo[key]
        return entry

    def asset(self) -> dict[str, Any]:
        """The band's asset without the members that differ from item to item."""
        return {
            "type": MEDIA_TYPE,
            "title": self.title or self.name,
            "roles": ["data"],
            "gsd": self.gsd,
            "eo:bands": [self.eo()],
            "raster:bands": [self.raster()],
            "bands": [self.band()],
        }

    def _classes(self) -> list[dict[str, Any]]:
        return [
            {"value": value, "name": name, "description": name.replace("_", " "), "color_hint": colour}
            for value, (name, colour) in self.classes.items()
        ]


@dataclass(frozen=True)
class CollectionSpec:
    """A collection as its metadata tell it."""

    id: str
    title: str
    description: str
    bands: tuple[BandSpec, ...]
    kind: Literal["optical", "radar", "terrain", "cover", "other"] = "other"
    """Which part of the generator makes its items."""
    keywords: tuple[str, ...] = ()
    summaries: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    """Further extensions of collection and items, as `name/version`."""


def timestamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def footprint(
    grid: Grid, edge: tuple[float, float] | None = None, area: Grid | None = None, within: Grid | None = None
) -> Polygon:
    """Where a scene on `grid` has data, in degrees.

    :param edge: western edge of the swath (easting, slope) in the CRS of `area`.
    :param within: ground beyond which there are no data.
    """
    shape = box(*grid.bounds)
    if within is not None and within.epsg != grid.epsg:
        shape = shape.intersection(reproject(box(*within.bounds), within.epsg, grid.epsg))
    if edge is not None and area is not None:
        west, south, east, north = area.bounds
        low, high = south - (north - south), north + (north - south)
        middle, far = (south + north) / 2, east + (east - west)
        half = Polygon(
            [
                (edge[0] + edge[1] * (low - middle), low),
                (far, low),
                (far, high),
                (edge[0] + edge[1] * (high - middle), high),
            ]
        )
        shape = shape.intersection(half if area.epsg == grid.epsg else reproject(half, area.epsg, grid.epsg))
    return shape if grid.epsg == 4326 else reproject(shape, grid.epsg, 4326)


def make_item(
    spec: CollectionSpec,
    name: str,
    time: datetime,
    grid: Grid,
    shape: Polygon,
    properties: Mapping[str, Any],
    period: tuple[datetime, datetime] | None = None,
) -> dict[str, Any]:
    """An item with one asset per band of `spec`, beside which the files lie."""
    bounds = _bounds(shape)
    own: dict[str, Any] = {"datetime": timestamp(time), "description": SYNTHETIC}
    if period is not None:
        own["start_datetime"], own["end_datetime"] = (timestamp(instant) for instant in period)
    assets = {}
    for band in spec.bands:
        pixels = grid.coarser(band.factor)
        place = {
            "href": f"./{band.file or band.name}.tif",
            "proj:shape": list(pixels.shape),
            "proj:transform": [float(value) for value in tuple(pixels.transform)[:6]],
        }
        assets[band.name] = place | band.asset()
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [_EXTENSION.format(e) for e in (*ITEM_EXTENSIONS, *spec.extensions)],
        "id": name,
        "collection": spec.id,
        "geometry": _round(mapping(shape)),
        "bbox": bounds,
        "properties": own
        | {"gsd": min(band.gsd for band in spec.bands), "proj:epsg": grid.epsg}
        | {
            "proj:bbox": list(grid.bounds),
            "proj:shape": list(grid.shape),
            "proj:transform": [float(value) for value in tuple(grid.transform)[:6]],
        }
        | dict(properties),
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": assets,
    }


def write_collection(folder: Path, spec: CollectionSpec, items: Sequence[Mapping[str, Any]]) -> None:
    """`collection.json` and the items' JSON files into `folder`; the extents are those of the items."""
    folder.mkdir(parents=True, exist_ok=True)
    boxes = [item["bbox"] for item in items]
    west, south = (min(b[k] for b in boxes) for k in (0, 1))
    east, north = (max(b[k] for b in boxes) for k in (2, 3))
    first = min(item["properties"].get("start_datetime", item["properties"]["datetime"]) for item in items)
    last = max(item["properties"].get("end_datetime", item["properties"]["datetime"]) for item in items)
    extensions = ("datacube/v2.2.0", "item-assets/v1.0.0", *ITEM_EXTENSIONS, *spec.extensions)
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [_EXTENSION.format(extension) for extension in extensions],
        "id": spec.id,
        "title": spec.title,
        "description": f"{spec.description} {SYNTHETIC}",
        "keywords": [*spec.keywords, "synthetic", "demo"],
        "license": "CC0-1.0",
        "providers": [
            {
                "name": "openeo-backend demo archive",
                "description": "The generator of synthetic data that comes with this back-end.",
                "roles": ["producer", "processor", "licensor", "host"],
            }
        ],
        "extent": {
            "spatial": {"bbox": [[west, south, east, north]]},
            "temporal": {"interval": [[first, last]]},
        },
        "cube:dimensions": {
            "x": {"type": "spatial", "axis": "x", "extent": [west, east], "reference_system": 4326},
            "y": {"type": "spatial", "axis": "y", "extent": [south, north], "reference_system": 4326},
            "t": {"type": "temporal", "extent": [first, last]},
            "bands": {"type": "bands", "values": [band.name for band in spec.bands]},
        },
        "summaries": _summaries(spec, items),
        "item_assets": {band.name: band.asset() for band in spec.bands},
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
        ]
        + [
            {"rel": "item", "href": f"./{item['id']}/{item['id']}.json", "type": "application/geo+json"}
            for item in items
        ],
    }
    for item in items:
        write_json(folder / item["id"] / f"{item['id']}.json", item)
    write_json(folder / "collection.json", collection)


def write_catalog(
    folder: Path, name: str, description: str, specs: Iterable[CollectionSpec], links: Sequence[Mapping[str, str]] = ()
) -> Path:
    """`catalog.json`, whose children are the collections' folders of the same names in lower case."""
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": name,
        "title": "Synthetic demo archive",
        "description": f"{description} {SYNTHETIC}",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *(
                {"rel": "child", "href": f"./{spec.id.lower()}/collection.json", "type": "application/json",
                 "title": spec.title}
                for spec in specs
            ),
            *(dict(link) for link in links),
        ],
    }  # fmt: skip
    return write_json(folder / "catalog.json", catalog)


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _summaries(spec: CollectionSpec, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summaries: dict[str, Any] = {
        "gsd": sorted({band.gsd for band in spec.bands}),
        "eo:bands": [band.eo() for band in spec.bands],
        "bands": [band.band() for band in spec.bands],
        "proj:epsg": sorted({item["properties"]["proj:epsg"] for item in items}),
    }
    for key in ("platform", "constellation", "sat:orbit_state", "sat:relative_orbit", "s2:mgrs_tile"):
        values = {item["properties"][key] for item in items if key in item["properties"]}
        if values:
            summaries[key] = sorted(values)
    clouds = [item["properties"]["eo:cloud_cover"] for item in items if "eo:cloud_cover" in item["properties"]]
    if clouds:
        low, high = min(clouds), max(clouds)
        # STAC names the ends of a range minimum and maximum, the openEO Aggregator reads min and max.
        summaries["eo:cloud_cover"] = {"minimum": low, "maximum": high, "min": low, "max": high}
    return summaries | dict(spec.summaries)


def _bounds(shape: Polygon) -> list[float]:
    """Bounding box rounded outwards to 7 decimals, which is a centimetre."""
    west, south, east, north = shape.bounds
    unit = 1e7
    return [
        math.floor(west * unit) / unit,
        math.floor(south * unit) / unit,
        math.ceil(east * unit) / unit,
        math.ceil(north * unit) / unit,
    ]


def _round(geometry: Mapping[str, Any]) -> dict[str, Any]:
    def rounded(value: Any) -> Any:
        return round(value, 7) if isinstance(value, float) else [rounded(part) for part in value]

    return {"type": geometry["type"], "coordinates": rounded(geometry["coordinates"])}
