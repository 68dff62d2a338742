"""The report of a review: as JSON, and as a table for terminals."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review.check import Status
from openeo_backend.federation.review.checks.operations import flags
from openeo_backend.federation.review.documents import shape
from openeo_backend.federation.review.node import Node, decoded
from openeo_backend.federation.review.review import Finding, holds
from openeo_backend.observe.clock import now

STATUSES: tuple[Status, ...] = get_args(Status)

_WIDTH = 118


def report(node: Node, findings: list[Finding], profiles: Iterable[str]) -> dict[str, Any]:
    """The JSON report: `checks`, and a `summary` that a later review can be compared with."""
    return {"checks": [finding.json() for finding in findings], "summary": _summary(node, findings, profiles)}


def table(document: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a report for a terminal: one per check, and why where it did not pass."""
    for entry in document["checks"]:
        yield from row(entry)
    yield ""
    yield from totals(document["summary"])


def row(entry: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one check."""
    yield f"{entry['status']:<14} {entry['id']:<18} {entry['title']} ({entry['level']}, {'/'.join(entry['profiles'])})"
    if entry["status"] == "pass":
        return
    indent = " " * 34
    yield from textwrap.wrap(entry["message"], _WIDTH, initial_indent=indent, subsequent_indent=indent)
    if entry["status"] in ("fail", "warning"):
        if entry["expected"]:
            text = f"expected: {entry['expected']}"
            yield from textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
        yield f"{indent}{entry['source']}"


def totals(summary: Mapping[str, Any]) -> Iterator[str]:
    """The end of a report: how many of each status, and whether the required ones hold."""
    counts = ", ".join(f"{count} {status}" for status, count in summary["counts"].items() if count)
    yield f"{summary['title']} at {summary['root']}, profiles {', '.join(summary['profiles'])}: {counts}"
    if summary["holds"]:
        yield "No required check failed."
    else:
        yield f"Required checks that failed: {', '.join(summary['required_failures'])}"


def _summary(node: Node, findings: list[Finding], profiles: Iterable[str]) -> dict[str, Any]:
    counts = Counter(finding.verdict.status for finding in findings)
    found = decoded(node.get("/"))
    capabilities = found if isinstance(found, dict) else {}
    return {
        "url": node.base_url,
        "root": node.root,
        "title": str(capabilities.get("title", "")),
        "api_version": str(capabilities.get("api_version", "")),
        "backend_version": str(capabilities.get("backend_version", "")),
        "date": now().isoformat(timespec="seconds"),
        "profiles": list(profiles),
        "counts": {status: counts[status] for status in STATUSES},
        "required_failures": [
            finding.check.id for finding in findings if finding.is_required and finding.verdict.status == "fail"
        ],
        "holds": holds(findings),
        "metadata": _metadata(node),
    }


def _metadata(node: Node) -> dict[str, Any]:
    """What a later review compares: dimensions and bands of collections, what is experimental."""
    try:
        ids = [str(entry["id"]) for entry in node.collections if "id" in entry]
        documents = {id: decoded(node.get(f"/collections/{id}")) for id in ids}
        return {
            "collections": {id: shape(document) for id, document in documents.items() if isinstance(document, dict)},
            "experimental": flags(node),
        }
    except (OpenEOError, LookupError, TypeError, ValueError, AttributeError):
        return {}
