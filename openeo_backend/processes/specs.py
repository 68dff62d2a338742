"""Process specifications: the text that an installed package ships, under our overlays."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

#: The distribution whose process descriptions (Apache-2.0) are the text base. It is read as data, never imported.
BASE = "openeo-processes-dask"

#: Specifications of ours, in the place of those of the base.
OVERLAYS = Path(__file__).with_name("specs_overlays")


@cache
def _base_files() -> dict[str, Path]:
    try:
        files = distribution(BASE).files or ()
    except PackageNotFoundError:
        return {}
    found = {}
    for file in files:
        if file.suffix == ".json" and "specs" in file.parts and "tests" not in file.parts:
            # a description at the top level wins over a proposal of the same name
            if file.stem not in found or "proposals" not in file.parts:
                found[file.stem] = Path(str(file.locate()))
    return found


def load(id: str) -> dict[str, Any]:
    """The specification of a process.

    :raises KeyError: where no specification of that id is known.
    """
    overlay = OVERLAYS / f"{id}.json"
    path = overlay if overlay.is_file() else _base_files().get(id)
    if path is None:
        raise KeyError(f"no specification of process '{id}'")
    spec: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return spec
