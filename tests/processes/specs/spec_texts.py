"""Where the official specifications are, and what of a specification is not wording."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]

SPEC = Path(os.environ.get("OPENEO_SHARED_DIR", _ROOT.parent / "shared")) / "spec"

_PROCESSES = SPEC / "openeo-processes-2.0.0-rc.2"

#: The files of all official processes by id; empty where the shared folder is absent.
OFFICIAL = {file.stem: file for file in sorted((*_PROCESSES.glob("*.json"), *_PROCESSES.glob("proposals/*.json")))}

#: Keys of JSON schemas that explain and do not define.
WORDING = {"description", "title", "examples"}


def official(id: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(OFFICIAL[id].read_text(encoding="utf-8"))
    return spec


def structure(schema: Any, names: bool = False) -> Any:
    """A schema without wording. `names`: the keys of the object are names of properties."""
    if isinstance(schema, list):
        return [structure(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: structure(member, names=key in ("properties", "patternProperties"))
        for key, member in schema.items()
        if names or key not in WORDING
    }


def schemas(spec: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All schemas of parameters and of the result, each with its place."""
    places = [(parameter["name"], parameter["schema"]) for parameter in spec["parameters"]]
    places.append(("returns", spec["returns"]["schema"]))
    return [(place, one) for place, many in places for one in (many if isinstance(many, list) else [many])]
