"""T33: a run reaches the results of its own user's jobs, below their own prefixes, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from victims import finish_job

from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import open_objects
from openeo_backend.files.scoped import Scoped
from openeo_backend.jobs.input import OwnResults
from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.store.schema import jobs


def run(node: Any, folder: Path, user: str, id: str) -> Any:
    engine = Engine.open(node.backend.settings, OwnResults(node.backend.settings))
    load = {"process_id": "load_result", "arguments": {"id": id}, "result": True}
    request = RunRequest("r", {"process_graph": {"a": load}}, folder, user=user)
    return execute(request, engine, lambda event: None)


def test_t33_results_of_others_do_not_exist(node: Any, tmp_path: Path) -> None:
    id = finish_job(node, "ada")
    outcome = run(node, tmp_path, "bob", id)
    assert outcome.error is not None
    assert outcome.error["code"] == "JobNotFound"
    assert "secret of ada" not in str(outcome)


@pytest.mark.parametrize("name", ["../../{other}/1/a.json", "/etc/passwd", "x/../../a.json", "a\\b", "", "./a.json"])
def test_t33_a_result_that_names_files_elsewhere(node: Any, tmp_path: Path, name: str) -> None:
    """Even where the description of a result was tampered with, a child reads below the job's prefix only."""
    other, own = finish_job(node, "ada"), finish_job(node, "bob")
    result = dict(node.backend.store.jobs.get("bob", own).result)
    result["files"] = [{**file, "name": name.format(other=other)} for file in result["files"]]
    with node.backend.store.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == own).values(result=result))
    outcome = run(node, tmp_path, "bob", own)
    assert outcome.error is not None
    assert outcome.error["code"] == "PermissionsInsufficient", outcome.error
    assert "secret" not in str(outcome)


@pytest.mark.parametrize("key", ["jobs/j-2/1/a", "jobs/j-1/2/a", "jobs/j-1/1/../../j-2/1/a", "jobs/j-1/10/a", "/etc/x"])
def test_t33_the_storage_of_a_run_has_one_prefix(tmp_path: Path, key: str) -> None:
    for place in ("jobs/j-1/1/a", "jobs/j-2/1/a", "jobs/j-1/2/a", "jobs/j-1/10/a"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"content")
    own = Scoped(open_objects(str(tmp_path)), "jobs/j-1/1/")
    assert b"".join(own.stream("jobs/j-1/1/a")) == b"content"
    with pytest.raises(OpenEOError) as failure:
        own.stream(key)
    assert failure.value.code == "PermissionsInsufficient"
