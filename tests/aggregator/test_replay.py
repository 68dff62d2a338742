"""The calls that the Aggregator makes, as it makes them: its paths, headers and bodies, and what it accepts as answers.

One test per row of its table of calls. What it does with the answers (merging, routing) is its own.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import requests
from scenes import DAYS, write_scenes
from sites import Site, open_sites

from openeo_backend.jobs.worker import Worker

#: The one value of all pixels of a date.
VALUES = (100, 200, 300)

LOAD = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None}


def saved(load: dict[str, Any], node: str = "saveresult1", process: str = "load_collection") -> dict[str, Any]:
    save = {"data": {"from_node": "load1"}, "format": "GTiff"}
    return {
        "load1": {"process_id": process, "arguments": load},
        node: {"process_id": "save_result", "arguments": save, "result": True},
    }


class Aggregator:
    """Asks a back-end like the Aggregator's connection does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.root = site.url
        self.host = site.url.split("/openeo/")[0]
        self.session = requests.Session()
        self.session.headers["User-Agent"] = "openeo-aggregator/0.50.2a1"

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """As a user whose bearer token the Aggregator passes on."""
        return self.session.request(
            method, f"{self.root}{path}", headers=self.site.headers(), timeout=200, allow_redirects=False, **more
        )

    def read(self, path: str) -> requests.Response:
        """As nobody."""
        return self.session.get(f"{self.root}{path}", timeout=200, allow_redirects=False)

    def create(self, nodes: dict[str, Any], **members: Any) -> str:
        """A job, with the members that the Aggregator always sends."""
        body = {"title": None, "description": None, "plan": None, "budget": None, "job_options": {}}
        reply = self.ask("POST", "/jobs", json={**body, **members, "process": {"process_graph": nodes}})
        assert reply.status_code == 201, reply.text
        id = reply.headers["OpenEO-Identifier"]
        assert reply.headers["Location"] == f"{self.root}/jobs/{id}"
        return id

    def run(self, nodes: dict[str, Any], **members: Any) -> str:
        id = self.create(nodes, **members)
        assert self.ask("POST", f"/jobs/{id}/results", data=b"").status_code == 202
        end = time.monotonic() + 200
        while (status := self.ask("GET", f"/jobs/{id}").json()["status"]) in ("queued", "running"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert status == "finished", self.ask("GET", f"/jobs/{id}/logs").text
        return id


@pytest.fixture(scope="module")
def aggregator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aggregator]:
    folder: Path = tmp_path_factory.mktemp("replay")
    planes = np.stack([np.full((4, 5), value, "uint16") for value in VALUES])
    catalog = write_scenes(folder / "scenes", {"B04": planes, "B08": planes + 1}, "SCENES")
    with open_sites(folder) as make:
        site = make("node", str(catalog), jobs={"poll_seconds": 0.05})
        stop = threading.Event()
        worker = Worker(
            site.backend.store, site.backend.objects, site.run, site.backend.settings, stored=site.backend.stored
        )
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        yield Aggregator(site)
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def finished(aggregator: Aggregator) -> str:
    """The id of a job that has finished."""
    return aggregator.run(saved(LOAD))


def test_it_finds_the_highest_version_that_works(aggregator: Aggregator) -> None:
    listed = requests.get(f"{aggregator.host}/.well-known/openeo", timeout=200).json()["versions"]
    production = [version for version in listed if version["production"]]
    highest = max(production, key=lambda version: [int(part) for part in version["api_version"].split(".")])
    assert highest["api_version"].startswith("1.2")
    for version in listed:
        found = requests.get(version["url"], timeout=200)
        assert found.status_code == 200
        assert found.json()["api_version"] == version["api_version"]


def test_capabilities_have_what_it_shows_and_decides_by(aggregator: Aggregator) -> None:
    found = aggregator.read("/").json()
    assert found["title"]
    assert found["description"]
    methods = {entry["path"]: entry["methods"] for entry in found["endpoints"]}
    assert "GET" in methods["/jobs"]  # else it would not list the jobs
    assert "/service_types" not in methods or aggregator.read("/service_types").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/collections", "/collections/SCENES", "/processes", "/file_formats", "/udf_runtimes", "/health"]
)
def test_discovery_is_quick(aggregator: Aggregator, path: str) -> None:
    """A back-end that takes more than 12.5 seconds counts as offline; the promise is one."""
    aggregator.read(path)  # what is made once, by the first request
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert aggregator.read(path).status_code == 200
        took.append(time.monotonic() - began)
    assert min(took) < 1.0


def test_collections_come_all_at_once(aggregator: Aggregator) -> None:
    listed = aggregator.read("/collections").json()
    assert [collection["id"] for collection in listed["collections"]] == ["SCENES"]
    assert not [link for link in listed["links"] if link["rel"] == "next"]
    assert aggregator.read("/collections/SCENES").json()["id"] == "SCENES"


def test_queryables_can_be_passed_on_with_their_headers(aggregator: Aggregator) -> None:
    reply = aggregator.session.get(
        f"{aggregator.root}/collections/SCENES/queryables",
        headers={"Accept-Encoding": "gzip, deflate, br"},
        timeout=200,
        allow_redirects=False,
    )
    assert reply.status_code == 200
    assert "Content-Encoding" not in reply.headers
    assert int(reply.headers["Content-Length"]) == len(reply.content)


def test_all_processes_have_an_id(aggregator: Aggregator) -> None:
    processes = aggregator.read("/processes").json()["processes"]
    assert len(processes) > 97
    assert all(process["id"] for process in processes)


def test_formats_and_runtimes_are_objects(aggregator: Aggregator) -> None:
    formats = aggregator.read("/file_formats").json()
    assert {"GTiff", "netCDF"} <= set(formats["output"])
    assert isinstance(formats["input"], dict)
    assert isinstance(aggregator.read("/udf_runtimes").json(), dict)


def test_health_is_under_the_root_that_it_was_given(aggregator: Aggregator) -> None:
    reply = aggregator.read("/health")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"  # exactly, or it is not parsed
    assert reply.json()["status"] == "ok"


def test_validation_takes_a_bare_graph(aggregator: Aggregator) -> None:
    found = aggregator.ask("POST", "/validation", json={"process_graph": saved(LOAD)})
    assert (found.status_code, found.json()["errors"]) == (200, [])
    wrong = aggregator.ask("POST", "/validation", json={"process_graph": saved({**LOAD, "id": "NOWHERE"})})
    assert wrong.status_code == 200
    assert [error["code"] for error in wrong.json()["errors"]] == ["CollectionNotFound"]


@pytest.mark.parametrize("options", [{}, {"job_options": {}}, {"job_options": {"memory": "2GB"}}])
def test_results_come_as_file_with_status_200(aggregator: Aggregator, options: dict[str, Any]) -> None:
    load = {**LOAD, "temporal_extent": [DAYS[0], DAYS[1]], "bands": ["B04"]}
    body = {"process": {"process_graph": saved(load)}, **options}
    reply = aggregator.ask("POST", "/result", json=body, stream=True)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("image/tiff")
    content = b"".join(reply.iter_content(10 * 1024))
    with rasterio.open(io.BytesIO(content)) as file:
        assert set(np.unique(file.read())) == {VALUES[0]}


def test_ids_of_jobs_survive_a_prefix(aggregator: Aggregator) -> None:
    """They become `{back-end}-{id}`, are split at the first dash, and put into paths as they are."""
    id = aggregator.create(saved(LOAD))
    prefix, rest = f"cdse-{id}".split("-", 1)
    assert (prefix, rest) == ("cdse", id)
    assert requests.utils.quote(id, safe="") == id
    assert aggregator.ask("GET", f"/jobs/{rest}").json()["id"] == id


def test_jobs_are_listed_with_what_it_reads(aggregator: Aggregator) -> None:
    ids = {aggregator.create(saved(LOAD)) for _ in range(3)}
    everything = aggregator.ask("GET", "/jobs")
    assert everything.status_code == 200
    assert ids <= {job["id"] for job in everything.json()["jobs"]}
    for job in everything.json()["jobs"]:
        assert job["status"] in ("created", "queued", "running", "finished", "error", "canceled")
        assert job["created"].endswith("Z")
    assert len(aggregator.ask("GET", "/jobs?limit=2").json()["jobs"]) == 2


def test_members_that_are_null_and_options_without_members_are_taken(aggregator: Aggregator) -> None:
    job = aggregator.ask("GET", f"/jobs/{aggregator.create(saved(LOAD))}").json()
    assert job["status"] == "created"
    assert "title" not in job
    assert job["process"] == {"process_graph": saved(LOAD)}


def test_options_beside_the_process_are_kept(aggregator: Aggregator) -> None:
    """Parts of split jobs have their options at the top level of the body, the Aggregator's own among them."""
    nodes = saved(LOAD, node="_agg_crossbackend_save_result")
    body = {
        "process": {"process_graph": nodes},
        "title": "Crossbackend job pj-20260101-000000:b1:load1",
        "split_strategy": {"crossbackend": {"method": "deep", "primary_backend": "cdse"}},
        "memory": "2GB",
        "_agg_force_backend": "cdse",
        "federation:force-backend": "cdse",
    }
    reply = aggregator.ask("POST", "/jobs", json=body)
    assert reply.status_code == 201
    job = aggregator.ask("GET", f"/jobs/{reply.headers['OpenEO-Identifier']}").json()
    assert job["job_options"] == {name: body[name] for name in body if name not in ("process", "title")}
    assert job["process"]["process_graph"] == nodes


def test_the_aggregators_own_options_are_not_complained_about(aggregator: Aggregator) -> None:
    options = {"split_strategy": "crossbackend", "_agg_x": 1, "federation:force-backend": "b1", "tile_grid": "utm-20km"}
    id = aggregator.run(saved(LOAD), job_options=options)
    warnings = [
        entry["message"]
        for entry in aggregator.ask("GET", f"/jobs/{id}/logs").json()["logs"]
        if entry["level"] == "warning"
    ]
    assert warnings == []
    id = aggregator.run(saved(LOAD), job_options={"no-such-option": 1})
    assert "no-such-option" in aggregator.ask("GET", f"/jobs/{id}/logs").text


def test_unfinished_jobs_have_a_link_to_their_results(aggregator: Aggregator) -> None:
    id = aggregator.create(saved(LOAD, node="_agg_crossbackend_save_result"))
    reply = aggregator.ask("GET", f"/jobs/{id}/results?partial=true")
    assert reply.status_code == 200
    (link,) = [link["href"] for link in reply.json()["links"] if link["rel"] == "canonical"]
    assert requests.get(link, timeout=200).json()["openeo:status"] == "running"
    # The link takes the place of the part of the graph that was split off.
    nodes = saved({"url": link}, process="load_stac")
    found = aggregator.ask("POST", "/validation", json={"process_graph": nodes})
    assert found.json()["errors"] == []


def test_filters_that_choose_a_back_end_filter_nothing(aggregator: Aggregator) -> None:
    """The Aggregator chooses by them and sends them on."""

    def condition(value: str) -> dict[str, Any]:
        check = {"process_id": "eq", "arguments": {"x": {"from_parameter": "value"}, "y": value}, "result": True}
        return {"process_graph": {"eq1": check}}

    properties = {"federation:backends": condition("cdse"), "provider:backend": condition("cdse")}
    load = {**LOAD, "properties": properties, "temporal_extent": [DAYS[0], DAYS[1]], "bands": ["B04"]}
    reply = aggregator.ask("POST", "/result", json={"process": {"process_graph": saved(load)}})
    assert reply.status_code == 200, reply.text
    cloudy = {**load, "properties": {**properties, "no:such": condition("cdse")}}
    assert aggregator.ask("POST", "/result", json={"process": {"process_graph": saved(cloudy)}}).status_code == 400


def test_statuses_of_what_is_done_to_jobs(aggregator: Aggregator) -> None:
    id = aggregator.create(saved(LOAD))
    assert aggregator.ask("DELETE", f"/jobs/{id}/results").status_code == 204  # 202 would be an error to it
    assert aggregator.ask("POST", f"/jobs/{id}/results", data=b"").status_code == 202
    assert aggregator.ask("DELETE", f"/jobs/{id}/results").status_code == 204
    assert aggregator.ask("DELETE", f"/jobs/{id}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/results"), ("GET", "/results"), ("GET", "/logs")):
        gone = aggregator.ask(method, f"/jobs/{id}{path}")
        assert (gone.status_code, gone.json()["code"]) == (404, "JobNotFound")


def test_results_and_the_job_itself_tell_what_it_builds_metadata_from(aggregator: Aggregator, finished: str) -> None:
    job = aggregator.ask("GET", f"/jobs/{finished}").json()
    west, south, east, north = job["bbox"]
    assert 4.3 < west < east < 4.5
    assert 51.3 < south < north < 51.5
    assert job["geometry"]["type"] == "Polygon"
    assert [job["start_datetime"][:10], job["end_datetime"][:10]] == [DAYS[0], DAYS[2]]
    assert job["epsg"] == 32631
    assert job["instruments"] == ["camera"]
    assert job["proj_shape"] == [4, 5]
    assert job["proj_bbox"] == [600_000, 5_700_000 - 80, 600_050, 5_700_000]
    results = aggregator.ask("GET", f"/jobs/{finished}/results")
    assert results.status_code == 200
    assets = results.json()["assets"]
    assert len(assets) == len(DAYS)
    for asset in assets.values():
        assert asset["type"].startswith("image/tiff")
        assert {"title", "href", "roles", "raster:bands", "eo:bands", "file:size", "proj:shape", "proj:bbox"} <= set(
            asset
        )
        assert requests.get(asset["href"], timeout=200).status_code == 200
    (link,) = [link["href"] for link in results.json()["links"] if link["rel"] == "canonical"]
    shared = requests.get(link, timeout=200).json()
    assert shared["id"] == finished
    assert shared["summaries"]["instruments"] == ["camera"]


def test_results_of_results_tell_the_instruments_too(aggregator: Aggregator, finished: str) -> None:
    results = aggregator.ask("GET", f"/jobs/{finished}/results").json()
    (link,) = [link["href"] for link in results["links"] if link["rel"] == "canonical"]
    second = aggregator.run(saved({"url": link}, process="load_stac"))
    assert aggregator.ask("GET", f"/jobs/{second}").json()["instruments"] == ["camera"]


def test_logs_have_what_it_passes_on(aggregator: Aggregator, finished: str) -> None:
    reply = aggregator.ask("GET", f"/jobs/{finished}/logs?offset=&level=debug")
    assert reply.status_code == 200
    entries = reply.json()["logs"]
    assert all({"id", "level", "message"} <= set(entry) for entry in entries)
    after = aggregator.ask("GET", f"/jobs/{finished}/logs?offset={entries[0]['id']}").json()["logs"]
    assert entries[0]["id"] not in [entry["id"] for entry in after]


def test_stored_processes(aggregator: Aggregator) -> None:
    """They live on the first back-end only; 200, 200 and 204, and the code that it translates."""
    add = {"process_id": "add", "arguments": {"x": {"from_parameter": "x"}, "y": 1}, "result": True}
    process = {"process_graph": {"add1": add}, "parameters": [{"name": "x", "description": "", "schema": {}}]}
    assert aggregator.ask("PUT", "/process_graphs/plus1", json=process).status_code == 200
    listed = aggregator.ask("GET", "/process_graphs")
    assert listed.status_code == 200
    assert "plus1" in [entry["id"] for entry in listed.json()["processes"]]
    assert aggregator.ask("GET", "/process_graphs/plus1").json()["process_graph"] == process["process_graph"]
    graph = {"plus": {"process_id": "plus1", "arguments": {"x": 4}, "result": True}}
    assert aggregator.ask("POST", "/result", json={"process": {"process_graph": graph}}).json() == 5
    assert aggregator.ask("DELETE", "/process_graphs/plus1").status_code == 204
    gone = aggregator.ask("GET", "/process_graphs/plus1")
    assert (gone.status_code, gone.json()["code"]) == (404, "ProcessGraphNotFound")
    # A graph that calls one of another back-end's stored processes arrives as it is.
    refused = aggregator.ask("POST", "/result", json={"process": {"process_graph": graph}})
    assert (refused.status_code, refused.json()["code"]) == (400, "ProcessUnsupported")
    assert "plus1" in refused.json()["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"process": {}}, "ProcessGraphMissing"),
        ({"process": {"process_graph": {"a": {"process_id": "add", "arguments": {}}, "b": 1}}}, "ProcessGraphInvalid"),
        ({"process": {"process_graph": {}}}, "ProcessGraphMissing"),
    ],
)
def test_only_two_errors_of_creating_a_job_keep_their_code(
    aggregator: Aggregator, body: dict[str, Any], code: str
) -> None:
    refused = aggregator.ask("POST", "/jobs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert set(refused.json()) >= {"id", "code", "message"}


def test_errors_are_json_that_can_be_passed_on(aggregator: Aggregator) -> None:
    wrong = saved({**LOAD, "id": "NOWHERE"})
    refused = aggregator.ask("POST", "/result", json={"process": {"process_graph": wrong}})
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.json()["code"] == "CollectionNotFound"
    nobody = aggregator.session.post(f"{aggregator.root}/result", json={}, timeout=200)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "AuthenticationRequired")
    id = aggregator.create(wrong)  # whether it can run is found out when it is started, where codes are passed on
    started = aggregator.ask("POST", f"/jobs/{id}/results", data=b"")
    assert started.json()["code"] == "CollectionNotFound"
