"""Texts (strings): searching and joining them."""

from __future__ import annotations

import json
import math
from typing import Any

from openeo_backend.cube.pixels import PixelArray, elements, is_number, refuse
from openeo_backend.graph.schema import describe
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


def _texts(data: Any, pattern: Any, case_sensitive: bool) -> tuple[str, str] | None:
    """Both texts ready for comparison; None where there is none to search in."""
    if data is None:
        return None
    for name, value in (("data", data), ("pattern", pattern)):
        if not isinstance(value, str):
            raise refuse(name, f"must be a text, but is {describe(value)}")
    return (data, pattern) if case_sensitive else (_lower(data), _lower(pattern))


def _lower(text: str) -> str:
    """The text in lower case, character by character, so that positions stay."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


@process("text_begins")
def text_begins(data: Any, pattern: Any, case_sensitive: bool = True) -> bool | None:
    """Whether the text begins with the pattern; null for null."""
    texts = _texts(data, pattern, case_sensitive)
    return None if texts is None else texts[0].startswith(texts[1])


@process("text_ends")
def text_ends(data: Any, pattern: Any, case_sensitive: bool = True) -> bool | None:
    """Whether the text ends with the pattern; null for null."""
    texts = _texts(data, pattern, case_sensitive)
    return None if texts is None else texts[0].endswith(texts[1])


@process("text_contains")
def text_contains(data: Any, pattern: Any, case_sensitive: bool = True) -> bool | None:
    """Whether the pattern is in the text; null for null."""
    texts = _texts(data, pattern, case_sensitive)
    return None if texts is None else texts[1] in texts[0]


@process("text_find")
def text_find(data: Any, pattern: Any, case_sensitive: bool = True) -> int | None:
    """The position of the first occurrence of the pattern in the text; null where there is none, and for null."""
    texts = _texts(data, pattern, case_sensitive)
    if texts is None:
        return None
    position = texts[0].find(texts[1])
    return None if position < 0 else position


def _represent(value: Any, name: str) -> str:
    """The text of a JSON value as openEO writes it: lower case for booleans and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool) or is_number(value):
        return json.dumps(value)
    raise refuse(name, f"must hold texts, numbers, booleans and null, but holds {describe(value)}")


@process("text_concat")
def text_concat(data: Any, separator: Any = "", *, env: Env) -> str:
    """The elements as one text with the separator between them."""
    array = elements(data)
    if isinstance(array, PixelArray):
        raise refuse("data", "holds pixels, which have no text", "Use labels or numbers that are the same everywhere.")
    texts = [_represent(value, "data") for value in array]
    between = _represent(separator, "separator")
    if sum(map(len, texts)) + len(between) * len(texts) > env.limits.text:
        raise refuse("data", f"would give a text of more than {env.limits.text} characters")
    return between.join(texts)


@process("text_merge", hidden=True)
def text_merge(data: Any, separator: Any = "", *, env: Env) -> str:
    """The old name of :func:`text_concat`."""
    return text_concat(data, separator, env=env)
