"""The tables of docs/scale.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def read(path: Path, *keys: str) -> dict[Any, dict[str, Any]]:
    """The last line of each process, or of each combination of keys."""
    lines = path.read_text().splitlines() if path.exists() else []
    entries = map(json.loads, lines)
    return {tuple(entry[key] for key in keys) if keys else entry["process"]: entry for entry in entries}


def days(entries: Sequence[Mapping[str, Any]]) -> str:
    """When entries were measured, and how busy the machine was."""
    found = sorted({entry["when"] for entry in entries})
    loads = sorted(entry["load"] for entry in entries if "load" in entry)
    busy = f", at a load of {loads[0]:g} to {loads[-1]:g}" if loads else ""
    return f"measured {' to '.join(dict.fromkeys([found[0], found[-1]]))}{busy}"


def row(entry: Mapping[str, Any]) -> str:
    name = f"`{entry['process']}`" + (f": {entry['about']}" if entry["about"] else "")
    if "failed" in entry:
        failed = entry["failed"][:120]
        return f"| {name} | {entry['wall']:.0f} | {entry['cpu']:.0f} | {entry['peak_mb']} | | **{failed}** |"
    speed = f"{entry['samples'] / 1e6 / entry['wall']:.1f}" if entry["samples"] else ""
    return (
        f"| {name} | {entry['wall']:.0f} | {entry['cpu']:.0f} | {entry['peak_mb']} | {speed} | "
        f"{entry['compared']:,} values right |"
    )


def write_processes(path: Path, order: Mapping[str, Any]) -> None:
    """Put into the page what each process took."""
    found = read(path)
    if not found:
        return
    side = f"{int(path.stem):,}"
    lines = [
        f"{len(found)} processes on {side} x {side} pixels, {days(list(found.values()))}:",
        "",
        "| process | wall s | CPU s | peak MB | million samples read per second | pixels |",
        "|---|---|---|---|---|---|",
        *(row(found[name]) for name in order if name in found),
    ]
    fill("measured", lines)


def fill(name: str, lines: Sequence[str]) -> None:
    """Put lines between the marks of a part of the page."""
    begin, end = f"<!-- {name}: written by make scale -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = PAGE.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    assert ended, f"the page has no place for {name}"
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after)
