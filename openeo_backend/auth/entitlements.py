"""From the claims about a user to a name and roles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

#: Claims that a name is taken from, the best first.
_NAMES = ("name", "preferred_username", "nickname", "email")

#: Longer entitlements, and names, are nobody's.
_LONGEST = 1024


def roles_of(claims: Mapping[str, Any], places: Sequence[str], patterns: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The roles that the entitlements among `claims` give.

    :param places: claims that hold entitlements; those with dots are looked up as such first, then as a path.
    :param patterns: entitlements by role, of which one is enough; `*` stands for any letters.
    """
    held = set(_entitlements(claims, places))
    return frozenset(
        role
        for role, wanted in patterns.items()
        if any(matches(pattern, entitlement) for pattern in wanted for entitlement in held)
    )


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern stands for, in which `*` stands for any letters."""
    return _compiled(pattern).fullmatch(text) is not None


def name_of(claims: Mapping[str, Any]) -> str | None:
    """What to call a user, if the claims tell."""
    for key in _NAMES:
        value = claims.get(key)
        if isinstance(value, str) and 0 < len(value.strip()) <= _LONGEST:
            return value.strip()
    return None


def _entitlements(claims: Mapping[str, Any], places: Iterable[str]) -> Iterator[str]:
    for place in places:
        found: Any = claims.get(place)
        if found is None:
            found = claims
            for part in place.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else ()
        yield from (value for value in values if isinstance(value, str) and len(value) <= _LONGEST)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
