"""Graphs that end in a value without a file format are answered with JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest


@pytest.mark.parametrize(
    ("process", "arguments", "expected"),
    [
        ("create_data_cube", {}, {"type": "datacube", "order": [], "dimensions": {}, "data": []}),
        (
            "array_create_labeled",
            {"data": [1.5, None], "labels": ["B01", 7]},
            {"type": "labeled-array", "data": [{"key": "B01", "value": 1.5}, {"key": 7, "value": None}]},
        ),
        ("normalized_difference", {"x": None, "y": 1}, None),
        ("normalized_difference", {"x": 3, "y": 1}, 0.5),
    ],
)
def test_bare_value(engine: Engine, tmp_path: Path, process: str, arguments: dict[str, Any], expected: Any) -> None:
    graph = {"call": {"process_id": process, "arguments": arguments, "result": True}}
    outcome = execute(RunRequest(id="r", process={"process_graph": graph}, folder=tmp_path), engine, lambda event: None)
    assert (outcome.error, outcome.files, outcome.has_value) == (None, (), True)
    assert outcome.value == expected
