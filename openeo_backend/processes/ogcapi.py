"""Processes of OGC API - Processes servers: run_ogcapi and run_ogcapi_externally."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openeo_backend.cube import Cube
from openeo_backend.cube.labels import labels_json
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.reading import read_file
from openeo_backend.formats.registry import FORMATS
from openeo_backend.formats.writing import default_format, write_result
from openeo_backend.net.ogcapi import Description, Output, Server
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

#: Formats that data cubes are sent and received in, by the media types that servers use for them.
_FORMATS = {
    "image/tiff": "GTiff",
    "image/geotiff": "GTiff",
    "application/x-netcdf": "netCDF",
    "application/netcdf": "netCDF",
    "application/x-netcdf4": "netCDF",
    "application/geo+json": "GeoJSON",
    "application/vnd.geo+json": "GeoJSON",
    "application/json": "JSON",
}

#: GeoJSON objects by their type, which the standard sends with their media type.
_GEOJSON = frozenset(
    {"FeatureCollection", "Feature", "GeometryCollection", "Point", "MultiPoint", "LineString", "MultiLineString"}
    | {"Polygon", "MultiPolygon"}
)


@process("run_ogcapi", requires="ogcapi.servers")
def run_ogcapi(data: Any, id: str, context: Mapping[str, Any] | None = None, *, env: Env) -> Any:
    """Run a process of one of the configured servers; see docs/platform.md for how values are sent and received.

    :param id: of the process; `SERVER:ID` where several servers have it.
    :raises OpenEOError: InvalidOgcApiProcess, OgcApiProcessFailed, RequestTimeout; FormatUnsuitable for data that
        cannot be sent; ProcessParameterInvalid where it is not clear which input the data are for.
    """
    servers: Mapping[str, Server] = env.service("ogcapi.servers")
    name, colon, own = id.partition(":")
    if colon and name in servers:
        return _run(servers[name], own, data, context or {}, env)
    for server in servers.values():
        found = server.describe(id)
        if found is not None:
            return _execute(server, found, data, context or {}, env)
    raise OpenEOError("InvalidOgcApiProcess", f"No server configured here has a process '{id}'.")


@process("run_ogcapi_externally", requires="ogcapi.externally")
def run_ogcapi_externally(data: Any, url: str, id: str, context: Mapping[str, Any] | None = None, *, env: Env) -> Any:
    """Run a process of the server whose landing page is at `url`.

    :raises OpenEOError: as :func:`run_ogcapi`; UrlNotAllowed, UrlNotReachable.
    """
    open_server: Callable[[str], Server] = env.service("ogcapi.externally")
    return _run(open_server(url), id, data, context or {}, env)


def _run(server: Server, id: str, data: Any, context: Mapping[str, Any], env: Env) -> Any:
    found = server.describe(id)
    if found is None:
        raise OpenEOError("InvalidOgcApiProcess", f"The server '{server.url}' has no process '{id}'.")
    return _execute(server, found, data, context, env)


def _execute(server: Server, found: Description, data: Any, context: Mapping[str, Any], env: Env) -> Any:
    values = dict(context)
    if data is not None or _open_inputs(found, context):
        values[_input_for_data(found, context)] = data
    inputs = {
        name: _encode(value, found.inputs.get(name, {}), server, env)
        for name, value in values.items()
        if value is not None
    }
    env.log("info", f"Running the process '{found.id}' at {server.url}.")
    outputs = server.run(found, inputs, dict(_wanted(found)))
    decoded = {name: _decode(name, output, env) for name, output in outputs.items()}
    return next(iter(decoded.values())) if len(decoded) == 1 else decoded


# -- inputs ---------------------------------------------------------------------------------------------------


def _open_inputs(found: Description, context: Mapping[str, Any]) -> list[str]:
    return [name for name in found.inputs if name not in context]


def _input_for_data(found: Description, context: Mapping[str, Any]) -> str:
    """The input that gets the data: `data`, or the only (required) one that the context does not give."""
    left = _open_inputs(found, context)
    if "data" in left:
        return "data"
    required = [name for name in left if found.inputs[name].get("minOccurs", 1) != 0]
    for candidates in (required, left):
        if len(candidates) == 1:
            return candidates[0]
    raise OpenEOError(
        "ProcessParameterInvalid",
        f"The process '{found.id}' has the inputs {', '.join(found.inputs) or 'none'}; of those that the context does "
        "not give, it is not clear which one the data are for.",
        hint="Give all inputs but one in the context.",
    )


def _encode(value: Any, description: Mapping[str, Any], server: Server, env: Env) -> Any:
    """A value as the standard wants it in an execute request."""
    schema = description.get("schema") or {}
    if isinstance(value, Cube):
        return _encode_cube(value, schema, server, env)
    if isinstance(value, list) and description.get("maxOccurs", 1) != 1:
        return [_encode(entry, {"schema": schema}, server, env) for entry in value]
    if isinstance(value, Mapping) and not ({"href", "value", "bbox"} & set(value)):
        qualified: dict[str, Any] = {"value": dict(value)}
        if value.get("type") in _GEOJSON:
            qualified["mediaType"] = "application/geo+json"
        return qualified
    return labels_json(value) if isinstance(value, list | tuple) else value


def _encode_cube(cube: Cube, schema: Mapping[str, Any], server: Server, env: Env) -> dict[str, Any]:
    """A data cube as a file in the first format that the input takes and that can hold it."""
    size = cube.data.nbytes / 1e6
    if size > server.most_mb:
        raise OpenEOError(
            "ProcessGraphComplexity",
            f"The data cube has {size:,.0f} MB; at most {server.most_mb} MB are sent to another server.",
            hint="Use a smaller extent, fewer dates or fewer bands.",
        )
    declared = list(dict.fromkeys(_media_types(schema)))
    default = "GeoJSON" if cube.is_vector else default_format(cube)
    choices = [(type, _FORMATS[type]) for type in declared if type in _FORMATS]
    choices = choices or [(FORMATS[default.lower()].media_type.partition(";")[0], default)]
    problem: OpenEOError | None = None
    for media_type, format in choices:
        try:
            assets = write_result(cube, format, {}, env.scratch(), "input", lambda done, planned: None)
        except OpenEOError as error:
            if error.code != "FormatUnsuitable":
                raise
            problem = error
            continue
        if len(assets) == 1:
            content = assets[0].path.read_bytes()
            if media_type.endswith("json"):
                return {"value": json.loads(content), "mediaType": media_type}
            return {"value": base64.b64encode(content).decode(), "encoding": "base64", "mediaType": media_type}
    listed = ", ".join(declared) or "of its choice"
    raise OpenEOError(
        "FormatUnsuitable",
        f"The data cube cannot be sent as one file in the formats that the process takes ({listed}).",
        hint="Reduce the time dimension, or turn the cube into a vector cube, as the process needs it.",
    ) from problem


def _media_types(schema: Any) -> Iterator[str]:
    """All media types that a JSON schema mentions, in order."""
    if isinstance(schema, list):
        for entry in schema:
            yield from _media_types(entry)
    if not isinstance(schema, Mapping):
        return
    if isinstance(schema.get("contentMediaType"), str):
        yield schema["contentMediaType"].partition(";")[0].strip().lower()
    if str(schema.get("format", "")).startswith("geojson") or "geojson" in str(schema.get("$ref", "")).lower():
        yield "application/geo+json"
    for key in ("oneOf", "anyOf", "allOf"):
        yield from _media_types(schema.get(key))


# -- outputs --------------------------------------------------------------------------------------------------


def _wanted(found: Description) -> Iterator[tuple[str, Any]]:
    """For outputs that come in several formats, the first one that is read here."""
    for name, description in found.outputs.items():
        types = list(_media_types(description.get("schema") or {}))
        readable = [type for type in types if type in _FORMATS]
        if len(types) > 1 and readable:
            yield name, {"format": {"mediaType": readable[0]}}


def _decode(name: str, output: Output, env: Env) -> Any:
    """An output as a data cube where its format is one of those, else as JSON."""
    format = _FORMATS.get(output.media_type)
    if format != "GeoJSON" and not isinstance(output.value, bytes):
        return output.value
    if format is None:
        raise OpenEOError("FormatUnsuitable", f"The output '{name}' of the process is of the type {output.media_type}.")
    file = env.scratch() / f"output{FORMATS[format.lower()].extension}"
    file.write_bytes(output.value if isinstance(output.value, bytes) else json.dumps(output.value).encode())
    return read_file(file, format, name=f"output {name}")
