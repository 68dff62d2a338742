"""What the tests of threats ask, and how a job gets finished."""

from __future__ import annotations

from typing import Any

from openeo_backend.jobs.worker import Worker
from openeo_backend.run.request import Outcome, RunRequest

GRAPH = {"process_graph": {"sum": {"process_id": "add", "arguments": {"x": 3, "y": 5}, "result": True}}}
ROOT = "/openeo/1.2"


def finish_job(node: Any, user: str) -> str:
    """The id of a finished job of a user, with one file."""
    id = node.ask("POST", f"{ROOT}/jobs", user, json={"process": GRAPH}).headers["OpenEO-Identifier"]
    assert node.ask("POST", f"{ROOT}/jobs/{id}/results", user).status_code == 202

    def write(request: RunRequest, *_: Any) -> Outcome:
        (request.folder / "a.json").write_text(f"secret of {user}")
        place = {"bbox": [4.0, 50.0, 4.1, 50.1], "start": "2024-05-01T00:00:00Z"}
        return Outcome(files=({"name": "a.json", "media_type": "application/json", "roles": ["data"], **place},))

    assert Worker(node.backend.store, node.backend.objects, write, node.backend.settings).run_once()
    return str(id)
