"""Small cubes of known values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.crs import CRS
from shapely.geometry import MultiPolygon, Point, box

from openeo_backend.cube import Band, Cube, Dimension


def dates(*days: str) -> np.ndarray:
    return pd.to_datetime(list(days)).to_numpy("datetime64[ns]")


@pytest.fixture
def make_cube() -> Callable[..., Cube]:
    """Builds a raster cube in UTM 32 (pixels of 10 m) around `values`, lazy with the given chunks."""

    def make(
        values: np.ndarray,
        dims: str = "tbyx",
        *,
        chunks: Any = None,
        nodata: int | None = None,
        times: np.ndarray | None = None,
        bands: list[str] | None = None,
        known: dict[str, Band] | None = None,
        ascending: bool = False,
        crs: str | None = "EPSG:32632",
        step: float = 10.0,
        origin: tuple[float, float] = (600000.0, 5200000.0),
    ) -> Cube:
        sizes = dict(zip(dims, values.shape, strict=True))
        names = {"t": "t", "b": "bands", "y": "y", "x": "x", "z": "level"}
        labels: dict[str, Any] = {}
        if "t" in sizes:
            days = np.datetime64("2020-01-01", "ns") + np.arange(sizes["t"]) * np.timedelta64(10, "D")
            labels["t"] = days if times is None else times
        if "b" in sizes:
            labels["bands"] = np.array(bands or [f"B{i + 2:02d}" for i in range(sizes["b"])])
        if "z" in sizes:
            labels["level"] = np.array(["low", "high"][: sizes["z"]])
        y = origin[1] - step * (np.arange(sizes["y"]) + 0.5)
        labels["y"] = y[::-1] if ascending else y
        labels["x"] = origin[0] + step * (np.arange(sizes["x"]) + 0.5)
        data = xr.DataArray(
            da.from_array(values, chunks=chunks) if chunks is not None else values,
            dims=[names[d] for d in dims],
            coords=labels,
        )
        described = {
            "t": Dimension("t", "temporal"),
            "b": Dimension("bands", "bands"),
            "z": Dimension("level", "other"),
            "y": Dimension("y", "spatial", "y", step if ascending else -step),
            "x": Dimension("x", "spatial", "x", step),
        }
        return Cube(data, tuple(described[d] for d in dims), CRS(crs) if crs else None, nodata, known or {})

    return make


@pytest.fixture
def vector_cube() -> Cube:
    """Three geometries, two dates, two bands; one value is missing."""
    values = np.arange(12, dtype="f8").reshape(3, 2, 2)
    values[1, 0, 1] = np.nan
    shapes = np.empty(3, dtype=object)
    shapes[:] = [box(600000, 5199000, 601000, 5200000), MultiPolygon([box(0, 0, 1, 1)]), Point(600500, 5199500)]
    shapes[1] = MultiPolygon([box(602000, 5199000, 603000, 5200000), box(604000, 5199000, 605000, 5200000)])
    data = xr.DataArray(
        da.from_array(values, chunks=(2, 1, 2)),
        dims=("geometry", "t", "bands"),
        coords={"geometry": shapes, "t": dates("2020-02-01", "2020-01-01"), "bands": ["B04", "B08"]},
    )
    properties = pd.DataFrame({"crop": ["maize", "wheat", None], "area": [1, 2, 3]})
    dimensions = (Dimension("geometry", "geometry"), Dimension("t", "temporal"), Dimension("bands", "bands"))
    return Cube(data, dimensions, CRS("EPSG:32632"), properties=properties)
