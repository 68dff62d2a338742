"""Constants that a JSON schema cannot tell apart from sound ones: areas, geometries and periods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from openeo_backend.cube.extent import parse_area, parse_interval
from openeo_backend.cube.geometry import parse_geometries
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.check import Inspect
from openeo_backend.graph.nodes import Node

#: What reads the constants of a parameter, by a subtype that its schemas name; the first one counts.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bounding-box": parse_area,
    "geojson": parse_geometries,
    "temporal-interval": parse_interval,
}


def inspect_constants(specs: Iterable[Mapping[str, Any]]) -> dict[str, Inspect]:
    """By process id, what finds the problems of such constants as running the process would."""
    found = {}
    for spec in specs:
        readers = {p["name"]: reader for p in spec.get("parameters", ()) if (reader := _reader(p)) is not None}
        if readers:
            found[spec["id"]] = _inspect(readers)
    return found


def _reader(parameter: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    schemas = parameter.get("schema", {})
    subtypes = {schema.get("subtype") for schema in (schemas if isinstance(schemas, list) else [schemas])}
    return next((reader for subtype, reader in _READERS.items() if subtype in subtypes), None)


def _inspect(readers: Mapping[str, Callable[[Any], Any]]) -> Inspect:
    def inspect(node: Node) -> Iterator[OpenEOError]:
        for name, read in readers.items():
            value = node.arguments.get(name)
            if value is None or name in node.referring:
                continue
            try:
                read(value)
            except OpenEOError as error:
                yield error

    return inspect
