"""Looking at single answers: errors, nulls, instants, media types."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from openeo_backend.federation.review.node import decoded
from openeo_backend.net.door import Reply

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def refusal(what: str, reply: Reply, statuses: Collection[int], codes: Collection[str] = ()) -> list[str]:
    """What is wrong with an answer that is to be an openEO error.

    :param codes: the codes that fit; all do where none are given.
    """
    if reply.status not in statuses:
        return [f"{what} is answered with {reply.status}, not {_either(statuses)}"]
    error = decoded(reply)
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return [f"{what} is answered with {reply.status}, but without an openEO error (JSON with code and message)"]
    if codes and error["code"] not in codes:
        return [f"{what} is answered with the code {error['code']}, not {_either(codes)}"]
    return []


def status(what: str, reply: Reply, expected: int) -> list[str]:
    """What is wrong with the status of an answer that is to succeed."""
    if reply.status == expected:
        return []
    error = decoded(reply)
    said = f" ({str(error['code'])[:60]}: {str(error.get('message'))[:160]})" if _is_error(error) else ""
    return [f"{what} is answered with {reply.status}, not {expected}{said}"]


def nulls(entry: Mapping[str, Any], allowed: Iterable[str], what: str) -> list[str]:
    """Members that are null and must not be."""
    return [
        f"`{name}` of {what} is null" for name, value in entry.items() if value is None and name not in set(allowed)
    ]


def is_instant(value: Any) -> bool:
    """Whether it is an RFC 3339 date-time."""
    return isinstance(value, str) and _INSTANT.fullmatch(value) is not None


def of(reply: Reply) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is none."""
    found = decoded(reply)
    return found if isinstance(found, dict) else {}


def objects(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list; none where there is no list."""
    found = document.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def arrays(reply: Reply, *names: str) -> list[str]:
    """What is wrong with an answer that is to have arrays."""
    document = of(reply)
    return [f"`{name}` is no array" for name in names if not isinstance(document.get(name), list)]


def _is_error(value: Any) -> bool:
    return isinstance(value, dict) and "code" in value


def _either(values: Collection[Any]) -> str:
    return " or ".join(str(value) for value in values) if len(values) <= 4 else f"{min(values)} to {max(values)}"
