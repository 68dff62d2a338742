"""Random graphs: no failure of the server's own, no hang, and validation and execution of one mind."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from explore import explore
from limited import Stopped, limited
from random_graphs import Maker

from openeo_backend.errors import OpenEOError
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest

#: What validation must have found: none of these may come from running a graph that it let pass. Others may depend
#: on data and on values that only other nodes tell, ProcessParameterInvalid and ProcessParameterMissing (of
#: `vector_to_raster`, which takes one of two optional cubes) among them.
FORM = {
    "ProcessGraphMissing",
    "ProcessGraphInvalid",
    "ProcessUnsupported",
    "ProcessNamespaceInvalid",
    "ProcessParameterRequired",
    "ProcessParameterUnsupported",
    "CollectionNotFound",
    "Internal",
}

#: Seconds of the processor for looking at a graph.
LOOKING = 1.0


@pytest.fixture(scope="module")
def maker(node: Any) -> Maker:
    catalog = node.backend.catalog
    bands = {
        id: catalog.collection(id)["cube:dimensions"].get("bands", {}).get("values") or ["B04"] for id in catalog.ids()
    }
    return Maker(node.backend.processes.listed(), bands)


def test_graphs_in_this_process(node: Any, maker: Maker, tmp_path: Path) -> None:
    backend = node.backend

    def check(process: dict[str, Any]) -> None:
        started = time.process_time()
        problems = backend.validate(process, None, backend.settings.limits.sync_samples)
        assert time.process_time() - started < LOOKING
        assert all(type(problem) is OpenEOError and problem.status < 500 for problem in problems)
        json.dumps([problem.json() for problem in problems]).encode()
        folder = tmp_path / "run"
        folder.mkdir()
        request = RunRequest(
            id="r", process=process, folder=folder, limit_samples=backend.settings.limits.sync_samples, threads=1
        )
        try:
            with limited():
                outcome = execute(request, backend.engine, lambda event: None)
        except Stopped:
            return
        finally:
            shutil.rmtree(folder)
        code = outcome.error["code"] if outcome.error else None
        if problems:
            assert code in {problem.code for problem in problems}, f"{code} {problems} {json.dumps(process)}"
        else:
            assert code not in FORM or _names_what_a_node_says(process, code), f"{outcome.error} {json.dumps(process)}"

    explore(check, maker.graphs(), examples=40, share=3)


def _names_what_a_node_says(process: dict[str, Any], code: str) -> bool:
    """Whether a collection is not found whose id only running tells."""
    nodes = process["process_graph"].values()
    ids = [node["arguments"].get("id") for node in nodes if node.get("process_id") == "load_collection"]
    return code == "CollectionNotFound" and any(not isinstance(id, str) for id in ids)


def test_graphs_over_http(node: Any, maker: Maker) -> None:
    def check(process: dict[str, Any]) -> None:
        validation = node.ask("POST", "/validation", json=process)
        if validation.status_code == 400:
            assert validation.json["code"] == "RequestInvalid"  # no text, or too deep: no request to answer
            return
        assert validation.status_code == 200, validation.text
        problems = validation.json["errors"]
        with limited():
            try:
                result = node.ask("POST", "/result", json={"process": process})
            except Stopped:
                result = None
        created = node.ask("POST", "/jobs", json={"process": process})
        started = None
        if created.status_code == 201:
            id = created.headers["OpenEO-Identifier"]
            started = node.ask("POST", f"/jobs/{id}/results")
            node.ask("DELETE", f"/jobs/{id}")
        answers = [answer for answer in (result, created, started) if answer is not None]
        for answer in answers:
            is_sound = answer.status_code < 500 or answer.json["code"] == "OutOfMemory"
            assert is_sound, f"{answer.text} {json.dumps(process)}"
        if problems:
            assert result is None or result.status_code >= 400, result.text
            assert started is None or started.status_code >= 400, problems
        else:
            assert started is not None, created.text
            assert started.status_code == 202, started.text
            assert result is None or result.status_code == 200 or result.json["code"] not in FORM, result.text

    explore(check, maker.graphs(4), examples=12)
