"""Statistics of geometries in files, read back by other libraries."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from openeo.rest.conversions import timeseries_json_to_pandas
from vector_support import callback, geojson, place, raster, values

from openeo_backend.cube import Cube
from openeo_backend.formats.writing import write_result

Call = Callable[..., Any]

SHAPES = [shapely.box(*place(x, y + 8), *place(x + 8, y)) for x, y in ((0, 0), (30, 5), (11, 12))]
ROWS: list[dict[str, Any]] = [{"crop": "maize", "id": 7}, {"crop": "rye", "id": 3}, {"crop": "wheat", "id": None}]


@pytest.fixture
def statistics(call: Call) -> Cube:
    """(geometry, t, bands); the second geometry is outside of the 20 x 24 pixels."""
    data = np.random.default_rng(1).normal(50, 9, (3, 2, 20, 24)).astype("float32")
    data[1] = np.nan
    found = call(
        "aggregate_spatial",
        data=raster(data, chunks=(1, 2, 10, 10)),
        geometries=geojson(SHAPES, ROWS),
        reducer=callback("mean"),
    )
    assert isinstance(found, Cube)
    return found


def write(cube: Cube, name: str, folder: Path) -> Path:
    (asset,) = write_result(cube, name, {}, folder, "statistics", lambda done, planned: None)
    return asset.path


DATES = [f"2023-05-0{day}T00:00:00Z" for day in (1, 2, 3)]


def test_json_as_the_client_reads_it(statistics: Cube, tmp_path: Path) -> None:
    content = json.loads(write(statistics, "JSON", tmp_path).read_text())
    assert list(content) == DATES
    assert content[DATES[1]] == [[None, None]] * 3
    assert content[DATES[0]][1] == [None, None]
    np.testing.assert_allclose(content[DATES[2]][2], values(statistics)[2, 2], rtol=1e-6)
    frame = timeseries_json_to_pandas(content)
    np.testing.assert_allclose(frame.loc[DATES[0]][(0, 1)], values(statistics)[0, 0, 1], rtol=1e-6)


def test_csv(statistics: Cube, tmp_path: Path) -> None:
    with write(statistics, "CSV", tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["date", "feature_index", "crop", "id", "B00", "B01"]
    assert [(row["date"], row["feature_index"]) for row in rows] == [(date, str(i)) for date in DATES for i in range(3)]
    assert [row["id"] for row in rows[:3]] == ["7", "3", ""]
    assert (rows[1]["B00"], rows[3]["B00"]) == ("", "")
    np.testing.assert_allclose(float(rows[8]["B01"]), values(statistics)[2, 2, 1], rtol=1e-6)


@pytest.mark.parametrize("name", ["GeoJSON", "Parquet"])
def test_features(statistics: Cube, name: str, tmp_path: Path) -> None:
    path = write(statistics, name, tmp_path)
    frame = gpd.read_file(path) if name == "GeoJSON" else gpd.read_parquet(path)
    assert frame.crs.to_epsg() == (4326 if name == "GeoJSON" else 32631)
    assert frame.to_crs(32631).geometry.geom_equals_exact(gpd.GeoSeries(SHAPES, crs=32631), 0.01).all()
    assert frame["crop"].tolist() == ["maize", "rye", "wheat"]
    assert frame["id"].tolist()[:2] == [7, 3]
    np.testing.assert_allclose(frame[f"{DATES[2]}~B01"].to_numpy("float64"), values(statistics)[:, 2, 1], rtol=1e-6)
    if name == "GeoJSON":
        features = json.loads(path.read_text())["features"]
        assert [str(feature["properties"]["id"]) for feature in features] == ["7", "3", "None"]


def test_netcdf(statistics: Cube, tmp_path: Path) -> None:
    with xr.open_dataset(write(statistics, "netCDF", tmp_path)) as data:
        assert dict(data.sizes) == {"geometry": 3, "t": 3}
        for index, band in enumerate(("B00", "B01")):
            np.testing.assert_allclose(data[band].transpose("geometry", "t"), values(statistics)[..., index])
        assert data["property_crop"].values.tolist() == ["maize", "rye", "wheat"]
        assert shapely.equals(shapely.from_wkt(data["geometry_wkt"].values), SHAPES).all()
