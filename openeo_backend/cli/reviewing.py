"""The review of a back-end on the command line."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import click

from openeo_backend.cli.options import fail
from openeo_backend.federation.review.declaration import read_declaration
from openeo_backend.federation.review.html import page
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.report import report, table, totals
from openeo_backend.federation.review.review import Finding, holds, review, selected


def review_url(
    url: str,
    *,
    user: str | None,
    password: str | None,
    token: str | None,
    profiles: Iterable[str],
    format: str,
    output: Path | None,
    declaration: Path | None,
    timeout: float,
) -> int:
    """Review a back-end and write the report; the exit status says whether what is required holds.

    :raises OpenEOError: where there is no openEO back-end, or no token for the user.
    """
    if output is not None and not output.absolute().parent.is_dir():
        fail(f"the folder of {output} does not exist")
    declared = read_declaration(declaration) if declaration else {}
    node = Node.open(url if "://" in url else f"https://{url}", token=token, declaration=declared, seconds=timeout)
    if user is not None:
        node.login(user, password or "")
    chosen = list(profiles)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        findings = review(node, selected(chosen), _progress)
    finally:
        left = node.close()
        signal.signal(signal.SIGTERM, before)
    for path in left:
        click.echo(f"openeo-backend: could not be deleted: {path}", err=True)
    click.echo("\r\x1b[K" if _is_terminal() else "", err=True, nl=False)
    document = report(node, findings, chosen)
    if format == "json":
        text = json.dumps(document, indent=2, ensure_ascii=False)
    else:
        text = page(document) if format == "html" else "\n".join(table(document))
    if output is None:
        click.echo(text)
    else:
        output.write_text(f"{text}\n", encoding="utf-8")
    if output is not None or format != "table":
        for line in totals(document["summary"]):
            click.echo(line, err=True)
    return 0 if holds(findings) else 1


def _end(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl+C, so that what was made is deleted."""
    raise KeyboardInterrupt


def _progress(finding: Finding, done: int, planned: int) -> None:
    if _is_terminal():
        click.echo(f"\r\x1b[K[{done}/{planned}] {finding.check.id} {finding.verdict.status}", err=True, nl=False)


def _is_terminal() -> bool:
    return sys.stderr.isatty()
