"""The benchmark's data and graphs: a made-up season of one Sentinel-2 tile as COGs with a STAC catalog."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from scipy.ndimage import gaussian_filter, zoom

LEFT, TOP, EPSG, METRES = 399960, 5300040, 32633, 10
BANDS = ("B02", "B03", "B04", "B08")
COLLECTION = "bench-s2"
#: Clear mean, spread, and answer to growth of each band, in stored numbers above the offset.
LOOKS = {"B02": (420, 80, 30), "B03": (680, 100, 60), "B04": (590, 150, -120), "B08": (2900, 600, 400)}


def dates(count: int) -> list[datetime]:
    """Four a month from May 2025 on."""
    return [datetime(2025, 5 + i // 4, 2 + 7 * (i % 4), 10, 6) for i in range(count)]


def _texture(rng: np.random.Generator, size: int, coarsest: int) -> np.ndarray:
    """Clouds of noise at several scales, of mean 0 and spread 1."""
    out = np.zeros((size, size), np.float32)
    step = coarsest
    while step >= 4:
        grains = rng.standard_normal((size // step + 2,) * 2).astype(np.float32)
        out += zoom(grains, step, order=1)[:size, :size] * step**0.7
        step //= 4
    return np.asarray((out - out.mean()) / out.std(), np.float32)


def _write(path: Path, values: np.ndarray, pixel: int, block: int) -> None:
    profile = {"driver": "GTiff", "dtype": values.dtype.name, "count": 1, "nodata": 0, "crs": f"EPSG:{EPSG}"}
    profile |= {"height": values.shape[0], "width": values.shape[1], "transform": from_origin(LEFT, TOP, pixel, pixel)}
    predictor = "NO" if values.dtype == np.uint8 else "YES"
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(values, 1)
        with rasterio.open(memory.name) as file:
            copy(file, path, driver="COG", compress="DEFLATE", predictor=predictor, blocksize=block)


def generate(folder: Path, size: int, count: int = 12) -> Path:
    """Write the season unless it is there, and return its collection."""
    collection = folder / "collection.json"
    if collection.exists():
        return collection
    rng = np.random.default_rng(11)
    ground, fine = _texture(rng, size, 256), _texture(rng, size, 16)
    fields = np.kron(rng.standard_normal((size // 64, size // 64)), np.ones((64, 64))).astype(np.float32)
    ground = 0.6 * ground + 0.6 * fields
    links = []
    for index, moment in enumerate(dates(count)):
        cover = gaussian_filter(_texture(rng, size // 2, 512), 2)
        limit = np.quantile(cover, 1 - (0.05, 0.6, 0.3, 0.1, 0.45, 0.2, 0.7, 0.15, 0.02, 0.35, 0.25, 0.5)[index % 12])
        scene = np.where(ground[::2, ::2] > -0.4, 4, 5).astype(np.uint8)
        scene[cover > limit] = 8
        scene[cover > limit + 0.3] = 9
        scene[np.roll(cover > limit + 0.1, (20, 15), (0, 1)) & (scene < 8)] = 3
        if index % 4 == 1:  # the edge of the swath
            scene[np.add.outer(0.2 * np.arange(size // 2), np.arange(size // 2)) < size // 8] = 0
        item = folder / f"S2_{moment:%Y%m%d}"
        item.mkdir(parents=True, exist_ok=True)
        wide = scene.repeat(2, 0).repeat(2, 1)
        growth = np.sin(np.pi * index / count)
        for band, (mean, spread, answer) in LOOKS.items():
            values = mean + spread * (ground * np.sign(answer) + 0.3 * fine) + answer * growth
            values = np.where(wide >= 8, 6000 + 300 * fine, np.where(wide == 3, 0.5 * values, values))
            values += 15 * rng.standard_normal((size, size), dtype=np.float32)
            stored = np.clip(values + 1000, 1, 20000).astype(np.uint16)
            stored[wide == 0] = 0
            _write(item / f"{band}.tif", stored, METRES, 1024)
        _write(item / "SCL.tif", scene, 2 * METRES, 512)
        links.append({"rel": "item", "href": _item(item, moment, size).as_posix()})
    bounds = transform_bounds(EPSG, 4326, *extent(size))
    interval = [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (dates(count)[0], dates(count)[-1])]
    document = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "description": "Made up.",
        "links": links,
    }
    document |= {"license": "CC0-1.0", "extent": {"spatial": {"bbox": [bounds]}, "temporal": {"interval": [interval]}}}
    collection.write_text(json.dumps(document))
    return collection


def _item(folder: Path, moment: datetime, size: int) -> Path:
    west, south, east, north = transform_bounds(EPSG, 4326, *extent(size))
    assets = {}
    for band in (*BANDS, "SCL"):
        pixel = 2 * METRES if band == "SCL" else METRES
        count = size * METRES // pixel
        raster: dict[str, Any] = {"data_type": "uint8" if band == "SCL" else "uint16", "nodata": 0}
        raster |= {} if band == "SCL" else {"scale": 0.0001, "offset": -0.1}
        assets[band] = {
            "href": str(folder.resolve() / f"{band}.tif"),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": [count, count],
            "proj:transform": [pixel, 0, LEFT, 0, -pixel, TOP, 0, 0, 1],
            "eo:bands": [{"name": band}],
            "raster:bands": [raster],
        }
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    extensions = [
        f"https://stac-extensions.github.io/{name}/v1.1.0/schema.json" for name in ("projection", "raster", "eo")
    ]
    item = {"type": "Feature", "stac_version": "1.0.0", "stac_extensions": extensions, "id": folder.name}
    item |= {"collection": COLLECTION, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    item |= {"bbox": [west, south, east, north], "links": [], "assets": assets}
    item |= {"properties": {"datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "proj:epsg": EPSG}}
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(item))
    return path


def extent(size: int) -> tuple[float, float, float, float]:
    """West, south, east, north of the upper left `size` x `size` pixels."""
    return LEFT, TOP - METRES * size, LEFT + METRES * size, TOP


def items(folder: Path) -> list[dict[str, Any]]:
    """The items, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("S2_*.json"))]


def _node(process: str, /, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments}


def _callback(nodes: dict[str, Any], result: str) -> dict[str, Any]:
    return {
        "process_graph": {name: {**node, "result": True} if name == result else node for name, node in nodes.items()}
    }


def _reducer(process: str, /, **more: Any) -> dict[str, Any]:
    return _callback({"r": _node(process, data={"from_parameter": "data"}, **more)}, "r")


def _load(size: int, bands: Sequence[str], until: str = "2026-01-01") -> dict[str, Any]:
    west, south, east, north = extent(size)
    box = {"west": west, "south": south, "east": east, "north": north, "crs": EPSG}
    return _node(
        "load_collection", id=COLLECTION, spatial_extent=box, temporal_extent=["2025-05-01", until], bands=list(bands)
    )


def graph(workload: str, size: int) -> dict[str, Any]:
    """The process of a workload."""
    data, x = {"from_parameter": "data"}, {"from_parameter": "x"}

    def ref(name: str) -> dict[str, str]:
        return {"from_node": name}

    if workload == "a":
        element = {name: _node("array_element", data=data, label=name) for name in ("B08", "B04")}
        ndvi = _callback(element | {"n": _node("normalized_difference", x=ref("B08"), y=ref("B04"))}, "n")
        nodes = {
            "load": _load(size, ("B04", "B08")),
            "ndvi": _node("reduce_dimension", data=ref("load"), dimension="bands", reducer=ndvi),
            "out": _node("reduce_dimension", data=ref("ndvi"), dimension="t", reducer=_reducer("median")),
        }
    elif workload == "b":
        wrong = {f"e{code}": _node("eq", x=x, y=code) for code in (3, 8, 9)}
        wrong |= {"o": _node("or", x=ref("e3"), y=ref("e8")), "any": _node("or", x=ref("o"), y=ref("e9"))}
        nodes = {
            "load": _load(size, BANDS),
            "scene": _load(size, ["SCL"]),
            "bad": _node("apply", data=ref("scene"), process=_callback(wrong, "any")),
            "mask": _node("mask", data=ref("load"), mask=ref("bad")),
            "out": _node("aggregate_temporal_period", data=ref("mask"), period="month", reducer=_reducer("median")),
        }
    elif workload == "c":
        row = np.array([1, 4, 6, 4, 1])
        kernel = np.outer(row, row).tolist()
        nodes = {
            "load": _load(size, BANDS, until="2025-05-05"),
            "warp": _node("resample_spatial", data=ref("load"), projection=3857, resolution=15, method="bilinear"),
            "out": _node("apply_kernel", data=ref("warp"), kernel=kernel, factor=1 / 256),
        }
    else:
        nodes = {
            "load": _load(size, BANDS),
            "out": _node(
                "apply_dimension",
                data=ref("load"),
                dimension="t",
                target_dimension="bands",
                process=_reducer("quantiles", probabilities=[0.1, 0.5, 0.9]),
            ),
        }
    format_name = "netCDF" if workload == "b" else "GTiff"
    save = {**_node("save_result", data=ref("out"), format=format_name), "result": True}
    return {"process_graph": {**nodes, "save": save}}


def months(count: int) -> list[list[int]]:
    """Indices of the dates by month."""
    found: dict[int, list[int]] = {}
    for index, moment in enumerate(dates(count)):
        found.setdefault(moment.month, []).append(index)
    return list(found.values())
