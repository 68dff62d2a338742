"""Means over larger pixels, from overviews where that is meant, and only there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from range_server import RangeServer
from rasterio.enums import Resampling
from scenes import DAYS, write_scenes

from openeo_backend.catalog.coarse import means
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import Settings

#: Pixels of 10 x 20 m; those asked for have 8 x 8 of them.
HEIGHT, WIDTH, FACTOR = 64, 48, 8
COARSE = {"resolution": [80, 160], "method": "average"}


@pytest.fixture
def values() -> np.ndarray:
    """What overviews are made of; the pixels themselves are others, by 1000, so that it shows what was read."""
    found = np.random.default_rng(3).integers(1, 20_000, (3, HEIGHT, WIDTH)).astype("uint16")
    found[0, :20, 5:30] = 0
    return found


def write(folder: Path, values: np.ndarray, tag: str | None = None, factors: tuple[int, ...] = (2, 4, 8)) -> Path:
    archive = write_scenes(folder, {"B1": values})
    for day, plane in zip(DAYS, values, strict=True):
        path = archive.parent / f"{day}-B1.tif"
        make_overviews(path, factors)
        with rasterio.open(path, "r+") as file:
            if tag:
                file.update_tags(OVR_RESAMPLING_ALG=tag)
            file.write(np.where(plane == 0, 0, plane + 1000).astype("uint16"), 1)
    return archive


def make_overviews(path: Path, factors: tuple[int, ...]) -> None:
    if factors:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(list(factors), Resampling.average)


def run(
    archive: Path | str, out: Path, resample: Mapping[str, Any], overviews: str = "average", **load: Any
) -> tuple[np.ndarray, list[str]]:
    """Values (t, y, x) that a graph gives, and what was logged."""
    arguments = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None, **load}
    graph = {
        "load": {"process_id": "load_collection", "arguments": arguments},
        "near": {"process_id": "resample_spatial", "arguments": {"data": {"from_node": "load"}, **resample}},
        "save": {"process_id": "save_result", "arguments": {"data": {"from_node": "near"}, "format": "GTiff"}},
    }
    graph["save"]["result"] = True
    catalog = {"sources": [str(archive)], "collections": {"SCENES": {"overviews": overviews}}}
    events: list[Any] = []
    request = RunRequest("coarse", {"process_graph": graph}, out)
    outcome = execute(request, Engine.open(Settings.model_validate({"catalog": catalog})), events.append)
    assert outcome.error is None, outcome.error
    found = []
    for path in sorted(out.glob("*.tif")):
        with rasterio.open(path) as file:
            found.append(file.read())
    return np.concatenate(found), [str(event) for event in events]


def mean(values: np.ndarray, factor: int = FACTOR) -> np.ndarray:
    """Means of valid pixels."""
    wide = np.where(values == 0, np.nan, values.astype("float64"))
    squares = wide.reshape(len(values), values.shape[1] // factor, factor, values.shape[2] // factor, factor)
    counts = (~np.isnan(squares)).sum(axis=(2, 4))
    return np.where(counts, np.nansum(squares, axis=(2, 4)) / np.maximum(counts, 1), np.nan)


def whole(values: np.ndarray) -> np.ndarray:
    """Which squares miss no pixel."""
    return mean((values > 0) + 1.0) == 2


@pytest.mark.parametrize(
    ("overviews", "tag", "are_read"),
    [
        ("average", None, True),
        ("average", "NEAREST", True),
        ("declared", "AVERAGE", True),
        ("declared", "MODE", False),
        ("declared", None, False),
        ("never", "AVERAGE", False),
    ],
)
def test_overviews_are_read_where_they_are_means(
    tmp_path: Path, values: np.ndarray, overviews: str, tag: str | None, are_read: bool
) -> None:
    found, told = run(write(tmp_path / "s", values, tag), tmp_path / "out", COARSE, overviews)
    wanted = mean(values) + (0 if are_read else 1000)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    # each of the three levels rounds to whole numbers; where pixels are missing, means weigh otherwise
    inner = whole(values)
    assert np.abs(found - wanted)[inner].max() <= (1.5 if are_read else 0.01)
    assert any("means of 8 x 8 pixels" in event for event in told) == are_read
    if not are_read:
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "resample",
    [
        {"resolution": [80, 160], "method": "near"},
        {"resolution": [80, 160]},
        {"resolution": [80, 160], "method": "max"},
        {"resolution": [80, 160], "method": "bilinear"},
        {"resolution": [15, 30], "method": "average"},
    ],
)
def test_all_else_takes_every_pixel(tmp_path: Path, values: np.ndarray, resample: dict[str, Any]) -> None:
    archive = write(tmp_path / "s", values)
    found, told = run(archive, tmp_path / "out", resample)
    exact, _ = run(archive, tmp_path / "exact", resample, "never")
    np.testing.assert_array_equal(found, exact)
    assert not any("means of" in event for event in told)


def test_files_without_overviews_among_others(tmp_path: Path, values: np.ndarray) -> None:
    archive = write(tmp_path / "s", values)
    bare = write(tmp_path / "bare", values, factors=())
    name = f"{DAYS[2]}-B1.tif"
    (bare.parent / name).replace(archive.parent / name)
    found, told = run(archive, tmp_path / "out", COARSE)
    assert any("means of 8 x 8" in event for event in told)
    np.testing.assert_allclose(found[2], mean(values)[2] + 1000, rtol=1e-6)
    assert np.abs(found[1] - mean(values)[1]).max() <= 1.5


def test_the_largest_of_the_overviews_that_are_there(tmp_path: Path, values: np.ndarray) -> None:
    found, told = run(write(tmp_path / "s", values, factors=(2, 4)), tmp_path / "out", COARSE)
    assert any("means of 4 x 4" in event for event in told)
    assert np.abs(found[1:] - mean(values)[1:]).max() <= 1.0


@pytest.mark.parametrize("place", [{"resolution": [100, 190]}, {"resolution": [200, 300], "projection": 3857}])
def test_pixels_that_are_not_made_of_those_of_overviews(tmp_path: Path, place: dict[str, Any]) -> None:
    resample = {"method": "average", **place}
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([4000 + 30 * y + 50 * x + 10 * day for day in range(3)]).astype("uint16")
    archive = write(tmp_path / "s", smooth)
    found, told = run(archive, tmp_path / "out", resample)
    exact, _ = run(archive, tmp_path / "exact", resample, "never")
    assert any("means of 2 x 2 pixels" in event for event in told)
    assert found.shape == exact.shape
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert np.nanmax(np.abs(found + 1000 - exact)[inner]) < 25  # a half of what a pixel differs from the next
    assert np.isfinite(found[inner]).mean() > 0.8


def test_an_extent_that_cuts_larger_pixels(tmp_path: Path, values: np.ndarray) -> None:
    extent = {"west": 600_030, "south": 5_698_900, "east": 600_430, "north": 5_699_960, "crs": 32631}
    archive = write(tmp_path / "s", values)
    found, _ = run(archive, tmp_path / "out", COARSE, spatial_extent=extent, bands=["B1"])
    exact, told = run(archive, tmp_path / "exact", COARSE, "never", spatial_extent=extent, bands=["B1"])
    assert found.shape == exact.shape
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert np.isfinite(exact[inner]).any()
    assert not any("means of" in event for event in told)
    same = np.isnan(found) == np.isnan(exact)
    assert same[inner].all()


def test_bands_of_other_resolutions(tmp_path: Path, values: np.ndarray) -> None:
    archive = write_scenes(tmp_path / "s", {"B1": values, "B2": values[:, ::2, ::2]})
    for day in DAYS:
        path, item = archive.parent / f"{day}-B2.tif", archive.parent / f"{day}.json"
        with rasterio.open(path) as file:
            profile, plane = file.profile, file.read(1)
        profile["transform"] = profile["transform"] @ Affine.scale(2)
        with rasterio.open(path, "w", **profile) as file:
            file.write(plane, 1)
        make_overviews(path, (2, 4))
        document = json.loads(item.read_text())
        document["assets"]["B2"]["proj:transform"] = list(profile["transform"])[:6]
        item.write_text(json.dumps(document))
        make_overviews(archive.parent / f"{day}-B1.tif", (2, 4, 8))
    found, told = run(archive, tmp_path / "out", COARSE)
    assert any("means of 8 x 8" in event for event in told)
    assert np.abs(found[0::2] - mean(values))[whole(values)].max() <= 1.5
    wanted = mean(values[:, ::2, ::2], 4)
    complete = whole(np.repeat(np.repeat(values[:, ::2, ::2], 2, 1), 2, 2))
    assert np.abs(found[1::2] - wanted)[complete].max() <= 1.0


def test_files_on_another_lattice_are_read_whole(tmp_path: Path, values: np.ndarray) -> None:
    archive = write(tmp_path / "s", values)
    path, item = archive.parent / f"{DAYS[1]}-B1.tif", archive.parent / f"{DAYS[1]}.json"
    with rasterio.open(path, "r+") as file:
        moved = file.transform @ Affine.translation(1, 0)
        file.transform = moved
    document = json.loads(item.read_text())
    document["assets"]["B1"]["proj:transform"] = list(moved)[:6]
    item.write_text(json.dumps(document))
    found, told = run(archive, tmp_path / "out", COARSE)
    assert not any("means of" in event for event in told)
    np.testing.assert_allclose(found[0, 1:-1, 1:4], mean(values)[0, 1:-1, 1:4] + 1000, rtol=1e-5)


def test_files_elsewhere(tmp_path: Path) -> None:
    """Nothing asks other threads for bytes while GDAL looks at a file: they would wait for each other."""
    values = np.random.default_rng(4).integers(1, 20_000, (3, 512, 512)).astype("uint16")
    archive = write_scenes(tmp_path / "s", {"B1": values})
    for day, plane in zip(DAYS, values, strict=True):
        path = archive.parent / f"{day}-B1.tif"
        with rasterio.open(path) as file:
            place = {"crs": file.crs, "transform": file.transform, "nodata": 0}
        size = {"width": 512, "height": 512, "count": 1, "dtype": "uint16", "blocksize": 128, "compress": "deflate"}
        with rasterio.open(path, "w", driver="COG", **size, **place, overview_resampling="AVERAGE") as file:
            file.write(plane, 1)
    here, _ = run(archive, tmp_path / "here", COARSE)
    server = RangeServer(archive.parent)
    try:
        there, told = run(f"{server.url}/collection.json", tmp_path / "there", COARSE)
    finally:
        server.close()
    assert any("means of 4 x 4" in event for event in told)
    np.testing.assert_array_equal(there, here)
    assert np.abs(there - mean(values)).max() <= 1.0


def test_means_leave_out_what_is_missing() -> None:
    values = np.array([[1, np.nan, np.nan, np.nan], [3, 8, np.nan, np.nan]], "float32")
    np.testing.assert_array_equal(means(values, 2), np.array([[4, np.nan]], "float32"))
