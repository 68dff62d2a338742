"""Which arguments that are no JSON (cubes, pixels, models, callbacks) fit a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openeo_backend.cube.cube import Cube
from openeo_backend.cube.pixels import PixelArray, is_pixels, refuse
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.nodes import FromNode, FromParameter
from openeo_backend.graph.schema import (
    CUBES,
    OPAQUE,
    TYPES,
    Fits,
    Others,
    Rule,
    Schema,
    Wrong,
    needs_geometries,
    types_of,
)

#: Types of JSON whose values pixels of a kind of numpy types may be.
_NUMBERS = frozenset({"number", "integer", "boolean"})
_KINDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys("biuf", _NUMBERS),
    **dict.fromkeys("USM", frozenset({"string"})),
    "O": _NUMBERS | {"string"},
}


def others(is_open: bool) -> Others:
    """What fits a schema beside JSON: values of its subtype, and references, of which only running tells the value.

    Any value fits a schema without a type.

    :param is_open: whether the function looks at what it is given: pixels stand for numbers, booleans and texts, and
        arrays of pixels for arrays; GeoJSON stands for vector cubes, and other JSON for any cube.
    """

    def of(schema: Schema) -> Fits:
        fits = _opaque(schema, is_open) or (_pixels(schema) if is_open else _nothing)
        return lambda value: fits(value) or isinstance(value, FromNode | FromParameter)

    return of


def _nothing(value: Any) -> bool:
    return False


def _opaque(schema: Schema, is_open: bool) -> Fits | None:
    subtype = schema.get("subtype")
    if subtype in CUBES:
        return _cube(needs_geometries(schema), is_open)
    if subtype in OPAQUE:
        return lambda value: getattr(value, "subtype", None) == subtype
    if subtype == "stac":  # cubes are saved first
        return lambda value: getattr(value, "subtype", None) in ("stac", *CUBES)
    if "type" not in schema and "anyOf" not in schema:
        return lambda value: True
    return None


def _cube(is_vector: bool, is_open: bool) -> Fits:
    stand_ins = () if not is_open else (dict,) if is_vector else tuple(TYPES)

    def fits(value: Any) -> bool:
        if isinstance(value, Cube):
            return value.is_vector or not is_vector
        return isinstance(value, stand_ins)

    return fits


def _pixels(schema: Schema) -> Fits:
    allowed = _simple(schema)
    items = schema.get("items", {})
    elements = _simple(items) if "array" in types_of(schema) else frozenset()

    def fits(value: Any) -> bool:
        if not is_pixels(value):
            return False
        values = value.values if isinstance(value, PixelArray) else value
        return bool(_KINDS.get(values.dtype.kind, frozenset()) & (allowed | elements))

    return fits


def _simple(schema: Schema) -> frozenset[str]:
    """The types of numbers, booleans and texts that a schema takes."""
    options = schema.get("anyOf")
    if options is not None:
        return frozenset[str]().union(*map(_simple, options))
    return types_of(schema) or _NUMBERS | {"string"}


def refused(parameter: str, wrong: Wrong, rule: Rule, value: Any) -> OpenEOError:
    """The error for an argument that does not fit."""
    hint = None
    if is_pixels(value):
        hint = "Inside of callbacks use processes of numbers or arrays." if rule.words else "It is one for all pixels."
    elif isinstance(value, Cube) and "array" in rule.types:
        hint = "Arrays of cubes are given to callbacks, e.g. of reduce_dimension or apply_dimension."
    return refuse(parameter, str(wrong), hint)
