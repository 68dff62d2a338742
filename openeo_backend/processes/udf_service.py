"""run_udf_externally: values as the JSON of openEO UDF services, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.extent import parse_crs
from openeo_backend.cube.features import parse_features
from openeo_backend.cube.labels import coordinate, labels_json
from openeo_backend.cube.pixels import PixelArray, float_type, missing
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.writing import write_result
from openeo_backend.net.udf_service import UdfServices
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

#: Names of the dimensions of arrays in callbacks: the array's elements, and the pixels that each element has.
ELEMENT, PIXEL = "element", "pixel"


@process("run_udf_externally", requires="udf.externally")
def run_udf_externally(data: Any, url: str, context: Mapping[str, Any] | None = None, *, env: Env) -> Any:
    """What the UDF service at `url` makes of the data; see docs/platform.md for what is sent and received.

    In callbacks whole blocks of pixels are sent at a time, and numbers come back as floating point numbers.

    :raises OpenEOError: UdfServiceFailed; UrlNotAllowed, UrlNotReachable.
    """
    services: UdfServices = env.service("udf.externally")
    sent = {
        "datacubes": [],
        "feature_collection_list": [],
        "structured_data_list": [],
        "proj": None,
        "user_context": dict(context or {}),
        **_encode(data, services.most_mb, env),
    }
    return _decode(services.call(url, sent), data)


# -- to the service -------------------------------------------------------------------------------------------


def _encode(data: Any, most_mb: float, env: Env) -> dict[str, Any]:
    if isinstance(data, Cube):
        size = data.data.nbytes / 1e6
        if size > most_mb:
            raise OpenEOError(
                "ProcessGraphComplexity",
                f"The data cube has {size:,.0f} MB; at most {most_mb} MB are sent to a UDF service.",
                hint="Use the process in a callback, e.g. of apply_dimension, which sends the cube in pieces.",
            )
        return _encode_features(data, env) if data.is_vector else _encode_cube(data)
    if isinstance(data, PixelArray):
        dimensions = [_dimension(ELEMENT, data.labels), _dimension(PIXEL, None)]
        return {"datacubes": [_datacube(data.values.reshape(len(data), math.prod(data.values.shape[1:])), dimensions)]}
    if isinstance(data, np.ndarray | np.generic):
        return {"datacubes": [_datacube(np.asanyarray(data).reshape(-1), [_dimension(PIXEL, None)])]}
    return {"structured_data_list": [{"data": data, "description": "data", "type": type(data).__name__}]}


def _encode_cube(cube: Cube) -> dict[str, Any]:
    dimensions = [_dimension(d.name, labels_json(cube.labels(d.name))) for d in cube.dimensions]
    values = Storage.of(cube).open(np.asarray(cube.data.values))
    return {"datacubes": [_datacube(values, dimensions)], "proj": _projection(cube)}


def _projection(cube: Cube) -> dict[str, Any] | None:
    if cube.crs is None:
        return None
    return {"EPSG": cube.crs.epsg} if cube.crs.epsg else {"WKT": cube.crs.to_wkt()}


def _encode_features(cube: Cube, env: Env) -> dict[str, Any]:
    """Features with their values as properties, as in GeoJSON files."""
    asset = write_result(cube, "GeoJSON", {}, env.scratch(), "features", lambda done, planned: None)[0]
    features = json.loads(asset.path.read_text(encoding="utf-8"))
    return {"feature_collection_list": [{"id": "data", "data": features}], "proj": {"EPSG": 4326}}


def _dimension(name: str, labels: Sequence[Any] | None) -> dict[str, Any]:
    return {"name": name} if labels is None else {"name": name, "coordinates": list(labels)}


def _datacube(values: np.ndarray, dimensions: list[dict[str, Any]]) -> dict[str, Any]:
    """Values as nested lists, null where they are missing; JSON has no infinite numbers, they are missing, too."""
    absent = missing(values)
    boxed = np.ma.getdata(values).astype(object)
    if values.dtype.kind == "f":
        infinite = np.isinf(np.ma.getdata(values))
        absent = infinite if absent is None else absent | infinite
    if absent is not None:
        boxed[absent] = None
    return {"id": "data", "data": boxed.tolist(), "dimensions": dimensions}


# -- from the service -----------------------------------------------------------------------------------------


def _decode(answer: Mapping[str, Any], data: Any) -> Any:
    cubes, features = answer.get("datacubes") or [], answer.get("feature_collection_list") or []
    structured = answer.get("structured_data_list") or []
    if len(cubes) + len(features) > 1 or not (cubes or features or structured):
        raise _failure(
            f"has {len(cubes)} data cubes, {len(features)} feature collections and {len(structured)} structured data, "
            "but one of them is needed"
        )
    if cubes:
        return _decode_datacube(cubes[0], answer.get("proj"), data)
    if features:
        return parse_features(features[0].get("data"), "feature_collection_list")
    values = [entry.get("data") for entry in structured]
    return values[0] if len(values) == 1 else values


def _decode_datacube(raw: Mapping[str, Any], proj: Any, data: Any) -> Any:
    dimensions = raw.get("dimensions") or []
    names = [str(dimension.get("name")) for dimension in dimensions]
    values = _values(raw.get("data"), _type_for(data))
    if values.ndim != len(names):
        raise _failure(f"has a data cube with {len(names)} dimensions but data with {values.ndim}")
    labels = {name: d["coordinates"] for name, d in zip(names, dimensions, strict=True) if d.get("coordinates")}
    if isinstance(data, PixelArray):
        return _as_pixels(values, names, labels, data.values.shape[1:])
    if isinstance(data, np.ndarray | np.generic):
        return _as_pixels(values, names, labels, np.shape(data))
    return _as_cube(values, names, labels, proj, data if isinstance(data, Cube) else None)


def _type_for(data: Any) -> np.dtype:
    """The type of numbers from a service; JSON does not tell float32 from float64, nor whole numbers from others."""
    if isinstance(data, Cube):
        return float_type(data.data.dtype)
    values = data.values if isinstance(data, PixelArray) else data
    return float_type(values.dtype) if isinstance(values, np.ndarray | np.generic) else np.dtype("float64")


def _values(raw: Any, dtype: np.dtype) -> np.ndarray:
    try:
        values = np.asarray(raw)
    except ValueError:
        raise _failure("has a data cube whose lists differ in length") from None
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind in "US" or any(isinstance(value, str) for value in values.ravel()[:1]):
        return values.astype(object)
    try:
        return values.astype(dtype)
    except (TypeError, ValueError):
        raise _failure("has a data cube whose values are no numbers") from None


def _as_pixels(
    values: np.ndarray, names: list[str], labels: Mapping[str, Any], pixels: tuple[int, ...]
) -> np.ndarray | PixelArray:
    """A value, or an array of values, for each pixel."""
    count = int(np.prod(pixels))
    if names not in ([PIXEL], [ELEMENT, PIXEL]) or values.shape[-1] != count:
        sizes = ", ".join(f"{name}: {size}" for name, size in zip(names, values.shape, strict=True))
        raise _failure(f"has a data cube ({sizes}), but {count} pixels are needed along '{PIXEL}'")
    if names == [PIXEL]:
        return values.reshape(pixels)
    elements = labels.get(ELEMENT)
    return PixelArray(values.reshape(-1, *pixels), None if elements is None else tuple(elements))


def _as_cube(values: np.ndarray, names: list[str], labels: Mapping[str, Any], proj: Any, like: Cube | None) -> Cube:
    """A data cube; dimensions that the sent cube has are of the same type and, if as long, have its labels."""
    dimensions, coords = [], {}
    for name, size in zip(names, values.shape, strict=True):
        known = like.dimension(name) if like is not None and like.has(name) else Dimension(name, "other")
        dimensions.append(known)
        if name in labels:
            coords[name] = (name, coordinate(labels[name], known.type))
        elif like is not None and like.has(name) and len(like.labels(name)) == size:
            coords[name] = (name, like.labels(name))
        else:
            coords[name] = (name, np.arange(size))
        if len(coords[name][1]) != size:
            raise _failure(f"has {len(coords[name][1])} coordinates for the {size} labels of '{name}'")
    crs = like.crs if like is not None else None
    if isinstance(proj, Mapping) and (code := proj.get("EPSG") or proj.get("WKT")):
        crs = parse_crs(code)
    data = xr.DataArray(values, dims=names, coords=coords)
    if like is None:
        return Cube(data, tuple(dimensions), crs)
    return Cube(data, tuple(dimensions), crs, bands=like.bands, provenance=like.provenance)


def _failure(reason: str) -> OpenEOError:
    return OpenEOError("UdfServiceFailed", f"The answer of the UDF service {reason}.")
