"""Requests that are far too large, and files unlike others: the right result or a refusal with numbers, and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from scenes import DAYS, write_scenes

from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Outcome, RunRequest
from openeo_backend.settings import Settings

SIDE = 96
EARTH = {"west": -180, "south": -90, "east": 180, "north": 90}
#: What a synchronous request and a batch job may read at most.
SYNC, JOB = 1e9, 1e12


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """A refusal takes no long work; generous, for machines that are busy."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 10


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(5).integers(1, 60_000, (3, SIDE, SIDE)).astype("uint16")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> Path:
    return write_scenes(tmp_path_factory.mktemp("bad") / "scenes", {"B1": values})


def run(archive: Path, folder: Path, limit: float, nodes: dict[str, Any], **load: Any) -> Outcome:
    arguments = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None, "bands": ["B1"], **load}
    graph = {"load": {"process_id": "load_collection", "arguments": arguments}, **nodes}
    next(reversed(graph.values()))["result"] = True
    engine = Engine.open(Settings.model_validate({"catalog": {"sources": [str(archive)]}}))
    request = RunRequest("bad", {"process_graph": graph}, folder, roles=None, limit_samples=limit)
    return execute(request, engine, lambda event: None)


def refused(outcome: Outcome, *words: str, code: str = "ProcessGraphComplexity") -> None:
    assert outcome.error is not None
    assert outcome.error["code"] == code, outcome.error
    for word in words:
        assert word in outcome.error["message"]


def after(process: str, **arguments: Any) -> dict[str, Any]:
    return {"made": {"process_id": process, "arguments": {"data": {"from_node": "load"}, **arguments}}}


@pytest.mark.parametrize("limit", [SYNC, JOB])
def test_the_whole_earth(tmp_path: Path, archive: Path, limit: float) -> None:
    refused(run(archive, tmp_path / "out", limit, {}, spatial_extent=EARTH), "million")


def test_forty_years(tmp_path: Path, archive: Path, values: np.ndarray) -> None:
    outcome = run(archive, tmp_path / "out", SYNC, {}, temporal_extent=["1985-01-01", "2025-01-01"])
    assert outcome.error is None
    assert len(outcome.files) == 1
    days = after("aggregate_temporal_period", period="hour", reducer=_mean())
    refused(run(archive, tmp_path / "hours", 10.0, days, temporal_extent=["1985-01-01", "2025-01-01"]), "samples")


def _mean() -> dict[str, Any]:
    node = {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
    return {"process_graph": {"mean": node}}


@pytest.mark.parametrize(("limit", "metres"), [(SYNC, 0.01), (JOB, 0.0001), (JOB, 1e-9)])
def test_a_resolution_of_a_centimetre(tmp_path: Path, archive: Path, limit: float, metres: float) -> None:
    refused(run(archive, tmp_path / "out", limit, after("resample_spatial", resolution=metres)), " x ")


@pytest.mark.parametrize("kernel", [[[1] * 9999], [[1]] * 9999])
def test_a_kernel_of_9999_pixels(tmp_path: Path, archive: Path, kernel: list[list[int]]) -> None:
    outcome = run(archive, tmp_path / "out", SYNC, after("apply_kernel", kernel=kernel))
    assert outcome.error is not None
    assert "9,999" in outcome.error["message"] or "9999" in outcome.error["message"]


# -- files unlike others --------------------------------------------------------------------------------

FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "strips of 7 rows": ("uint16", {"blockysize": 7}),
    "tiles of 16 x 48": ("uint16", {"tiled": True, "blockxsize": 48, "blockysize": 16, "compress": "lzw"}),
    "JPEG": ("uint8", {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "jpeg"}),
    "palette": ("uint8", {"photometric": "palette"}),
    "64-bit integers": ("int64", {"compress": "deflate"}),
    "64-bit floats": ("float64", {"compress": "zstd", "predictor": 3}),
    "signed": ("int16", {"compress": "deflate", "predictor": 2}),
    "big endian": ("uint16", {"ENDIANNESS": "BIG"}),
}


@pytest.mark.parametrize("name", FILES)
def test_an_unusual_file(tmp_path: Path, name: str) -> None:
    dtype, profile = FILES[name]
    archive = write_scenes(tmp_path / "scenes", {"B1": np.ones((3, 61, 83), "uint16")})
    rng = np.random.default_rng(1)
    wanted = []
    for day in DAYS:
        path = archive.parent / f"{day}-B1.tif"
        with rasterio.open(path) as file:
            place = {"crs": file.crs, "transform": file.transform}
        values = rng.integers(1, 120, (61, 83)).astype(dtype)
        size = {"width": 83, "height": 61, "count": 1, "dtype": dtype, "nodata": 0}
        with rasterio.open(path, "w", driver="GTiff", **size, **place, **profile) as file:
            file.write(values, 1)
            if name == "palette":
                file.write_colormap(1, {n: (n, 0, 0, 255) for n in range(256)})
        with rasterio.open(path) as file:
            wanted.append(file.read(1))
        item = archive.parent / f"{day}.json"
        document = json.loads(item.read_text())
        document["assets"]["B1"]["bands"][0]["data_type"] = dtype
        item.write_text(json.dumps(document))
    outcome = run(archive, tmp_path / "out", SYNC, after("save_result", format="GTiff"))
    assert outcome.error is None, outcome.error
    for path, values in zip(sorted((tmp_path / "out").glob("*.tif")), wanted, strict=True):
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(1).astype("float64"), values.astype("float64"))


def test_items_in_systems_of_their_own(tmp_path: Path) -> None:
    """Two of three items lie in another UTM zone: nearest pixels, as rasterio's own warp has them, but for edges."""
    archive = write_scenes(tmp_path / "scenes", {"B1": np.ones((3, 60, 60), "uint16")})
    with rasterio.open(archive.parent / f"{DAYS[0]}-B1.tif") as file:
        own, grid = file.read(1), file.transform
    other = rasterio.warp.transform("EPSG:32631", "EPSG:32632", [grid.c], [grid.f])
    moved = Affine(10, 0, round(other[0][0]), 0, -10, round(other[1][0]) + 200)
    values = np.add.outer(100 * np.arange(200), np.arange(200)).astype("uint16") + 1
    path = archive.parent / f"{DAYS[1]}-B1.tif"
    profile = {"driver": "GTiff", "width": 200, "height": 200, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", **profile, crs=32632, transform=moved) as file:
        file.write(values, 1)
    item = archive.parent / f"{DAYS[1]}.json"
    document = json.loads(item.read_text())
    document["properties"]["proj:code"] = "EPSG:32632"
    document["assets"]["B1"] |= {"proj:shape": [200, 200], "proj:transform": list(moved)[:6]}
    item.write_text(json.dumps(document))
    box = {"west": grid.c, "south": grid.f - 60 * 20, "east": grid.c + 600, "north": grid.f, "crs": 32631}
    outcome = run(archive, tmp_path / "out", SYNC, after("save_result", format="GTiff"), spatial_extent=box)
    assert outcome.error is None, outcome.error
    found = [rasterio.open(path).read(1) for path in sorted((tmp_path / "out").glob("*.tif"))]
    np.testing.assert_array_equal(found[0], own)
    wanted = np.zeros((60, 60), "uint16")
    rasterio.warp.reproject(
        values,
        wanted,
        src_transform=moved,
        src_crs=32632,
        dst_transform=grid,
        dst_crs=32631,
        src_nodata=0,
        tolerance=0.01,
    )
    same = wanted == found[1]
    assert same.mean() > 0.98
    apart = np.abs(found[1].astype(int) - wanted)[~same & (wanted > 0) & (found[1] > 0)]
    assert np.isin(apart, (1, 99, 100, 101)).all()  # the neighbour, where a place lies between two pixels


def test_bands_of_one_file_with_scales_of_their_own(tmp_path: Path) -> None:
    archive = write_scenes(tmp_path / "scenes", {"B1": np.ones((3, 8, 9), "uint16")})
    values = np.random.default_rng(8).integers(1, 60_000, (3, 2, 8, 9)).astype("uint16")
    linear = {"B1": (0.0001, -0.1), "B2": (0.02, 250.0)}
    for day, planes in zip(DAYS, values, strict=True):
        path = archive.parent / f"{day}-B1.tif"
        with rasterio.open(path) as file:
            profile = file.profile | {"count": 2}
        with rasterio.open(path, "w", **profile) as file:
            file.write(planes)
        item = archive.parent / f"{day}.json"
        document = json.loads(item.read_text())
        document["assets"]["B1"]["bands"] = [
            {"name": name, "data_type": "uint16", "nodata": 0, "scale": scale, "offset": offset}
            for name, (scale, offset) in linear.items()
        ]
        item.write_text(json.dumps(document))
    for applied in (False, True):
        catalog = {"sources": [str(archive)], "collections": {"SCENES": {"apply_scale": applied}}}
        engine = Engine.open(Settings.model_validate({"catalog": catalog}))
        out = tmp_path / str(applied)
        load = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None, "bands": ["B2", "B1"]}
        graph = {"load": {"process_id": "load_collection", "arguments": load}, **after("save_result", format="GTiff")}
        graph["made"]["result"] = True
        outcome = execute(RunRequest("s", {"process_graph": graph}, out), engine, lambda event: None)
        assert outcome.error is None, outcome.error
        for path, planes in zip(sorted(out.glob("*.tif")), values, strict=True):
            with rasterio.open(path) as file:
                assert file.descriptions == ("B2", "B1")
                found = file.read().astype("float64")
                if not applied:
                    np.testing.assert_array_equal(found, planes[::-1])
                    assert list(zip(file.scales, file.offsets, strict=True)) == [linear["B2"], linear["B1"]]
                    continue
                wanted = np.stack([planes[n - 1] * linear[f"B{n}"][0] + linear[f"B{n}"][1] for n in (2, 1)])
                np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
