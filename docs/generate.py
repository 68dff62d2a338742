"""Writes the pages that follow from the code: settings, commands, processes (`make docs`).

tests/docs checks that the pages in the repository are the ones this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from openeo_backend.cli import main
from openeo_backend.processes.registry import Registry
from openeo_backend.settings import PREFIX, Section, Settings

HERE = Path(__file__).resolve().parent


def settings_page() -> str:
    """Every setting with its variable, default and meaning."""
    lines = [
        "# Settings",
        "",
        "The same names in a TOML file (`--config`, a table per section) and in the environment; lists and objects are",
        "written as JSON in the environment. The command line wins over the environment, and that over the file.",
        "`openeo-backend check` prints the effective values with their origin.",
        "",
        *_settings_rows("", Settings),
    ]
    return "\n".join(lines) + "\n"


def _settings_rows(section: str, model: type[Section]) -> Iterator[str]:
    plain = {name: info for name, info in model.model_fields.items() if not _is_section(info.annotation)}
    if plain:
        yield f"## {section or 'General'}"
        yield ""
        yield "| setting | environment | default | meaning |"
        yield "|---|---|---|---|"
        for name, info in plain.items():
            dotted = f"{section}.{name}" if section else name
            default = info.get_default(call_default_factory=True)
            shown = "" if default is None or str(default) == "PydanticUndefined" else f"`{default}`"
            meaning = " ".join((info.description or "").split())
            yield f"| `{dotted}` | `{PREFIX}{dotted.replace('.', '__').upper()}` | {shown} | {meaning} |"
        yield ""
    for name, info in model.model_fields.items():
        if _is_section(info.annotation):
            yield from _settings_rows(f"{section}.{name}" if section else name, info.annotation)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def commands_page() -> str:
    """The help of every command."""
    lines = [
        "# Command line",
        "",
        "A mistake of yours is one line and exit status 2; a failed evaluation has status 1.",
        "",
    ]
    for path, command in _commands((), main):
        name = " ".join(("openeo-backend", *path))
        context = click.Context(command, info_name=name, terminal_width=100, help_option_names=["-h", "--help"])
        lines += [
            f"## {name}",
            "",
            "```text",
            command.get_help(context).rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


def _commands(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands((*path, name), command.commands[name])


def processes_page() -> str:
    """Every process with its parameters."""
    registry = Registry.predefined(lambda name: True)
    lines = [
        "# Processes",
        "",
        "Identifiers, parameters, defaults and exceptions are those of openEO processes 2.0.0-rc.2; `GET /processes`",
        "has the whole text. Optional parameters are in brackets. Processes with a note need the setting named there.",
        "",
        "| process | parameters | summary |",
        "|---|---|---|",
    ]
    for id in registry.ids():
        entry = registry[id]
        summary = entry.spec.get("summary") or ""
        note = f" (needs `{entry.requires}`)" if entry.requires else ""
        lines.append(f"| `{id}` | {_parameters(entry.spec)} | {' '.join(summary.split())}{note} |")
    return "\n".join(lines) + "\n"


def _parameters(spec: Mapping[str, Any]) -> str:
    names = [f"[{p['name']}]" if p.get("optional") else p["name"] for p in spec.get("parameters", ())]
    return ", ".join(names)


PAGES = {"settings.md": settings_page, "command-line.md": commands_page, "processes.md": processes_page}


if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")
