"""The demo archive at a reduced size: what its files and metadata say, and that both agree."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.warp import transform_geom
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_backend.catalog.demo import REFERENCE, Scenario, write_archive

TINY = Scenario(
    width=264,
    height=264,
    start=datetime(2025, 5, 1, 10, 10, 31, tzinfo=UTC),
    days=(0, 10, 20, 30),
    radar_days=(1, 13),
    cloud_cover=(0.3, 0.5, 0.0, 0.2),
)


def silent(done: int, planned: int) -> None:
    pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, silent, TINY)
    return folder


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def items(archive: Path, collection: str) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, read(path)) for path in sorted((archive / collection.lower()).glob("*/*.json"))]


def pixels(path: Path, item: dict[str, Any], band: str) -> np.ndarray:
    with rasterio.open(path.parent / item["assets"][band]["href"]) as file:
        return file.read(1)


def test_same_scenario_same_bytes(archive: Path, tmp_path: Path) -> None:
    write_archive(tmp_path, silent, TINY)
    names = {path.relative_to(archive) for path in archive.rglob("*") if path.is_file()}
    assert names == {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(names) > 100
    different = [name for name in names if (archive / name).read_bytes() != (tmp_path / name).read_bytes()]
    assert different == []


def test_another_seed_other_pixels(archive: Path, tmp_path: Path) -> None:
    write_archive(tmp_path, silent, replace(TINY, seed=8, days=(0,), radar_days=()))
    (ours, _), (theirs, item) = items(archive, "SENTINEL2_L2A")[0], items(tmp_path, "SENTINEL2_L2A")[0]
    assert ours.name == theirs.name
    assert not np.array_equal(pixels(ours, item, "B04"), pixels(theirs, item, "B04"))


def test_progress_counts_every_step(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_archive(
        tmp_path, lambda done, planned: seen.append((done, planned)), replace(TINY, days=(0,), radar_days=(1,))
    )
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def _registry(shared: Path) -> Registry:
    folder = shared / "spec" / "stac-schemas"

    def retrieve(uri: str) -> Resource:
        parts = urlsplit(uri)
        if parts.netloc == "proj.org":  # PROJJSON, which the archive does not use
            return Resource.from_contents({"type": "object"}, default_specification=DRAFT7)
        path = folder / parts.netloc / parts.path.lstrip("/")
        return Resource.from_contents(read(path), default_specification=DRAFT7)

    return Registry(retrieve=retrieve)


def test_metadata_is_valid_stac(archive: Path, shared: Path) -> None:
    registry = _registry(shared)
    core = "https://schemas.stacspec.org/v1.0.0/{0}-spec/json-schema/{0}.json"
    cube = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"

    def check(uri: str, document: dict[str, Any]) -> None:
        jsonschema.Draft7Validator({"$ref": uri}, registry=registry).validate(document)

    check(core.format("catalog"), read(archive / "catalog.json"))
    collections = sorted(archive.glob("*/collection.json"))
    assert len(collections) == 4
    for path in collections:
        check(core.format("collection"), read(path))
        check(cube, read(path))
    documents = [read(path) for path in archive.glob("*/*/*.json")]
    assert len(documents) == 4 + 2 + 2 + 2
    for document in documents:
        check(core.format("item"), document)
    broken = {**documents[0], "bbox": "everywhere"}
    with pytest.raises(jsonschema.ValidationError):
        check(core.format("item"), broken)


def test_links_are_relative_and_lead_to_files(archive: Path) -> None:
    documents = list(archive.rglob("*.json"))
    for path in documents:
        document = read(path)
        hrefs = [link["href"] for link in document["links"]]
        hrefs += [asset["href"] for asset in document.get("assets", {}).values()]
        for href in hrefs:
            assert href.startswith("."), (path, href)
            assert (path.parent / href).is_file(), (path, href)
    tifs = {path for path in archive.rglob("*.tif")}
    named = {
        (path.parent / asset["href"]).resolve() for path in documents for asset in read(path).get("assets", {}).values()
    }
    assert {path.resolve() for path in tifs} == named


def test_assets_are_cogs_as_described(archive: Path) -> None:
    for path in archive.glob("*/*/*.json"):
        item = read(path)
        for name, asset in item["assets"].items():
            with rasterio.open(path.parent / asset["href"]) as file:
                assert file.count == 1
                assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert file.compression.name == "deflate"
                assert file.block_shapes[0][0] in (256, file.height) or file.is_tiled
                assert bool(file.overviews(1)) == (max(file.shape) > 256), (path, name)
                assert list(file.shape) == asset["proj:shape"]
                assert list(file.transform)[:6] == asset["proj:transform"]
                assert file.crs.to_epsg() == item["properties"]["proj:epsg"]
                (raster,) = asset["raster:bands"]
                assert file.dtypes[0] == raster["data_type"]
                declared = raster["nodata"]
                assert np.isnan(file.nodata) if declared == "nan" else file.nodata == declared
                assert asset["eo:bands"][0]["name"] == asset["bands"][0]["name"] == name
                assert file.res == pytest.approx((abs(asset["proj:transform"][0]),) * 2)


def test_collection_metadata(archive: Path) -> None:
    optical = read(archive / "sentinel2_l2a" / "collection.json")
    assert optical["id"] == "SENTINEL2_L2A"
    assert optical["cube:dimensions"]["bands"]["values"] == [
        *("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL"),
        *("sunAzimuthAngles", "sunZenithAngles", "viewAzimuthMean", "viewZenithMean", "approximateViewAzimuth"),
    ]
    assert set(optical["cube:dimensions"]) == {"x", "y", "t", "bands"}
    assert [band["name"] for band in optical["summaries"]["eo:bands"]] == optical["cube:dimensions"]["bands"]["values"]
    red = optical["item_assets"]["B04"]["raster:bands"][0]
    assert (red["scale"], red["offset"], red["nodata"], red["data_type"]) == (0.0001, -0.1, 0, "uint16")
    assert optical["summaries"]["gsd"] == [10, 20, 60]
    for path in archive.glob("*/collection.json"):
        collection = read(path)
        assert "synthetic" in collection["title"]
        assert "synthetic" in collection["description"].lower()
        assert {"host", "producer"} <= set(collection["providers"][0]["roles"])
        # The openEO Aggregator drops all summaries of a back-end when one is neither a list nor has min and max.
        for value in collection["summaries"].values():
            assert isinstance(value, list) or {"min", "max", "minimum", "maximum"} <= set(value)


def test_extents_are_those_of_the_items(archive: Path) -> None:
    for path in archive.glob("*/collection.json"):
        collection = read(path)
        own = [item for _, item in items(archive, collection["id"])]
        west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
        boxes = np.array([item["bbox"] for item in own])
        assert [west, south] == boxes[:, :2].min(axis=0).tolist()
        assert [east, north] == boxes[:, 2:].max(axis=0).tolist()
        ((start, end),) = collection["extent"]["temporal"]["interval"]
        assert start <= end
        times = [item["properties"]["datetime"] for item in own]
        assert start <= min(times)
        assert max(times) <= end
    optical = read(archive / "sentinel2_l2a" / "collection.json")
    assert optical["extent"]["temporal"]["interval"] == [["2025-05-01T10:10:31Z", "2025-05-31T10:10:31Z"]]


def test_footprints_are_where_the_data_are(archive: Path) -> None:
    cut = 0
    for path, item in items(archive, "SENTINEL2_L2A") + items(archive, "SENTINEL1_GRD"):
        band = "B04" if "B04" in item["assets"] else "VV"
        with rasterio.open(path.parent / item["assets"][band]["href"]) as file:
            valid = file.read_masks(1) > 0
            shape = transform_geom("EPSG:4326", file.crs, item["geometry"])
            inside = rasterize([shape], file.shape, transform=file.transform).astype(bool)
        assert (valid != inside).mean() < 0.02
        cut += valid.mean() < 0.95
    assert cut >= 2


def test_nodata_beyond_the_edge_of_the_swath(archive: Path) -> None:
    found = [(p, i) for p, i in items(archive, "SENTINEL2_L2A") if i["properties"]["sat:relative_orbit"] == 22]
    assert len(found) == 2
    path, item = next((p, i) for p, i in found if i["properties"]["proj:epsg"] == 32632)
    red, scl = pixels(path, item, "B04"), pixels(path, item, "SCL")
    missing = (red == 0).mean()
    assert 0.2 < missing < 0.4
    assert item["properties"]["s2:nodata_pixel_percentage"] == pytest.approx(100 * missing, abs=1)
    assert (scl == 0).mean() == pytest.approx(missing, abs=0.01)
    assert np.isnan(pixels(path, item, "sunZenithAngles")).mean() == pytest.approx(missing, abs=0.03)
    assert (red[:, -1] > 0).all()
    assert (red[:, 0] == 0).all()


def test_cloud_cover_is_that_of_the_scene_classes(archive: Path) -> None:
    covers = []
    for path, item in items(archive, "SENTINEL2_L2A"):
        scl = pixels(path, item, "SCL")
        assert set(np.unique(scl)) <= {0, 3, 4, 5, 6, 8, 9, 10}
        expected = 100 * np.isin(scl, (8, 9, 10)).sum() / (scl > 0).sum()
        assert item["properties"]["eo:cloud_cover"] == pytest.approx(expected, abs=0.01)
        covers.append(expected)
    assert min(covers) == 0
    assert max(covers) > 30


def test_zones_agree_where_they_overlap(archive: Path) -> None:
    scenes = items(archive, "SENTINEL2_L2A")
    neighbours = [(path, item) for path, item in scenes if item["properties"]["proj:epsg"] == 32633]
    assert len(neighbours) == 2
    for path, item in neighbours:
        time = item["properties"]["datetime"]
        home_path, home = next(
            (p, i) for p, i in scenes if i["properties"]["datetime"] == time and i["id"] != item["id"]
        )
        for band in ("B04", "B11", "SCL"):
            with (
                rasterio.open(path.parent / item["assets"][band]["href"]) as there,
                rasterio.open(home_path.parent / home["assets"][band]["href"]) as here,
            ):
                rows, columns = np.indices(there.shape)
                west, north, step = there.bounds.left, there.bounds.top, there.res[0]
                x, y = west + (columns + 0.5) * step, north - (rows + 0.5) * step
                x, y = Transformer.from_crs(32633, 32632, always_xy=True).transform(x, y)
                column = np.floor((x - here.bounds.left) / here.res[0]).astype(int)
                row = np.floor((here.bounds.top - y) / here.res[1]).astype(int)
                inside = (row >= 0) & (row < here.height) & (column >= 0) & (column < here.width)
                theirs = there.read(1)[inside]
                ours = here.read(1)[row[inside], column[inside]]
            assert inside.mean() > 0.5
            both = (theirs > 0) & (ours > 0)
            assert both.mean() > 0.5
            assert np.array_equal(theirs[both], ours[both]), band


def test_land_cover_and_reference_agree(archive: Path) -> None:
    ((path, item),) = items(archive, "ESA_WORLDCOVER_10M_2021_V2")
    features = read(archive / REFERENCE)["features"]
    wanted = {"grassland": 30, "forest": 10, "water": 80, "built_up": 50}
    with rasterio.open(path.parent / item["assets"]["MAP"]["href"]) as file:
        cover = file.read(1)
        hits = []
        for feature in features:
            inside = rasterize([feature["geometry"]], file.shape, transform=file.transform).astype(bool)
            assert inside.any()
            hits.append((cover[inside] == wanted.get(feature["properties"]["crop"], 40)).mean())
    assert min(hits) > 0.5
    assert np.mean(hits) > 0.97


def test_reference_polygons(archive: Path) -> None:
    features = read(archive / REFERENCE)["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    assert all(shape.is_valid and shape.exterior.is_ccw for shape in shapes)
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    assert (left == right).all(), "polygons overlap"
    west, south, east, north = read(archive / "sentinel2_l2a" / "collection.json")["extent"]["spatial"]["bbox"][0]
    assert shapely.box(west, south, east, north).contains(shapely.GeometryCollection(shapes))
    assert {feature["properties"]["use"] for feature in features} == {"training", "validation"}
    names = {feature["properties"]["target"]: feature["properties"]["crop"] for feature in features}
    assert names[1] == "winter_wheat"
    assert names[9] == "water"
    assert len({f["properties"]["id"] for f in features}) == len(features)


def test_terrain_is_hilly_and_in_degrees(archive: Path) -> None:
    ((path, item),) = items(archive, "COPERNICUS_30")
    height = pixels(path, item, "DEM")
    assert item["assets"]["DEM"]["proj:transform"][0] == pytest.approx(1 / 3600)
    assert np.isfinite(height).mean() > 0.99
    assert 250 < np.nanmin(height) < np.nanmax(height) < 650
    assert np.nanstd(height) > 10
