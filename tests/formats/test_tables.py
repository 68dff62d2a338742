"""JSON, CSV, GeoJSON and Parquet read back by their own libraries."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from openeo.rest.conversions import timeseries_json_to_pandas

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.pixels import LabeledList
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import geojson, netcdf, parquet
from openeo_backend.formats.writing import write_result

Make = Callable[..., Cube]


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def load(path: Path) -> Any:
    return json.loads(path.read_text(), parse_constant=refuse_constant)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (4, 4),
        ("text", "text"),
        (0.1, 0.1),
        (math.nan, None),
        (math.inf, None),
        ([1, [math.nan, "a"]], [1, [None, "a"]]),
        ({"a": np.float32(0.5), "b": np.int16(3)}, {"a": 0.5, "b": 3}),
        (LabeledList([1, 2], ["x", "y"]), [1, 2]),
        (np.array([[1.5, np.nan]]), [[1.5, None]]),
        (np.datetime64("2020-01-01"), "2020-01-01T00:00:00Z"),
    ],
)
def test_values(value: Any, expected: Any, tmp_path: Path) -> None:
    (asset,) = write_result(value, "json", {}, tmp_path, "value", quiet)
    assert (asset.path.name, asset.media_type) == ("value.json", "application/json")
    assert load(asset.path) == expected


def test_series_of_features_as_the_python_client_reads_them(vector_cube: Cube, tmp_path: Path) -> None:
    (asset,) = write_result(vector_cube, "JSON", {}, tmp_path, "series", quiet)
    content = load(asset.path)
    assert content == {
        "2020-02-01T00:00:00Z": [[0, 1], [4, None], [8, 9]],
        "2020-01-01T00:00:00Z": [[2, 3], [6, 7], [10, 11]],
    }
    table = timeseries_json_to_pandas(content)
    assert table.loc["2020-01-01T00:00:00Z", (2, 1)] == 11
    assert asset.bands[1].name == "B08"
    assert asset.bands[1].valid_percent == pytest.approx(100 * 5 / 6)
    assert asset.start == "2020-01-01T00:00:00Z"


def test_features_without_dates(vector_cube: Cube, tmp_path: Path) -> None:
    cube = vector_cube.with_data(vector_cube.data.isel(t=0, drop=True))
    (asset,) = write_result(cube, "JSON", {}, tmp_path, "a", quiet)
    assert load(asset.path) == [[0, 1], [4, None], [8, 9]]


def test_series_without_geometries(tmp_path: Path) -> None:
    data = xr.DataArray([0.1, np.nan], dims="t", coords={"t": np.array(["2020-01-01", "2020-01-02"], "M8[ns]")})
    cube = Cube(data.astype("f4"), (Dimension("t", "temporal"),))
    (asset,) = write_result(cube, "JSON", {}, tmp_path, "a", quiet)
    assert load(asset.path) == {"2020-01-01T00:00:00Z": [[0.1]], "2020-01-02T00:00:00Z": [[None]]}


def test_small_rasters_as_arrays(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.array([[[1, 2], [3, 255]]], "u1"), "byx", nodata=255)
    (asset,) = write_result(cube, "JSON", {}, tmp_path, "a", quiet)
    content = load(asset.path)
    assert content["data"] == [[[1, 2], [3, None]]]
    assert [d["name"] for d in content["dimensions"]] == ["bands", "y", "x"]
    assert content["dimensions"][2]["coordinates"] == [600005, 600015]
    assert content["crs"] == "EPSG:32632"


def test_stored_booleans_are_booleans_again(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.array([[[1], [0], [255]]], "u1"), "tyx", nodata=255)
    data = cube.data.rename(y="geometry").isel(x=0, drop=True)
    data.attrs["boolean"] = True
    shapes = np.empty(3, dtype=object)
    shapes[:] = [shapely.Point(i, i) for i in range(3)]
    data = data.drop_vars("geometry").assign_coords(geometry=shapes)
    cube = Cube(data, (Dimension("t", "temporal"), Dimension("geometry", "geometry")), cube.crs, 255)
    (asset,) = write_result(cube, "JSON", {}, tmp_path, "a", quiet)
    assert asset.path.read_text() == '{"2020-01-01T00:00:00Z": [[true], [false], [null]]}'
    (asset,) = write_result(cube, "netCDF", {}, tmp_path, "a", quiet)
    found = netcdf.read(asset.path)
    assert (found.nodata, found.data.attrs) == (255, {"boolean": True})


def test_large_rasters_do_not_become_text(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.broadcast_to(np.uint8(0), (4000, 4000)), "yx")
    with pytest.raises(OpenEOError, match="GTiff") as error:
        write_result(cube, "JSON", {}, tmp_path, "a", quiet)
    assert error.value.code == "FormatUnsuitable"


def test_csv(vector_cube: Cube, tmp_path: Path) -> None:
    (asset,) = write_result(vector_cube, "csv", {}, tmp_path, "a", quiet)
    with asset.path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["date", "feature_index", "crop", "area", "B04", "B08"]
    assert rows[1:] == [
        ["2020-01-01T00:00:00Z", "0", "maize", "1", "2.0", "3.0"],
        ["2020-01-01T00:00:00Z", "1", "wheat", "2", "6.0", "7.0"],
        ["2020-01-01T00:00:00Z", "2", "", "3", "10.0", "11.0"],
        ["2020-02-01T00:00:00Z", "0", "maize", "1", "0.0", "1.0"],
        ["2020-02-01T00:00:00Z", "1", "wheat", "2", "4.0", ""],
        ["2020-02-01T00:00:00Z", "2", "", "3", "8.0", "9.0"],
    ]
    assert asset.media_type == "text/csv"


def test_csv_of_a_small_raster_and_of_whole_numbers(make_cube: Make, tmp_path: Path) -> None:
    cube = make_cube(np.array([[[1, 9]]], "u1"), "tyx", nodata=9)
    (asset,) = write_result(cube, "CSV", {}, tmp_path, "a", quiet)
    assert asset.path.read_text().splitlines() == [
        "date,y,x,var",
        "2020-01-01T00:00:00Z,5199995.0,600005.0,1",
        "2020-01-01T00:00:00Z,5199995.0,600015.0,",
    ]


def test_geojson(vector_cube: Cube, tmp_path: Path) -> None:
    (asset,) = write_result(vector_cube, "GeoJSON", {}, tmp_path, "a", quiet)
    content = load(asset.path)
    assert content["features"][1]["properties"] == {
        "crop": "wheat",
        "area": 2,
        "2020-02-01T00:00:00Z~B04": 4.0,
        "2020-02-01T00:00:00Z~B08": None,
        "2020-01-01T00:00:00Z~B04": 6.0,
        "2020-01-01T00:00:00Z~B08": 7.0,
    }
    expected = gpd.GeoSeries(list(vector_cube.labels("geometry")), crs=32632).to_crs(4326)
    for feature, geometry in zip(content["features"], expected, strict=True):
        assert shapely.equals_exact(shapely.geometry.shape(feature["geometry"]), geometry, 1e-9)
    assert asset.bbox == pytest.approx(expected.total_bounds)
    assert asset.media_type == "application/geo+json"
    found = geojson.read(asset.path)
    assert found.crs.epsg == 4326
    assert found.properties["crop"].tolist()[:2] == ["maize", "wheat"]
    assert found.labels("properties").tolist()[0] == "area"
    assert found.data.values[:, 0].tolist() == [1, 2, 3]


def test_parquet(vector_cube: Cube, tmp_path: Path) -> None:
    (asset,) = write_result(vector_cube, "parquet", {}, tmp_path, "a", quiet)
    frame = gpd.read_parquet(asset.path)
    assert frame.crs.to_epsg() == 32632
    assert frame["2020-01-01T00:00:00Z~B08"].tolist() == [3, 7, 11]
    assert frame.crop.tolist() == ["maize", "wheat", None]
    assert list(frame.geometry) == list(vector_cube.labels("geometry"))
    found = parquet.read(asset.path)
    assert found.crs == vector_cube.crs
    assert found.properties["area"].tolist() == [1, 2, 3]


def test_parquet_without_geometries_is_a_table(make_cube: Make, tmp_path: Path) -> None:
    (asset,) = write_result(make_cube(np.array([[[1.5, np.nan]]]), "tyx"), "Parquet", {}, tmp_path, "a", quiet)
    frame = pd.read_parquet(asset.path)
    assert frame.columns.tolist() == ["date", "y", "x", "var"]
    assert frame["var"].isna().tolist() == [False, True]


@pytest.mark.parametrize("format", ["GeoJSON", "Parquet", "CSV"])
def test_values_that_do_not_fit(format: str, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError, match="JSON") as error:
        write_result(3, format, {}, tmp_path, "a", quiet)
    assert error.value.code == "FormatUnsuitable"


def test_broken_files_are_named(tmp_path: Path) -> None:
    for read, name in ((geojson.read, "a.geojson"), (parquet.read, "a.parquet")):
        path = tmp_path / name
        path.write_text("no such format")
        with pytest.raises(OpenEOError, match=name) as error:
            read(path)
        assert error.value.code == "FileContentInvalid"
