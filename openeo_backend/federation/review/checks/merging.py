"""Collections as the aggregator merges them."""

from __future__ import annotations

from openeo_backend.federation.review.check import (
    AGGREGATOR,
    Verdict,
    check,
    failed,
    judged,
    not_applicable,
)
from openeo_backend.federation.review.documents import by_rules, ids
from openeo_backend.federation.review.node import Node


@check("MERGE-LICENSE", profile="LP", kind="anonymous", source=AGGREGATOR)
def licences_merge(node: Node) -> Verdict:
    """Licences are texts: a list removes the collection for everybody"""
    return by_rules(node, "MERGE-LICENSE", "All are.")


@check("MERGE-DIMENSIONS", profile="LP", kind="anonymous", source=AGGREGATOR, level="recommended")
def dimensions_merge(node: Node) -> Verdict:
    """Dimensions are called x, y, t and bands: others vanish in merging"""
    return by_rules(node, "MERGE-DIMENSIONS", "All are.")


@check("MERGE-SUMMARIES", profile="LP", kind="anonymous", source=AGGREGATOR)
def summaries_merge(node: Node) -> Verdict:
    """Summaries are lists, or ranges with min and max: one other loses all of a collection"""
    return by_rules(node, "MERGE-SUMMARIES", "All are.")


@check("MERGE-BANDS", profile="LP", kind="anonymous", source=AGGREGATOR)
def bands_merge(node: Node) -> Verdict:
    """eo:bands have agreed common names, and the order of the dimension"""
    return by_rules(node, "MERGE-BANDS", "All have.")


@check("MERGE-FEDERATION", profile="LP", kind="anonymous", source=AGGREGATOR, level="recommended")
def leaves_federation_alone(node: Node) -> Verdict:
    """Collections and processes do not set federation:backends: the aggregator does"""
    marked = [str(process.get("id")) for process in node.processes if "federation:backends" in process]
    if marked:
        return failed(f"{len(marked)} processes set it, such as {marked[0]}.", expected="no federation:backends")
    return by_rules(node, "MERGE-FEDERATION", "None does.")


@check("MERGE-QUERYABLES", profile="LP", kind="anonymous", source=AGGREGATOR)
def queryables_pass(node: Node) -> Verdict:
    """Queryables are neither compressed nor redirected: the aggregator copies all headers"""
    id = next(iter(ids(node)), None)
    if id is None:
        return not_applicable("There are no collections.")
    path = f"/collections/{id}/queryables"
    reply = node.get(path, headers={"Accept-Encoding": "gzip, deflate, br"})
    wrong = []
    if reply.headers.get("content-encoding", "identity") != "identity":
        wrong.append(f"they come with Content-Encoding {reply.headers['content-encoding']}")
    if not reply.url.endswith(path):
        wrong.append(f"they are redirected to {reply.url}")
    return judged(wrong, "They are not.")
