"""Archives for tests hold what process graphs and the official suite ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from archives import SIDE, read_demands, stand_in, suite_archive
from rasterio.windows import from_bounds
from shapely import box


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def items(catalog: Path, collection: str) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, read(path)) for path in sorted((catalog.parent / collection.lower()).glob("*/*.json"))]


def when(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["properties"]["datetime"].replace("Z", "+00:00"))


def test_every_real_graph_gets_what_it_loads(shared: Path, tmp_path: Path) -> None:
    names = [entry["name"] for entry in read_list(shared / "realworld" / "INDEX.json")]
    assert len(names) == 30
    loaded = 0
    for name in names:
        graph = read(shared / "realworld" / f"{name}.json")
        catalog = stand_in(graph, tmp_path / name)
        children = [link["title"] for link in read(catalog)["links"] if link["rel"] == "child"]
        demands = read_demands(graph["process_graph"])
        assert len(children) == len(demands)
        for collection, demand in demands.items():
            loaded += 1
            document = read(catalog.parent / collection.lower() / "collection.json")
            assert document["id"] == collection
            assert set(demand.bands) <= set(document["cube:dimensions"]["bands"]["values"])
            covered = box(*document["extent"]["spatial"]["bbox"][0]).buffer(1e-6)
            assert all(covered.contains(area) for area in demand.areas), (name, collection)
            found = [item for _, item in items(catalog, collection)]
            limit = demand.properties.get("eo:cloud_cover", 100)
            for start, end in demand.periods:
                inside = [item for item in found if start <= when(item) < end]
                if collection != "ESA_WORLDCOVER_10M_2021_V2":
                    assert inside
                assert any(item["properties"].get("eo:cloud_cover", 0) <= limit for item in inside or found)
    assert loaded == 29
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 40e6


def read_list(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))


def load(identifier: str, **arguments: Any) -> dict[str, Any]:
    return {
        "process_id": "load_collection",
        "arguments": {"id": identifier, "spatial_extent": None, "temporal_extent": None, **arguments},
    }


def test_extents_of_later_filters_count(tmp_path: Path) -> None:
    graph = {
        "load": load("SENTINEL2_L2A", bands=["B04"]),
        "time": {
            "process_id": "filter_temporal",
            "arguments": {"data": {"from_node": "load"}, "extent": ["2023-03-01", "2023-03-03"]},
        },
        "space": {
            "process_id": "filter_bbox",
            "arguments": {
                "data": {"from_node": "time"},
                "extent": {"west": 5.0, "south": 51.2, "east": 5.01, "north": 51.21},
            },
            "result": True,
        },
    }
    catalog = stand_in({"process_graph": graph}, tmp_path)
    assert [f"{when(item):%Y-%m-%d}" for _, item in items(catalog, "SENTINEL2_L2A")] == ["2023-03-01", "2023-03-02"]
    (bounds,) = read(tmp_path / "sentinel2_l2a" / "collection.json")["extent"]["spatial"]["bbox"]
    assert bounds == pytest.approx([5.0, 51.2, 5.01, 51.21], abs=0.003)


def test_large_extents_have_large_pixels_and_say_so(tmp_path: Path) -> None:
    extent = {"west": 12.0, "south": 45.0, "east": 13.0, "north": 46.0}
    graph = {
        "load": load(
            "SENTINEL2_L2A", bands=["B04"], spatial_extent=extent, temporal_extent=["2023-03-01", "2023-03-02"]
        )
    }
    ((path, item),) = items(stand_in(graph, tmp_path), "SENTINEL2_L2A")
    with rasterio.open(path.parent / item["assets"]["B04"]["href"]) as file:
        assert max(file.shape) <= SIDE + 12
        assert file.res[0] == item["assets"]["B04"]["gsd"] > 100


def test_collections_nobody_knows_get_numbers(tmp_path: Path) -> None:
    extent = {"west": 3.0, "south": 50.0, "east": 3.05, "north": 50.05}
    graph = {"load": load("HEAT", bands=["LST"], spatial_extent=extent, temporal_extent=["2020-01-01", "2020-01-03"])}
    (path, item), _ = items(stand_in(graph, tmp_path), "HEAT")
    with rasterio.open(path.parent / item["assets"]["LST"]["href"]) as file:
        values = file.read(1, masked=True)
    assert 0 <= values.min() < values.max() <= 1
    assert 0.5 < 1 - np.isnan(values.filled(np.nan)).mean() < 1


def test_graph_without_extent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="spatial extent"):
        stand_in({"load": load("SENTINEL2_L2A", bands=["B04"])}, tmp_path)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite_archive(tmp_path_factory.mktemp("suite"))


def test_suite_window_and_dates(suite: Path) -> None:
    found = items(suite, "S2_LOCAL")
    times = [when(item) for _, item in found]
    assert all(datetime(2022, 6, 1, tzinfo=UTC) <= time < datetime(2022, 7, 1, tzinfo=UTC) for time in times)
    assert sum(time.day in (1, 2) for time in times) == 1
    assert len({time.isocalendar().week for time in times}) == 5
    for first, last in ((1, 7), (7, 14), (14, 21)):
        assert any(first <= time.day < last for time in times)
    path, item = found[0]
    with rasterio.open(path.parent / item["assets"]["B08"]["href"]) as file:
        assert file.crs.to_epsg() == 32632
        assert tuple(file.bounds) == (679_720, 5_151_080, 680_680, 5_151_920)
        assert file.shape == (84, 96)
        window = from_bounds(680_000, 5_151_500, 680_100, 5_151_600, file.transform)
        assert (window.row_off, window.col_off, window.height, window.width) == pytest.approx((32, 28, 10, 10))


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1).astype(float)


def test_suite_values(suite: Path) -> None:
    for path, item in items(suite, "S2_LOCAL"):
        red, near = (pixels(path.parent / item["assets"][band]["href"]) for band in ("B04", "B08"))
        ndvi = (near - red) / (near + red)
        assert ndvi.max() > 0.75
        assert ndvi.min() < 0.75
        assert red.max() >= 1
        assert item["assets"]["B04"]["raster:bands"][0]["offset"] == 0


def test_suite_soil_moisture(suite: Path) -> None:
    document = read(suite.parent / "cgls_ssm_1km" / "collection.json")
    assert document["id"] == "CGLS_SSM_1KM"
    assert document["cube:dimensions"]["bands"]["values"] == ["B01"]
    west, south, east, north = document["extent"]["spatial"]["bbox"][0]
    assert west <= 16.18612
    assert east >= 16.57645
    assert south <= 48.0877
    assert north >= 48.2929
    found = items(suite, "CGLS_SSM_1KM")
    assert len(found) == 12
    assert all(datetime(2020, 1, 1, tzinfo=UTC) <= when(item) < datetime(2020, 12, 13, tzinfo=UTC) for _, item in found)
    assert None not in document["extent"]["temporal"]["interval"][0]
