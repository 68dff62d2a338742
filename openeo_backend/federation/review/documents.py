"""The documents of the collections of a back-end, and what the federation's rules say about them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openeo_backend.federation.collection_rules import problems
from openeo_backend.federation.problem import Problem
from openeo_backend.federation.review.check import Verdict, failed, listed, not_applicable, passed, warned
from openeo_backend.federation.review.node import Node, decoded

#: Collections whose documents are looked at; of more, the first ones.
_MOST = 60

#: Hints for operators of this software.
_OF_SETTINGS = re.compile(r"catalog\.collections|server\.|\bsettings?\b")


def ids(node: Node) -> list[str]:
    """The ids of the collections that are looked at."""
    return [str(entry["id"]) for entry in node.collections if isinstance(entry.get("id"), str)][:_MOST]


def documents(node: Node) -> dict[str, dict[str, Any]]:
    """The documents of collections by id; where one cannot be had, the entry of the list."""
    found: dict[str, dict[str, Any]] = {}
    for entry in node.collections:
        id = entry.get("id")
        if isinstance(id, str) and len(found) < _MOST:
            document = decoded(node.get(f"/collections/{id}"))
            found[id] = document if isinstance(document, dict) and "id" in document else entry
    return found


def by_rules(node: Node, id: str, holds: str, *, expected: str | None = None) -> Verdict:
    """The verdict of the rules for collections that have the id of the requirement."""
    all = documents(node)
    if not all:
        return not_applicable("There are no collections.")
    title = node.get_document("/").get("title")
    found: dict[str, list[Problem]] = node.once(
        "problems of collections",
        lambda: {name: problems(doc, title if isinstance(title, str) else None) for name, doc in all.items()},
    )
    hit = [(name, problem) for name, own in found.items() for problem in own if problem.id == id]
    node.begin()
    for name in dict.fromkeys(name for name, _ in hit) or [next(iter(all))]:
        node.get(f"/collections/{name}")
    severe = [(name, problem) for name, problem in hit if problem.level == "required"]
    if not hit:
        return passed(holds)
    shown = severe or hit
    say = failed if severe else warned
    text = listed([f"{name}: {problem.message.rstrip('.')}" for name, problem in shown])
    return say(f"{text}.", expected=expected or _advice(shown[0][1]))


def shape(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What must not change of a collection: the names of its dimensions, and its bands."""
    dimensions = document.get("cube:dimensions")
    dimensions = dimensions if isinstance(dimensions, Mapping) else {}
    bands = [d.get("values") for d in dimensions.values() if isinstance(d, Mapping) and d.get("type") == "bands"]
    return {"dimensions": sorted(map(str, dimensions)), "bands": [b for b in (bands or [None])[0] or ()]}


def _advice(problem: Problem) -> str | None:
    """The hint of a rule, unless it is about settings of this software, which others do not have."""
    return None if _OF_SETTINGS.search(problem.hint) else problem.hint
