"""Overlays: whole specifications, and patches of those that the base package ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.processes import specs
from openeo_backend.processes.specs import load, merge

PARAMETERS = [{"name": "x", "schema": {"type": "number"}}, {"name": "y", "schema": {"type": "string"}}]


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [1, 2, 3]}, {"a": {"1": 9, "3": 4}}, {"a": [1, 9, 3, 4]}),
        ({"a": [1, 2, 3]}, {"a": {"0": None}}, {"a": [2, 3]}),
        ({"a": [1]}, {"a": {"=": {"b": None}}}, {"a": {"b": None}}),
        ({"a": 1}, {"a": {"=": None}}, {"a": None}),
        ({}, {"a": {"b": {"c": 1, "d": None}}}, {"a": {"b": {"c": 1}}}),
        (PARAMETERS, {"y": {"name": "z"}}, [PARAMETERS[0], {"name": "z", "schema": {"type": "string"}}]),
        (PARAMETERS, {"x": None}, PARAMETERS[1:]),
        (PARAMETERS, {"z": {"name": "z"}}, [*PARAMETERS, {"name": "z"}]),
    ],
)
def test_a_patch_merges(base: Any, patch: Any, expected: Any) -> None:
    before = json.dumps(base)
    assert merge(base, patch) == expected
    assert json.dumps(base) == before


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of overlays in the place of ours; the base is that of the installed package."""
    monkeypatch.setattr(specs, "OVERLAYS", tmp_path)
    return tmp_path


def test_an_overlay_with_an_id_is_the_whole_specification(folder: Path) -> None:
    whole = {"id": "add", "description": "Ours."}
    (folder / "add.json").write_text(json.dumps(whole))
    assert load("add") == whole


def test_a_patch_and_a_note_change_the_base(folder: Path) -> None:
    base = load("add")
    overlay = {"patch": {"parameters": {"y": {"description": "Ours."}}}, "note": "Said by us."}
    (folder / "add.json").write_text(json.dumps(overlay))
    ours = load("add")
    assert ours["parameters"] == [base["parameters"][0], {**base["parameters"][1], "description": "Ours."}]
    assert ours["description"] == f"{base['description']}\n\nSaid by us."
    assert {key: ours[key] for key in ours if key not in ("parameters", "description")} == {
        key: base[key] for key in base if key not in ("parameters", "description")
    }


def test_what_neither_base_nor_overlays_know_is_an_error(folder: Path) -> None:
    (folder / "no_such_process.json").write_text(json.dumps({"note": "Nothing to append it to."}))
    for id in ("no_such_process", "another_one"):
        with pytest.raises(KeyError, match=id):
            load(id)


@pytest.mark.parametrize("file", sorted(specs.OVERLAYS.glob("*.json")), ids=lambda file: file.stem)
def test_overlays_change_something(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = json.loads(file.read_text(encoding="utf-8"))
    ours = load(file.stem)
    assert ours["id"] == file.stem
    monkeypatch.setattr(specs, "OVERLAYS", file.parent / "none")
    if "id" in overlay:
        return
    assert overlay.keys() <= {"patch", "note"}
    assert load(file.stem) != ours
