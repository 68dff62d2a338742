"""The definition of a process around its graph: id, parameters, what it returns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError

from openeo_backend.errors import OpenEOError
from openeo_backend.settings import LimitsSettings

#: The API allows letters, digits and underscores; clients (and the official suite) also send UUIDs with dashes.
ID = re.compile(r"[\w-]{1,255}", re.ASCII)

_NAME = re.compile(r"\w+", re.ASCII)


def problems_of_definition(process: Mapping[str, Any], limits: LimitsSettings) -> list[OpenEOError]:
    """What is wrong with the members of a process other than its graph; each may be left out, or null.

    Schemas that are too many or too large are not looked at.
    """
    id = process.get("id")
    found = []
    if id is not None and not (isinstance(id, str) and ID.fullmatch(id)):
        found.append(
            OpenEOError(
                "ProcessInvalid",
                f"{str(id)[:80]!r} cannot be the id of a process.",
                hint="Use 1 to 255 letters, digits, underscores and dashes.",
            )
        )
    wrong = [*_of_size(process, limits)] or [
        *_of_parameters(process.get("parameters")),
        *_of_returns(process.get("returns")),
    ]
    return found + [OpenEOError("ProcessInvalid", message) for message in wrong]


def _of_size(process: Mapping[str, Any], limits: LimitsSettings) -> Iterator[str]:
    parameters = process.get("parameters")
    if isinstance(parameters, list) and len(parameters) > limits.process_parameters:
        yield f"It declares {len(parameters)} parameters; most are {limits.process_parameters}."
        return
    stack: list[Any] = [process.get("returns"), parameters]
    values = 0
    while stack:
        value = stack.pop()
        more = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values += len(more)
        if values > limits.schema_values:
            yield f"The schemas of its parameters and of what it returns have more than {limits.schema_values} values."
            return
        stack.extend(more)


def _of_parameters(parameters: Any) -> Iterator[str]:
    if parameters is None:
        return
    if not isinstance(parameters, list):
        yield "The member 'parameters' is not an array."
        return
    names: set[str] = set()
    for place, parameter in enumerate(parameters, 1):
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"Parameter {place} has no name of letters, digits and underscores, but {str(name)[:80]!r}."
            continue
        if name in names:
            yield f"The parameter '{name}' is defined twice."
        names.add(name)
        yield from _of_schema(parameter.get("schema", {}), f"the parameter '{name}'")


def _of_returns(returns: Any) -> Iterator[str]:
    if returns is None:
        return
    if not isinstance(returns, dict):
        yield "The member 'returns' is not an object."
        return
    yield from _of_schema(returns.get("schema", {}), "what is returned")


def _of_schema(schema: Any, owner: str) -> Iterator[str]:
    """A JSON schema, or an array of them: the value may be of any."""
    for alternative in schema if isinstance(schema, list) else [schema]:
        if not isinstance(alternative, dict):
            yield f"The schema of {owner} is not an object."
            continue
        try:
            Draft7Validator.check_schema(alternative)
        except (SchemaError, RecursionError) as error:
            reason = error.message if isinstance(error, SchemaError) else "it is nested too deeply"
            yield f"The schema of {owner} is not a JSON schema: {reason[:200]}."
