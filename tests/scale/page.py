"""The table of docs/scale.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
BEGIN, END = "<!-- measured: written by make scale -->\n", "<!-- end of what was measured -->\n"


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each process."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {entry["process"]: entry for entry in map(json.loads, lines)}


def row(entry: Mapping[str, Any]) -> str:
    name = f"`{entry['process']}`" + (f": {entry['about']}" if entry["about"] else "")
    if "failed" in entry:
        failed = entry["failed"][:120]
        return f"| {name} | {entry['wall']:.0f} | {entry['cpu']:.0f} | {entry['peak_mb']} | | **{failed}** |"
    speed = entry["samples"] / 1e6 / entry["wall"]
    return (
        f"| {name} | {entry['wall']:.0f} | {entry['cpu']:.0f} | {entry['peak_mb']} | {speed:.1f} | "
        f"{entry['compared']:,} values right |"
    )


def write_page(results: Path, order: Mapping[str, Any]) -> None:
    """Put what was measured into the page, the largest size only."""
    sizes = sorted((int(path.stem) for path in results.glob("*.jsonl")), reverse=True)
    found = read(results / f"{sizes[0]}.jsonl")
    days = sorted({entry["when"] for entry in found.values()})
    when = " to ".join(dict.fromkeys([days[0], days[-1]]))
    lines = [
        f"{len(found)} processes on {sizes[0]:,} x {sizes[0]:,} pixels, measured {when}:",
        "",
        "| process | wall s | CPU s | peak MB | million samples read per second | pixels |",
        "|---|---|---|---|---|---|",
        *(row(found[name]) for name in order if name in found),
    ]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after)
