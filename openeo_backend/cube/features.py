"""Vector cubes of features: geometries with properties, from GeoJSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.geometry import parse_geometries

#: Name of the geometry dimension of vector cubes made here.
GEOMETRY = "geometry"


def parse_features(value: Any, parameter: str = "geometries") -> Cube:
    """Geometries and properties of a vector cube (as it is) or of GeoJSON (a cube without values).

    :raises OpenEOError: as :func:`~openeo_backend.cube.geometry.parse_geometries`.
    """
    if isinstance(value, Cube) and value.is_vector:
        return value
    shapes = parse_geometries(value, parameter)
    return bare_cube(shapes, feature_properties(value, len(shapes)))


def feature_properties(value: Mapping[str, Any], count: int) -> pd.DataFrame | None:
    """The properties of GeoJSON features, one row each; None where no feature has any. Others than objects are none."""
    features = value["features"] if value.get("type") == "FeatureCollection" else [value]
    found = [feature.get("properties") if isinstance(feature, Mapping) else None for feature in features]
    rows = [row if isinstance(row, Mapping) else None for row in found]
    if len(rows) != count or not any(rows):
        return None
    names = dict.fromkeys(name for row in rows for name in row or {})
    return pd.DataFrame({name: _column([(row or {}).get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pd.Series:
    """Values of a property; whole numbers stay whole where others are missing."""
    known = [value for value in values if value is not None]
    whole = known and all(isinstance(value, int) and not isinstance(value, bool) for value in known)
    if whole and len(known) < len(values) and max(map(abs, known)) < 2**63:
        return pd.Series(values, dtype="Int64")
    return pd.Series(values)


def bare_cube(shapes: gpd.GeoSeries, properties: pd.DataFrame | None = None) -> Cube:
    """A vector cube whose only dimension is `geometry` and whose values are all missing."""
    data = xr.DataArray(
        np.full(len(shapes), np.nan, "float32"), dims=(GEOMETRY,), coords={GEOMETRY: (GEOMETRY, objects(shapes))}
    )
    crs = CRS(shapes.crs) if shapes.crs is not None else None
    return Cube(data, (Dimension(GEOMETRY, "geometry"),), crs, properties=properties)


def with_geometries(cube: Cube, geometries: np.ndarray, crs: CRS | None = None) -> Cube:
    """The vector cube with other geometries in the place of its own, in `crs` or, without it, its own system."""
    name = cube.of_type("geometry")[0].name
    data = cube.data.assign_coords({name: (name, objects(geometries))})
    return cube.patch(data=data, crs=cube.crs if crs is None else crs)


def objects(values: Any) -> np.ndarray:
    """A one-dimensional array of objects, geometries for example."""
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found
