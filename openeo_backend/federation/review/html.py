"""The report of a review as one HTML file: nothing is loaded, nothing runs, everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from urllib.parse import urlsplit

from openeo_backend.federation.review.report import STATUSES

_COLORS = {
    "pass": "#1a7f37",
    "fail": "#c0182b",
    "warning": "#9a6700",
    "declared": "#0b5cad",
    "not-applicable": "#5f6670",
}

_FAMILIES = {
    "API": "API",
    "PROC": "Processes",
    "FF": "File formats",
    "COL": "Collections",
    "AUTH": "Authentication",
    "ACC": "Credits",
    "JOB": "Job options",
    "CON": "Contract and operation",
    "MERGE": "Merging by the aggregator",
}

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2126; margin: 0 auto; max-width: 72rem; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
.verdict { border-left: .4rem solid; padding: .5rem 1rem; margin: 1rem 0; background: #f6f8fa; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: #5f6670; } dd { margin: 0; overflow-wrap: anywhere; }
.filter { position: absolute; opacity: 0; }
.label { display: inline-block; margin: 0 1rem .25rem 0; white-space: nowrap; cursor: pointer; }
.filter:not(:checked) + .label { opacity: .4; text-decoration: line-through; }
.filter:focus-visible + .label { outline: 2px solid #0b5cad; outline-offset: 2px; }
.badge { display: inline-block; min-width: 8.2rem; padding: .05rem .5rem; border-radius: .3rem; color: #fff;
  font-size: .85rem; font-weight: 600; text-align: center; }
details { border: 1px solid #d5dae0; border-radius: .4rem; margin: .4rem 0; padding: .4rem .7rem;
  break-inside: avoid; }
summary { cursor: pointer; }
summary code { display: inline-block; min-width: 9.5rem; font-weight: 600; margin: 0 .4rem; }
.level { color: #5f6670; font-size: .85rem; }
.why { margin: .5rem 0; overflow-wrap: anywhere; }
pre { background: #f6f8fa; border-radius: .3rem; padding: .6rem; margin: .4rem 0; font-size: .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 1.5rem 0 .4rem; break-after: avoid; }
h3 { font-size: .95rem; margin: .8rem 0 .2rem; overflow-wrap: anywhere; }
a { color: #0b5cad; overflow-wrap: anywhere; }
@media print {
  body { font-size: 10.5pt; max-width: none; padding: 0; }
  .filter, .label, .hint { display: none; }
  pre { max-height: none; font-size: 8pt; }
  .badge { color: #000; border: 1px solid #000; background: none !important; }
}
"""


def page(document: Mapping[str, Any]) -> str:
    """The report as an HTML page."""
    return "\n".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    summary = document["summary"]
    title = f"Review of {summary['title'] or summary['root']}"
    filters = "\n".join(f"#f-{s}:not(:checked) ~ main .s-{s} {{ display: none; }}" for s in STATUSES)
    colors = "\n".join(f".c-{s} {{ background: {color}; }}" for s, color in _COLORS.items())
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}\n{filters}\n{colors}</style>\n</head>\n<body>"
    yield f"<h1>{escape(title)}</h1>"
    yield from _head(summary)
    for status in STATUSES:
        count = summary["counts"][status]
        yield f'<input class="filter" type="checkbox" id="f-{status}" checked>'
        yield (
            f'<label class="label" for="f-{status}"><span class="badge c-{status}">{escape(status)}</span> '
            f"{count}</label>"
        )
    yield '<p class="hint level">A click on a status hides or shows its checks; one on a check tells more.</p>'
    yield "<main>"
    family = None
    for entry in document["checks"]:
        if (own := entry["id"].partition("-")[0]) != family:
            family = own
            yield f"<h2>{escape(_FAMILIES.get(own, own))}</h2>"
        yield from _entry(entry)
    yield "</main>\n</body>\n</html>"


def _head(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["holds"]:
        color, text = _COLORS["pass"], "No required check failed."
    else:
        color = _COLORS["fail"]
        text = f"Required checks failed: {', '.join(summary['required_failures'])}"
    yield f'<p class="verdict" style="border-color: {color}">{escape(text)}</p>'
    yield "<dl>"
    rows = {
        "URL": summary["url"],
        "Root": summary["root"],
        "openEO API": summary["api_version"],
        "Version": summary["backend_version"],
        "Profiles": ", ".join(summary["profiles"]),
        "Date": summary["date"],
    }
    for name, value in rows.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
    yield "</dl>"


def _entry(entry: Mapping[str, Any]) -> Iterator[str]:
    status = entry["status"]
    is_open = " open" if status in ("fail", "warning") else ""
    yield f'<details class="s-{status}"{is_open}>'
    yield (
        f'<summary><span class="badge c-{status}">{escape(status)}</span><code>{escape(entry["id"])}</code>'
        f'{escape(entry["title"])} <span class="level">{escape(entry["level"])}, '
        f"{escape('/'.join(entry['profiles']))}</span></summary>"
    )
    yield f'<p class="why">{escape(entry["message"])}</p>'
    if entry["expected"]:
        yield f'<p class="why"><strong>Expected:</strong> {escape(entry["expected"])}</p>'
    yield f'<p class="why level">Source: {_link(entry["source"])}</p>'
    for exchange in entry["evidence"]:
        came = "no answer" if exchange["status"] is None else f"HTTP {exchange['status']}"
        yield (
            f"<h3>{escape(exchange['method'])} {escape(exchange['url'])}: {came} "
            f'<span class="level">({exchange["seconds"]:.2f} s)</span></h3>'
        )
        if exchange["excerpt"] and status != "pass":
            yield f"<pre>{escape(exchange['excerpt'])}</pre>"
    yield "</details>"


def _link(url: str) -> str:
    shown = escape(url)
    return f'<a href="{shown}">{shown}</a>' if urlsplit(url).scheme in ("http", "https") else shown
