"""Process specifications: the text that an installed package ships, under our overlays.

An overlay `specs_overlays/<id>.json` is a whole specification (it has an `id`), or changes one of the base:

- `patch`: merged into the specification as a JSON Merge Patch (RFC 7396: objects are merged, null removes, all else
  replaces), except that an object also patches an array (its keys are the names of parameters, or positions; what is
  not there yet is appended), and that `{"=": value}` puts a value, `null` too, in the place of what is there.
- `note`: a paragraph for the end of the description, on what this back-end does.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

#: The distribution whose process descriptions (Apache-2.0) are the text base. It is read as data, never imported.
BASE = "openeo-processes-dask"

#: Specifications of ours, in the place of those of the base, and changes to those.
OVERLAYS = Path(__file__).with_name("specs_overlays")


@cache
def _base_files() -> dict[str, Path]:
    try:
        files = distribution(BASE).files or ()
    except PackageNotFoundError:
        return {}
    found = {}
    for file in files:
        if file.suffix != ".json" or "specs" not in file.parts or "tests" in file.parts:
            continue
        # a description at the top level wins over a proposal of the same name
        if file.stem not in found or "proposals" not in file.parts:
            found[file.stem] = Path(str(file.locate()))
    return found


def load(id: str) -> dict[str, Any]:
    """The specification of a process.

    :raises KeyError: where no specification of that id is known.
    """
    file = OVERLAYS / f"{id}.json"
    overlay: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if "id" in overlay:
        return overlay
    base = _base_files().get(id)
    if base is None:
        raise KeyError(f"no specification of process '{id}'")
    spec: dict[str, Any] = merge(json.loads(base.read_text(encoding="utf-8")), overlay.get("patch", {}))
    if "note" in overlay:
        spec["description"] = f"{spec['description']}\n\n{overlay['note']}"
    return spec


def merge(base: Any, patch: Any) -> Any:
    """`base` with a patch, as the description of this module defines it. Neither is changed."""
    if not isinstance(patch, dict):
        return patch
    if patch.keys() == {"="}:
        return patch["="]
    if isinstance(base, list):
        keyed = {_key(element, position): element for position, element in enumerate(base)}
        return list(merge(keyed, patch).values())
    merged = dict(base) if isinstance(base, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), change)
    return merged


def _key(element: Any, position: int) -> str:
    return str(element["name"]) if isinstance(element, dict) and "name" in element else str(position)
