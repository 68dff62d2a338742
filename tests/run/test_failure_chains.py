"""A failure whose errors are each other's context is told, not walked along for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import Settings


@pytest.mark.timeout(60)
def test_errors_in_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        error, other = OpenEOError("AssetUnreadable", "not as its item says"), ValueError("other")
        error.__context__, other.__context__ = other, error
        raise error

    monkeypatch.setattr("openeo_backend.run.execute._execute", fail)
    process = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 1}, "result": True}}}
    request = RunRequest(id="r", process=process, folder=tmp_path)
    outcome = execute(request, Engine.open(Settings(data_dir=tmp_path)), lambda event: None)
    assert outcome.error is not None
    assert outcome.error["code"] == "AssetUnreadable"
