"""Tiny STAC catalogs written by the tests, and surroundings for loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.graph.callback import Callback, Scope
from openeo_backend.graph.effects import LoadHints
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.net.door import Door
from openeo_backend.processes.registry import Registry
from openeo_backend.settings import CatalogSettings, NetSettings


@dataclass
class Surroundings:
    """An `env` for loads that keeps what is logged."""

    hint: LoadHints = field(default_factory=LoadHints)
    options: Mapping[str, Any] = field(default_factory=dict)
    entries: list[tuple[str, str]] = field(default_factory=list)
    user: str | None = None

    def scratch(self) -> Path:
        raise AssertionError("no load here needs a folder")

    def log(self, level: str, message: str, **more: Any) -> None:
        self.entries.append((level, message))


@dataclass
class Archive:
    """A static STAC collection in a folder, made item by item."""

    folder: Path
    collection: dict[str, Any]

    def add(
        self,
        id: str,
        values: Mapping[str, np.ndarray],
        *,
        time: str = "2023-04-02T10:50:00Z",
        epsg: int = 32631,
        origin: tuple[float, float] = (600_000.0, 5_700_000.0),
        step: float | Mapping[str, float] = 10.0,
        nodata: float | None = 0,
        bands: Mapping[str, Mapping[str, Any]] | None = None,
        properties: Mapping[str, Any] | None = None,
        grid_told: bool = True,
    ) -> dict[str, Any]:
        """Write an item with one single-band GeoTIFF per band."""
        place = self.folder / id
        place.mkdir(parents=True)
        assets: dict[str, Any] = {}
        for name, array in values.items():
            size = step[name] if isinstance(step, Mapping) else step
            transform = Affine(size, 0, origin[0], 0, -size, origin[1])
            write_tiff(place / f"{name}.tif", array, transform, epsg, nodata)
            said: dict[str, Any] = {"name": name, "data_type": str(array.dtype)}
            if nodata is not None:
                said["nodata"] = nodata if np.isfinite(nodata) else "nan"
            assets[name] = {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
            if grid_told:
                assets[name] |= {"proj:shape": list(array.shape), "proj:transform": list(transform)[:6]}
            raster = {k: v for k, v in {**said, **((bands or {}).get(name) or {})}.items() if k != "name"}
            assets[name] |= {"eo:bands": [{"name": name}], "raster:bands": [raster]}
        height, width = next(iter(values.values())).shape
        size = step[next(iter(values))] if isinstance(step, Mapping) else step
        box = rasterio.warp.transform_bounds(
            epsg, 4326, origin[0], origin[1] - size * height, origin[0] + size * width, origin[1]
        )
        w, s, e, n = box
        document = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": id,
            "collection": self.collection["id"],
            "geometry": {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
            "bbox": list(box),
            "properties": {"datetime": time, **({"proj:epsg": epsg} if grid_told else {}), **(properties or {})},
            "links": [{"rel": "collection", "href": "../collection.json"}],
            "assets": assets,
        }
        self.write_item(document)
        return document

    def write_item(self, document: dict[str, Any]) -> None:
        """Write an item document and link it."""
        path = self.folder / document["id"] / "item.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
        link = {"rel": "item", "href": f"./{document['id']}/item.json"}
        if link not in self.collection["links"]:
            self.collection["links"].append(link)
        self.write()

    def write(self) -> Path:
        path = self.folder / "collection.json"
        path.write_text(json.dumps(self.collection))
        return path

    def open(self, **settings: Any) -> Catalog:
        """A catalog of the archive."""
        return Catalog([str(self.write())], CatalogSettings(**settings), Door(NetSettings()))


def write_tiff(path: Path, array: np.ndarray, transform: Affine, epsg: int, nodata: float | None) -> None:
    """A GeoTIFF with one band (2-d) or several (3-d)."""
    planes = array if array.ndim == 3 else array[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=planes.shape[2],
        height=planes.shape[1],
        count=planes.shape[0],
        dtype=planes.dtype,
        crs=epsg,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(planes)


@pytest.fixture
def env() -> Surroundings:
    return Surroundings()


@pytest.fixture
def surroundings() -> type[Surroundings]:
    return Surroundings


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty collection TEST in a folder of its own."""
    folder = tmp_path / "archive"
    folder.mkdir()
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "TEST",
        "description": "made by a test",
        "license": "CC-BY-4.0",
        "extent": {"spatial": {"bbox": [[4, 51, 5, 52]]}, "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]}},
        "links": [],
    }
    return Archive(folder, collection)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.predefined()


@pytest.fixture
def condition(registry: Registry) -> Callable[..., Callback]:
    """A callback of one or several process calls on the parameter `value`."""

    def make(nodes: Mapping[str, Any], **parameters: Any) -> Callback:
        graph = parse(dict(nodes), max_nodes=100, max_depth=10)
        return Callback(graph, Scope(parameters), lambda inner, scope: evaluate(inner, registry, scope, None))

    return make


@pytest.fixture
def scenes(archive):
    """Eight dates with cloud covers 0, 10 ... 70."""
    for number in range(8):
        archive.add(
            f"S{number}",
            {"B04": np.full((8, 8), number + 1, dtype="uint16")},
            time=f"2023-04-{number * 3 + 1:02d}T10:50:00Z",
            properties={"eo:cloud_cover": number * 10},
        )
    archive.write()
    return archive
