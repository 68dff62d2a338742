"""JSON schemas as rules that tell quickly whether a value fits, and in few words why it does not.

Validation asks them of constants, and the registry of what comes from other nodes when a graph runs, so that both
are of one mind. What else than JSON can be an argument (cubes, pixels, models) the registry adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import jsonschema

Schema = Mapping[str, Any]

Fits = Callable[[Any], bool]
"""Whether a value fits a schema."""

Others = Callable[[Schema], Fits]
"""Whether a value that is no JSON fits a schema."""

#: What JSON calls the values of a class.
TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}

#: What processes compute with, by the names the specifications give it. Null is a missing one of them, also where
#: a specification (of normalized_difference) does not say that it may be missing.
OPERANDS = frozenset({"x", "y"})

#: Subtypes of objects that are data cubes.
CUBES = frozenset({"datacube", "raster-cube", "vector-cube"})

#: What is never written as JSON, by the subtype that specifications call it and its class has as `subtype`.
OPAQUE: Mapping[str, str] = {
    **dict.fromkeys(CUBES, "a data cube"),
    "process-graph": "a process graph",
    "ml-model": "a model",
}

#: What values that are no JSON are called.
NAMES: Mapping[str, str] = {**OPAQUE, "stac": "a STAC resource"}

#: JSON Schema draft 7, as the specifications are written, for the keywords that are rare.
Validator = jsonschema.Draft7Validator

#: Keywords that rules are made of. Patterns do not count: published workflows name bands and formats in ways that
#: the patterns forbid and every back-end takes.
_KNOWN = frozenset(
    {
        "type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "minItems",
        "maxItems", "uniqueItems", "items", "required", "properties", "additionalProperties", "anyOf", "pattern",
        "format",
    }
)  # fmt: skip
_RARE = frozenset(Validator.VALIDATORS) - _KNOWN


def describe(value: Any) -> str:
    """What a value is, in the words of error messages."""
    if value is None:
        return "null"
    if isinstance(value, str) and len(value) > 60:
        return f"{value[:57]!r}..."
    if isinstance(value, bool | str | int | float):
        text = repr(value) if not isinstance(value, int) or value.bit_length() < 10_000 else "a number"
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, dict):
        return "an object"
    if hasattr(value, "subtype"):
        return NAMES.get(value.subtype, f"a value of the subtype '{value.subtype}'")
    if hasattr(value, "dtype"):
        return f"pixels of type {value.dtype}"
    if isinstance(value, Sized):
        return f"an array of {len(value)} elements"
    return f"a {type(value).__name__}"


@dataclass(frozen=True)
class Wrong:
    """Why a value does not fit."""

    reason: str
    """What follows on "The value ..."."""
    path: tuple[str, ...] = ()
    """Where in the value."""
    is_kind: bool = False
    """Whether it is of another kind altogether."""

    def __str__(self) -> str:
        return f"is not valid at '{'/'.join(self.path)}': it {self.reason}" if self.path else self.reason

    def under(self, *path: str) -> Wrong:
        return Wrong(self.reason, (*path, *self.path))


@dataclass(frozen=True, eq=False)
class Rule:
    """Whether values fit, and why those do not that do not."""

    fits: Fits
    why: Callable[[Any], Wrong]
    types: frozenset[str] = frozenset()
    """The types of JSON that fit."""
    words: tuple[str, ...] = ()
    """What else fits."""

    def wrong(self, value: Any) -> Wrong | None:
        """Why a value does not fit; None where it does."""
        return None if self.fits(value) else self.why(value)


def types_of(schema: Schema) -> frozenset[str]:
    """The types of JSON that a schema names; empty where it takes all."""
    named = schema.get("type", ())
    return frozenset((named,) if isinstance(named, str) else named)


def schemas_of(parameter: Mapping[str, Any]) -> list[Schema]:
    """The alternatives of a parameter."""
    schema = parameter.get("schema", {})
    return schema if isinstance(schema, list) else [schema]


def no_others(schema: Schema) -> Fits:
    """JSON and nothing else."""
    return lambda value: False


def of_parameter(parameter: Mapping[str, Any], others: Others = no_others) -> Rule:
    """What a parameter of a process takes. Null is as good as no value for an option."""
    options = [of_schema(schema, others) for schema in schemas_of(parameter)]
    if parameter.get("optional") or parameter["name"] in OPERANDS:
        options.append(of_schema({"type": "null"}))
    return _any_of(options)


def of_schema(schema: Schema, others: Others = no_others) -> Rule:
    """What a schema takes."""
    other = others(schema)
    subtype = schema.get("subtype", "")
    if subtype in OPAQUE:
        word = "a vector data cube" if needs_geometries(schema) else OPAQUE[subtype]
        return Rule(other, lambda value: _kind(value, frozenset(), (word,)), words=(word,))
    named = types_of(schema) or frozenset(TYPES.values())
    classes = frozenset(cls for cls, name in TYPES.items() if name in named or (cls is int and "number" in named))
    takes_whole = "integer" in named and float not in classes
    is_rare = schema.keys() & _RARE or not isinstance(schema.get("items", {}), Mapping)
    tests = [_left(schema)] if is_rare else [*_tests(schema, others)]

    def kind_fits(value: Any, kind: type) -> bool:
        return kind in classes or (takes_whole and kind is float and value.is_integer())

    def fits(value: Any) -> bool:
        kind = _class_of(value)
        if kind is None:
            return other(value)
        return kind_fits(value, kind) and (not tests or all(test.fits(value) for test in tests))

    def why(value: Any) -> Wrong:
        kind = _class_of(value)
        if kind is None or not kind_fits(value, kind):
            return _kind(value, named, ())
        return next(wrong for test in tests if (wrong := test.wrong(value)))

    return Rule(fits, why, named)


def _class_of(value: Any) -> type | None:
    """The class of a JSON value (arrays may have labels); None for what is no JSON."""
    kind = value.__class__
    if kind in TYPES:
        return kind
    return next((cls for cls in (list, dict) if isinstance(value, cls)), None)


def needs_geometries(schema: Schema) -> bool:
    """Whether a cube must be a vector cube."""
    return any(dimension.get("type") == "geometry" for dimension in schema.get("dimensions", ()))


def _kind(value: Any, named: frozenset[str], words: Sequence[str]) -> Wrong:
    shown = sorted(named - {"integer"} if "number" in named else named)
    expected = [*dict.fromkeys(words), *([f"of the type {' or '.join(shown)}"] if shown else [])]
    return Wrong(f"must be {' or '.join(expected)}, but is {describe(value)}", is_kind=True)


def _any_of(options: Sequence[Rule]) -> Rule:
    if len(options) == 1:
        return options[0]
    types = frozenset[str]().union(*(option.types for option in options))
    words = tuple(word for option in options for word in option.words)

    def why(value: Any) -> Wrong:
        closer = [wrong for option in options if not (wrong := option.why(value)).is_kind]
        return max(closer, key=lambda wrong: len(wrong.path)) if closer else _kind(value, types, words)

    first, *more = (option.fits for option in options)
    return Rule(lambda value: first(value) or any(fits(value) for fits in more), why, types, words)


# -- keywords ----------------------------------------------------------------------------------------------------


def _left(schema: Schema) -> Rule:
    """A schema with rare keywords."""
    plain = Validator({name: value for name, value in schema.items() if name != "pattern"})
    return Rule(plain.is_valid, lambda value: Wrong(f"must fit {_short(plain.schema)}, but is {describe(value)}"))


def _short(value: Any, most: int = 200) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _tests(schema: Schema, others: Others) -> Iterator[Rule]:
    """What the keywords of a schema but `type` ask of JSON."""
    if "enum" in schema:
        yield _enum(schema["enum"])
    if "anyOf" in schema:
        yield _any_of([of_schema(option, others) for option in schema["anyOf"]])
    yield from _bounds(schema)
    yield from _lengths(schema)
    if schema.get("items"):
        yield _items(of_schema(schema["items"], others), _plain(schema["items"]))
    if schema.get("uniqueItems"):
        yield Rule(
            lambda value: not isinstance(value, list) or _differ(value),
            lambda value: Wrong("has an element more than once"),
        )
    yield from _members(schema, others)


def _enum(allowed: Sequence[Any]) -> Rule:
    texts = frozenset(allowed) if {str}.issuperset(map(type, allowed)) else None
    keys = {_key(value) for value in allowed}
    shown = ", ".join(map(describe, allowed))
    return Rule(
        lambda value: value in texts if texts and value.__class__ is str else _key(value) in keys,
        lambda value: Wrong(f"must be one of {shown}, but is {describe(value)}"),
    )


def _bounds(schema: Schema) -> Iterator[Rule]:
    """Bounds, from which values of pixels (numbers that may be null) are free.

    Their bounds tell where a function is real; outside it is NaN for a constant as for a pixel, as official cases ask.
    """
    is_free = "null" in types_of(schema)

    def bound(beyond: Callable[[Any], bool], words: str) -> Rule:
        return Rule(
            lambda value: value.__class__ not in (int, float) or not beyond(value),
            lambda value: Wrong(f"must be {words}, but is {describe(value)}"),
        )

    if "minimum" in schema and not is_free:
        yield bound(lambda value: value < schema["minimum"], f"{schema['minimum']} or more")
    if "maximum" in schema and not is_free:
        yield bound(lambda value: value > schema["maximum"], f"{schema['maximum']} or less")
    if "exclusiveMinimum" in schema:
        yield bound(lambda value: value <= schema["exclusiveMinimum"], f"more than {schema['exclusiveMinimum']}")
    if "exclusiveMaximum" in schema:
        yield bound(lambda value: value >= schema["exclusiveMaximum"], f"less than {schema['exclusiveMaximum']}")


def _lengths(schema: Schema) -> Iterator[Rule]:
    for cls, least, most, what in (
        (str, "minLength", "maxLength", "letters"),
        (list, "minItems", "maxItems", "elements"),
    ):
        if least in schema or most in schema:
            yield _length(cls, schema.get(least, 0), schema.get(most), what)


def _length(cls: type[str] | type[list], least: int, most: int | None, what: str) -> Rule:
    bounds = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
    return Rule(
        lambda value: not isinstance(value, cls) or (least <= len(value) and (most is None or len(value) <= most)),
        lambda value: Wrong(f"must have {bounds} {what}, but has {len(value)}"),
    )


def _items(item: Rule, plain: frozenset[type] | None) -> Rule:
    def fits(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        return (plain is not None and plain.issuperset(map(type, value))) or all(map(item.fits, value))

    def why(value: Any) -> Wrong:
        found = ((index, wrong) for index, entry in enumerate(value) if (wrong := item.wrong(entry)))
        index, wrong = next(found)
        return wrong.under(str(index))

    return Rule(fits, why)


def _plain(schema: Schema) -> frozenset[type] | None:
    """The classes whose values fit a schema whatever they are; None where more than `type` counts."""
    named = types_of(schema)
    if (
        not named
        or schema.keys() & Validator.VALIDATORS.keys() - {"type", "pattern"}
        or schema.get("subtype") in OPAQUE
    ):
        return None
    return frozenset(cls for cls, name in TYPES.items() if name in named or (cls is int and "number" in named))


def _differ(values: Sequence[Any]) -> bool:
    """Whether no two elements of an array are the same, in linear time."""
    return len({_key(value) for value in values}) == len(values)


def _key(value: Any) -> Any:
    """The same for values that are the same: 1 and 1.0, but not 1 and true."""
    if isinstance(value, list):
        return ("array", *map(_key, value))
    if isinstance(value, dict):
        return frozenset((name, _key(member)) for name, member in value.items())
    return (value.__class__ is bool, value) if value.__class__ in TYPES else id(value)


def _members(schema: Schema, others: Others) -> Iterator[Rule]:
    required = frozenset(schema.get("required", ()))
    if required:
        yield Rule(
            lambda value: not isinstance(value, dict) or required <= value.keys(),
            lambda value: Wrong(f"must have the member '{min(required - value.keys())}'"),
        )
    rules = {name: of_schema(member, others) for name, member in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties", True)
    if more is False:
        known = ", ".join(rules) or "none"
        yield Rule(
            lambda value: not isinstance(value, dict) or rules.keys() >= value.keys(),
            lambda value: Wrong(
                f"has the unknown member {describe(min(value.keys() - rules.keys()))} (known: {known})"
            ),
        )
    further = of_schema(more, others) if isinstance(more, Mapping) else None
    if rules or further:
        yield _each(rules, further)


def _each(rules: Mapping[str, Rule], further: Rule | None) -> Rule:
    """Each member by its own rule, or that for all others."""

    def wrong(value: Any) -> Iterator[Wrong]:
        for name, member in value.items():
            rule = rules.get(name, further)
            if rule is not None and (found := rule.wrong(member)):
                yield found.under(name)

    return Rule(
        lambda value: not isinstance(value, dict) or next(wrong(value), None) is None,
        lambda value: next(wrong(value)),
    )
