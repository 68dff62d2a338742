"""The metadata of cubes in the terms of the CF conventions, and back. Used by netCDF and Zarr."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr

from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.cube.storage import Storage as StoredAs
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.images import Plane, Storage, grid, read_crs, unsuitable
from openeo_backend.formats.names import distinct, text

#: Attribute with what CF has no words for, as JSON: the dimensions, bands and no-data of the cube.
CUBE = "openeo_cube"

#: Name of the grid mapping variable.
MAPPING = "crs"

#: Names of the coordinates of geometries.
_PLACES = ("lon", "lat")

#: How names of variables begin.
_NAME = re.compile(r"(?!__)\w")


def variable_names(bands: Sequence[str], others: Iterable[str]) -> list[str]:
    """Names of variables for bands: the band names, changed only where netCDF or one of `others` forbids it."""
    taken = {MAPPING, *others}
    names = []
    for band in bands:
        name = _clean(band).strip() or "band"
        names.append(f"band_{name}" if name in taken or not _NAME.match(name) else name)
    return distinct(names)


def _clean(name: str) -> str:
    return re.sub(r"[/\x00-\x1f\x7f]", "_", name)


def refuse_names(cube: Cube, format_name: str) -> None:
    """:raises OpenEOError: FormatUnsuitable for a cube with dimensions whose variables could not be named."""
    geometries = [d.name for d in cube.of_type("geometry")]
    placed = {MAPPING, *_PLACES, *(f"{name}_wkt" for name in geometries)} if geometries else {MAPPING}
    for name in cube.names:
        if name in placed or name != _clean(name).strip() or not _NAME.match(name):
            raise unsuitable(format_name, f"no dimension of it can be called '{name[:50]}'", "Rename the dimension.")
    if len(geometries) > 1:
        raise unsuitable(format_name, "it takes one dimension of geometries", "Flatten or drop the other ones.")


def describe_global(cube: Cube, variables: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of the file."""
    bands = cube.of_type("bands")[:1]
    known = {
        "dimensions": [{**asdict(d), "labels": None} for d in cube.dimensions],
        "variables": dict(variables),
        "bands": {
            name: {key: value for key, value in asdict(band).items() if value is not None}
            for name, band in cube.bands.items()
        },
        "band_dimension": bands[0].name if bands else None,
        "dtype": str(cube.data.dtype),
        "nodata": cube.nodata,
        "boolean": StoredAs.of(cube).boolean,
    }
    return {
        "Conventions": "CF-1.9",
        "institution": "openEO back-end",
        **({"featureType": "timeSeries"} if cube.is_vector and cube.of_type("temporal") else {}),
        CUBE: json.dumps(known),
    }


def grid_mapping(cube: Cube) -> dict[str, Any] | None:
    """Attributes of the grid mapping variable: CF's, with the WKT and GDAL's transform."""
    if cube.crs is None:
        return None
    attributes = {key: value for key, value in cube.crs.proj.to_cf().items() if value not in ("unknown", None)}
    attributes["spatial_ref"] = cube.crs.to_wkt()
    if cube.axis("x") is not None and cube.axis("y") is not None and (transform := grid(cube)) is not None:
        attributes["GeoTransform"] = " ".join(f"{part!r}" for part in transform.to_gdal())
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}


def encode_labels(cube: Cube, dimension: Dimension) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """The coordinate variables of a dimension: name, values, attributes."""
    name, labels = dimension.name, cube.labels(dimension.name)
    if dimension.type == "geometry":
        return _encode_geometries(cube, name)
    if labels.dtype.kind == "M":
        return [(name, *encode_time(labels))]
    attributes: dict[str, Any] = {"long_name": name}
    if dimension.type == "spatial" and dimension.axis:
        attributes = _spatial_attributes(cube, dimension)
    if dimension.unit:
        attributes["units"] = dimension.unit
    if labels.dtype.kind in "OU":
        labels = np.array([text(label) for label in labels], dtype=object)
    if labels.dtype.kind == "b":
        labels = labels.astype("i1")
    return [(name, labels, attributes)]


def encode_time(labels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Dates as whole days where they are, else seconds, else microseconds since 1970."""
    instants = labels.astype("datetime64[us]").astype("i8")
    units = {"days": 86_400_000_000, "seconds": 1_000_000, "microseconds": 1}
    unit, length = next((unit, length) for unit, length in units.items() if not np.any(instants % length))
    attributes = {
        "standard_name": "time",
        "long_name": "time",
        "axis": "T",
        "units": f"{unit} since 1970-01-01 00:00:00",
        "calendar": "proleptic_gregorian",
    }
    return instants // length, attributes


def _spatial_attributes(cube: Cube, dimension: Dimension) -> dict[str, Any]:
    axis = dimension.axis or "x"
    attributes: dict[str, Any] = {"axis": axis.upper()}
    if axis == "z":
        return {**attributes, "long_name": "z coordinate"}
    if cube.crs is not None and cube.crs.geographic:
        word = {"x": "longitude", "y": "latitude"}[axis]
        return {
            **attributes,
            "standard_name": word,
            "long_name": word,
            "units": f"degrees_{'east' if axis == 'x' else 'north'}",
        }
    attributes |= {"standard_name": f"projection_{axis}_coordinate", "long_name": f"{axis} coordinate of projection"}
    if cube.crs is not None and cube.crs.units:
        attributes["units"] = {"metre": "m", "meter": "m"}.get(cube.crs.units[0], cube.crs.units[0])
    return attributes


def _encode_geometries(cube: Cube, name: str) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    shapes = cube.geometries()
    points = shapes.representative_point()
    place = points.to_crs("EPSG:4326") if cube.crs is not None else points
    wkt = np.array(["" if geometry is None else geometry.wkt for geometry in shapes], dtype=object)
    out: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        (name, np.arange(len(shapes), dtype="i4"), {"long_name": "feature index", "cf_role": "timeseries_id"}),
        (f"{name}_wkt", wkt, {"long_name": "geometry as well-known text", "grid_mapping": MAPPING}),
        (_PLACES[0], place.x.to_numpy("f8"), {"standard_name": "longitude", "units": "degrees_east"}),
        (_PLACES[1], place.y.to_numpy("f8"), {"standard_name": "latitude", "units": "degrees_north"}),
    ]
    if cube.properties is not None:
        names = distinct(f"property_{_clean(str(column))}" for column in cube.properties.columns)
        for column, called in zip(cube.properties.columns, names, strict=True):
            values = cube.properties[column].to_numpy()
            if values.dtype.kind not in "iuf":
                values = np.array(["" if v is None or v is pd.NA else str(v) for v in values], dtype=object)
            out.append((called, values, {"long_name": str(column)}))
    return out


def band_attributes(cube: Cube, plane: Plane, storage: Storage) -> dict[str, Any]:
    """Attributes of the variable of a band."""
    band = plane.band
    attributes: dict[str, Any] = {"long_name": band.description or plane.name}
    if band.unit:
        attributes["units"] = band.unit
    if band.common_name:
        attributes["common_name"] = band.common_name
    scale = storage.scale if storage.scale is not None else band.scale
    offset = storage.offset if storage.offset is not None else band.offset
    if storage.scale is not None or storage.offset is not None:
        attributes |= {"scale_factor": float(scale or 1), "add_offset": float(offset or 0)}
    elif scale is not None or offset is not None:
        # Stored values are what the user asked for: attributes that readers apply by themselves would change them.
        attributes |= {"openeo_scale": float(scale or 1), "openeo_offset": float(offset or 0)}
    if cube.data.dtype == bool:
        attributes |= {"flag_values": np.array([0, 1], storage.dtype), "flag_meanings": "false true"}
    if cube.crs is not None:
        attributes["grid_mapping"] = MAPPING
    if cube.is_vector:
        attributes["coordinates"] = "lat lon"
    return attributes


def decode(dataset: xr.Dataset) -> Cube:
    """A cube of a dataset opened without masking and decoding; metadata of our own files come back whole.

    :raises OpenEOError: FileContentInvalid where there is no data variable with dimensions.
    """
    known = json.loads(dataset.attrs.get(CUBE, "{}"))
    crs = _read_crs(dataset)
    variables = [str(n) for n, v in dataset.data_vars.items() if v.dims and v.dtype.kind in "biuf"]
    variables = [n for n in known["variables"] if n in variables] if known else _main(dataset, variables)
    if not variables:
        raise OpenEOError("FileContentInvalid", "The file holds no variable with numbers along dimensions.")
    arrays = [_values(dataset[name], known) for name in variables]
    nodata = arrays[0][1]
    data = _stack(dataset, variables, [array for array, _ in arrays], known)
    dimensions = _dimensions(dataset, data, known, crs is not None)
    for dimension in dimensions:
        data = data.assign_coords({dimension.name: _labels(dataset, dimension, data)})
    bands = {name: Band(**band) for name, band in known.get("bands", {}).items()}
    kept = [d.name for d in dimensions]
    data = data.drop_vars([name for name in data.coords if name not in kept])
    data.attrs, data.encoding = {"boolean": True} if known.get("boolean") else {}, {}
    properties = _properties(dataset) if any(d.type == "geometry" for d in dimensions) else None
    return Cube(data.transpose(*kept), tuple(dimensions), crs, nodata, bands, properties)


def _main(dataset: xr.Dataset, names: list[str]) -> list[str]:
    """The variables with the most dimensions, which share their dimensions with the first such one."""
    names = [name for name in names if not str(name).endswith(("_bnds", "_bounds"))]
    if not names:
        return []
    first = max(names, key=lambda name: dataset[name].ndim)
    return [name for name in names if dataset[name].dims == dataset[first].dims]


def _values(variable: xr.DataArray, known: Mapping[str, Any]) -> tuple[xr.DataArray, int | None]:
    """Values with NaN for missing floats, scaled where the attributes ask for it; no-data of integers."""
    fill = variable.attrs.get("_FillValue", variable.encoding.get("_FillValue"))
    scale, offset = variable.attrs.get("scale_factor"), variable.attrs.get("add_offset")
    if scale is not None or offset is not None:
        numbers = variable.astype("float32" if variable.dtype.itemsize <= 2 else "float64")
        numbers = numbers * float(scale if scale is not None else 1) + float(offset or 0)
        return (numbers if fill is None else numbers.where(variable != fill)), None
    if variable.dtype == np.float16:  # half precision is for storage only
        variable = variable.astype(np.float32)
    if variable.dtype.kind == "f":
        return (variable if fill is None or np.isnan(fill) else variable.where(variable != fill)), None
    if known.get("dtype") == "bool":
        return variable.astype(bool), None
    return variable, None if fill is None else int(fill)


def _stack(dataset: xr.Dataset, names: list[str], arrays: list[xr.DataArray], known: Mapping[str, Any]) -> xr.DataArray:
    dimension = known.get("band_dimension") if known else (None if names == ["var"] else "bands")
    if dimension is None:
        return arrays[0]
    labels = [known.get("variables", {}).get(name, name) for name in names]
    plain = [array.drop_vars([str(c) for c in array.coords if c not in array.dims]) for array in arrays]
    return xr.concat(plain, pd.Index(labels, name=dimension), join="override", combine_attrs="drop")


def _dimensions(dataset: xr.Dataset, data: xr.DataArray, known: Mapping[str, Any], has_crs: bool) -> list[Dimension]:
    if known:
        fields = ("name", "type", "axis", "step", "unit")
        return [Dimension(**{key: entry[key] for key in fields}) for entry in known["dimensions"]]
    return [_guess(dataset, str(name), data) for name in data.dims]


def _guess(dataset: xr.Dataset, name: str, data: xr.DataArray) -> Dimension:
    """What CF attributes (and the usual names, where there are none) say of a dimension of a foreign file."""
    attributes = dataset[name].attrs if name in dataset.variables else {}
    standard, axis = attributes.get("standard_name", ""), str(attributes.get("axis", "")).upper()
    if name == "bands" and name not in dataset.dims:
        return Dimension(name, "bands")
    if standard in ("projection_x_coordinate", "longitude") or axis == "X" or name in ("x", "lon", "longitude"):
        return Dimension(name, "spatial", "x")
    if standard in ("projection_y_coordinate", "latitude") or axis == "Y" or name in ("y", "lat", "latitude"):
        return Dimension(name, "spatial", "y")
    if axis == "T" or standard == "time" or " since " in str(attributes.get("units", "")):
        return Dimension(name, "temporal")
    kind = "bands" if name in ("band", "bands") else "other"
    return Dimension(name, kind)  # type: ignore[arg-type]


def _labels(dataset: xr.Dataset, dimension: Dimension, data: xr.DataArray) -> Any:
    name = dimension.name
    if dimension.type == "geometry":
        labels = np.empty(data.sizes[name], dtype=object)
        labels[:] = [shapely.from_wkt(str(text)) if text else None for text in dataset[f"{name}_wkt"].values]
        return (name, labels)
    if name not in dataset.variables:
        return data[name].values if name in data.coords else np.arange(data.sizes[name])
    values = dataset[name]
    if " since " in str(values.attrs.get("units", "")):
        decoded = xr.decode_cf(values.drop_vars(list(values.coords)).to_dataset(name="values"))["values"].values
        labels = decoded.astype("datetime64[ns]")
        if np.isnat(labels).any():
            raise OpenEOError("FileContentInvalid", f"The dimension '{name}' of the file has labels that are no dates.")
        return (name, labels)
    if values.dtype.kind in "OSU":
        return (name, np.array([str(v) for v in values.values]))
    return (name, values.values)


def _read_crs(dataset: xr.Dataset) -> Any:
    names = {str(v.attrs["grid_mapping"]) for v in dataset.variables.values() if "grid_mapping" in v.attrs}
    for name in [*sorted(names), MAPPING, "spatial_ref"]:
        if name in dataset.variables:
            attributes = dataset[name].attrs
            if wkt := attributes.get("crs_wkt") or attributes.get("spatial_ref"):
                return read_crs(wkt)
    degrees = {str(v.attrs.get("units", "")) for v in dataset.variables.values()}
    return read_crs("EPSG:4326") if {"degrees_east", "degrees_north"} <= degrees else None


def _properties(dataset: xr.Dataset) -> pd.DataFrame | None:
    columns = {
        str(variable.attrs.get("long_name", name)): variable.values
        for name, variable in dataset.variables.items()
        if str(name).startswith("property_")
    }
    return pd.DataFrame(columns) if columns else None
