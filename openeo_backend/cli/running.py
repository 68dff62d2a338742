"""Evaluating and checking process files without a server."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import click

from openeo_backend.catalog.viewer import OPERATOR
from openeo_backend.cli.options import fail
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, RunRequest
from openeo_backend.settings import Settings


def read_process(file: Path) -> dict[str, Any]:
    """The process in a JSON file: a process with `process_graph`, or a bare process graph."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        fail(f"{file} is not JSON: {error}")
    if not isinstance(raw, dict):
        fail(f"{file} does not hold a JSON object")
    if isinstance(raw.get("process"), dict):
        raw = raw["process"]
    return raw if "process_graph" in raw else {"process_graph": raw}


def parse_values(values: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` pairs; values are JSON where they can be read so, `@file.json` is the content of a file."""
    found = {}
    for pair in values:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            fail(f"--set takes name=value, not {pair!r}")
        if text.startswith("@"):
            try:
                text = Path(text[1:]).read_text(encoding="utf-8")
            except OSError as error:
                fail(f"--set {name}: cannot read {text[1:]}: {error.strerror}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def evaluate_file(file: Path, output: Path, values: tuple[str, ...], settings: Settings) -> int:
    """Evaluate the process in `file`; 0, or 1 with the error told."""
    process = read_process(file)
    output.mkdir(parents=True, exist_ok=True)
    request = RunRequest(
        id=uuid.uuid4().hex,
        process=process,
        folder=output,
        roles=None,
        title=file.stem,
        parameters=parse_values(values),
    )
    outcome = execute(request, Engine.open(settings), _tell)
    if outcome.error is not None:
        click.echo(f"{outcome.error['code']}: {outcome.error['message']}", err=True)
        return 1
    if outcome.has_value:
        click.echo(json.dumps(outcome.value, ensure_ascii=False))
    for description in outcome.files:
        click.echo(output / description["name"])
    (output / "metadata.json").write_text(
        json.dumps({"files": outcome.files, "provenance": outcome.provenance, "usage": outcome.usage}, indent=2),
        encoding="utf-8",
    )
    return 0


def validate_file(file: Path, settings: Settings) -> int:
    """Check the process in `file`; 0 if it is sound, else 1."""
    _, problems = Engine.open(settings).seen_by(OPERATOR).plan(read_process(file))
    for problem in problems:
        click.echo(str(problem), err=True)
    if not problems:
        click.echo("The process is valid.")
    return 1 if problems else 0


def _tell(event: Event) -> None:
    if event.kind == "log":
        click.echo(f"{event.data['level']:7} {event.data['message']}", err=True)
