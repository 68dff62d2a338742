"""Running the published graphs of the shared data on stand-in archives, each once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from archives import stand_in

from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.settings import Settings


@dataclass(frozen=True)
class Computed:
    """What came out of a graph, and the archive it was computed from."""

    outcome: Outcome
    folder: Path
    archive: Path
    """Folder of the stand-in archive."""

    warnings: list[str]

    @property
    def files(self) -> list[Path]:
        return [self.folder / file["name"] for file in self.outcome.files]


Run = Callable[..., Computed]


@pytest.fixture(scope="session")
def published(shared: Path) -> Callable[[str], dict[str, Any]]:
    """A published graph by name."""
    return lambda name: json.loads((shared / "realworld" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def run_process(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a process on the archive that stands in for what it loads."""

    def run(process: Mapping[str, Any], archive: Path | None = None, **fields: Any) -> Computed:
        folder = tmp_path_factory.mktemp("graph")
        if archive is None:
            archive = stand_in(process, folder / "archive").parent
        settings = Settings.model_validate({"catalog": {"sources": [str(archive / "catalog.json")]}})
        results = folder / "results"
        results.mkdir()
        events: list[Event] = []
        request = RunRequest(id="real", process=process, folder=results, **fields)
        outcome = execute(request, Engine.open(settings), events.append)
        warnings = [e.data["message"] for e in events if e.kind == "log" and e.data["level"] == "warning"]
        return Computed(outcome, results, archive, warnings)

    return run


@pytest.fixture(scope="session")
def run_published(published: Callable[[str], dict[str, Any]], run_process: Run) -> Callable[[str], Computed]:
    """Runs a published graph, once per session."""
    computed: dict[str, Computed] = {}

    def run(name: str) -> Computed:
        if name not in computed:
            computed[name] = run_process(published(name))
        assert computed[name].outcome.error is None, computed[name].outcome.error
        return computed[name]

    return run
