"""A child whose catalog was there when the server started, and is away now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openeo_backend import settings as settings_module
from openeo_backend.run import child
from openeo_backend.run.engine import Engine
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import SettingsError

PROCESS: dict[str, Any] = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}


@pytest.fixture
def payload(tmp_path: Path) -> dict[str, Any]:
    settings = settings_module.read(overrides={"data_dir": str(tmp_path / "data")})
    folder = tmp_path / "run"
    folder.mkdir()
    return {"settings": settings.model_dump_json(), "request": RunRequest("r", PROCESS, folder).json()}


def away(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Have the engine fail to open so many times; the list grows with each time."""
    tried: list[int] = []
    open_engine = Engine.open

    def opening(*arguments: Any) -> Engine:
        tried.append(1)
        if len(tried) <= times:
            raise SettingsError("the STAC catalog http://127.0.0.1:1/ cannot be used: it answers with HTTP status 500")
        return open_engine(*arguments)

    monkeypatch.setattr(Engine, "open", opening)
    monkeypatch.setattr(child, "AGAIN_SECONDS", 0.01)
    return tried


def test_it_is_tried_again(payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tried = away(monkeypatch, 3)
    outcome = child.work(payload, lambda event: None)
    assert (outcome["error"], outcome["value"]) == (None, 3)
    assert len(tried) == 4


def test_it_is_the_cause_in_the_end(payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    away(monkeypatch, 10_000)
    monkeypatch.setattr(child, "OPEN_SECONDS", 0.1)
    outcome = child.work(payload, lambda event: None)
    assert outcome["error"]["code"] == "InfrastructureBusy"
    assert "HTTP status 500" in outcome["error"]["message"]
    assert outcome["error"]["status"] == 503
