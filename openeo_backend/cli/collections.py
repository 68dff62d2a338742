"""What collections lack to be offered in a federation."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from openeo_backend.catalog.describe import host
from openeo_backend.catalog.viewer import OPERATOR
from openeo_backend.federation.collection_rules import Problem, problems
from openeo_backend.run.engine import Engine
from openeo_backend.settings import Settings


def check_collections(settings: Settings, id: str | None, format: str) -> int:
    """Print what the collection `id`, or all, lack; 0 where they have all that is required, else 1.

    :param format: `table` or `json`.
    :raises OpenEOError: CollectionNotFound.
    """
    server = settings.server
    address = (server.public_url or f"http://{server.host}:{server.port}").rstrip("/")
    catalog = Engine.open(settings).seen_by(OPERATOR).catalog
    found: dict[str, list[Problem]] = {}
    for name in catalog.ids() if id is None else [id]:
        document = host(catalog.collection(name), server.title, address)
        found[name] = problems(document, server.title)
    if format == "json":
        click.echo(json.dumps(_report(found), ensure_ascii=False, indent=2))
    else:
        for name, told in found.items():
            _print(name, told)
    return 1 if any(_count(told, "required") for told in found.values()) else 0


def _report(found: dict[str, list[Problem]]) -> dict[str, Any]:
    everything = [problem for told in found.values() for problem in told]
    return {
        "collections": [
            {"id": name, "problems": [asdict(problem) for problem in told]} for name, told in found.items()
        ],
        "summary": {level: _count(everything, level) for level in ("required", "recommended")},
    }


def _print(name: str, told: list[Problem]) -> None:
    """A line per problem, with the requirements that it concerns, and what to do about it below."""
    if not told:
        click.echo(f"{name}: nothing is missing")
        return
    click.echo(f"{name}: {_count(told, 'required')} required, {_count(told, 'recommended')} recommended")
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for problem in sorted(told, key=lambda problem: problem.level != "required"):
        grouped.setdefault((problem.level, problem.message, problem.hint), []).append(problem.id)
    for (level, message, hint), ids in grouped.items():
        click.echo(f"  {level:11}  {', '.join(ids)}: {message}")
        click.echo(f"  {'':11}  -> {hint}")


def _count(told: list[Problem], level: str) -> int:
    return sum(problem.level == level for problem in told)
