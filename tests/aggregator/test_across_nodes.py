"""Jobs that load results of jobs on another node, as the Aggregator splits them: two servers, one worker each."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import requests
from live_server import serving
from scenes import DAYS, write_scenes

#: Stored values of the one pixel value that each node's collection has, by date.
VALUES = {"NORTH": (100, 200, 300), "SOUTH": (4000, 5000, 6000)}

pytestmark = pytest.mark.timeout(900)

#: Most seconds for anything to happen, on a busy machine.
PATIENCE = 240


@dataclass(frozen=True)
class Node:
    """A server, with the calls that the Aggregator makes (its paths, bodies and expected statuses)."""

    root: str
    collection: str
    session: requests.Session

    def call(self, method: str, path: str, status: int, **more: Any) -> requests.Response:
        reply = self.session.request(method, f"{self.root}{path}", timeout=30, **more)
        assert reply.status_code == status, reply.text
        return reply

    def create(self, nodes: dict[str, Any], **options: Any) -> str:
        body = {"process": {"process_graph": nodes}, "title": f"Crossbackend job pj-1:b1:{self.collection}", **options}
        return self.call("POST", "/jobs", 201, json=body).headers["OpenEO-Identifier"]

    def secondary(self) -> tuple[str, str]:
        """The job that makes what another node needs: its id and the link to its results, which are not there yet."""
        load = {"id": self.collection, "spatial_extent": None, "temporal_extent": None}
        save = {"data": {"from_node": "load1"}, "format": "GTiff"}
        nodes = {
            "load1": {"process_id": "load_collection", "arguments": load},
            "_agg_crossbackend_save_result": {"process_id": "save_result", "arguments": save, "result": True},
        }
        id = self.create(nodes, split_strategy="crossbackend")
        document = self.call("GET", f"/jobs/{id}/results?partial=true", 200).json()
        return id, next(link["href"] for link in document["links"] if link["rel"] == "canonical")

    def primary(self, link: str) -> str:
        """The job that adds the results behind a link to the collection of this node."""
        load = {"id": self.collection, "spatial_extent": None, "temporal_extent": None}
        add = {"x": {"from_parameter": "x"}, "y": {"from_parameter": "y"}}
        merge = {
            "cube1": {"from_node": "here"},
            "cube2": {"from_node": "there"},
            "overlap_resolver": {
                "process_graph": {"add": {"process_id": "add", "arguments": add, "result": True}},
            },
        }
        nodes = {
            "here": {"process_id": "load_collection", "arguments": load},
            "there": {"process_id": "load_stac", "arguments": {"url": link}},
            "merge": {"process_id": "merge_cubes", "arguments": merge},
            "save": {
                "process_id": "save_result",
                "arguments": {"data": {"from_node": "merge"}, "format": "GTiff"},
                "result": True,
            },
        }
        return self.create(nodes, split_strategy="crossbackend")

    def start(self, id: str) -> None:
        self.call("POST", f"/jobs/{id}/results", 202, data=b"")

    def status(self, id: str) -> str:
        return self.call("GET", f"/jobs/{id}", 200).json()["status"]

    def messages(self, id: str) -> list[str]:
        return [entry["message"] for entry in self.call("GET", f"/jobs/{id}/logs", 200).json()["logs"]]

    def await_message(self, id: str, part: str) -> None:
        end = time.monotonic() + PATIENCE
        while not any(part in message for message in self.messages(id)):
            assert time.monotonic() < end, self.messages(id)
            time.sleep(0.1)

    def await_end(self, *ids: str) -> list[str]:
        end = time.monotonic() + PATIENCE
        while any((found := [self.status(id) for id in ids])[i] in ("queued", "running") for i in range(len(ids))):
            assert time.monotonic() < end, {id: self.messages(id) for id in ids}
            time.sleep(0.1)
        return found

    def values(self, id: str) -> list[float]:
        """The one value of each of the result's files, in the order of time."""
        assets = self.call("GET", f"/jobs/{id}/results", 200).json()["assets"]
        found = []
        for name in sorted(assets):
            with rasterio.open(io.BytesIO(requests.get(assets[name]["href"], timeout=30).content)) as file:
                (value,) = np.unique(file.read())
                found.append(float(value))
        return found


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    folder: Path = tmp_path_factory.mktemp("nodes")
    found = []
    settings = {"NET__ALLOW": '["127.0.0.1"]', "JOBS__WAIT_POLL_SECONDS": "0.3", "JOBS__WAIT_SECONDS": "900"}
    catalogs = {}
    for name, values in VALUES.items():
        planes = np.stack([np.full((4, 5), value, "uint16") for value in values])
        catalogs[name] = write_scenes(folder / name, {"B04": planes}, name)
    with (
        serving(folder / "a", catalogs["NORTH"], "ada", "pw", settings=settings) as north,
        serving(folder / "b", catalogs["SOUTH"], "ada", "pw", settings=settings) as south,
    ):
        for server, name in ((north, "NORTH"), (south, "SOUTH")):
            session = requests.Session()
            token = session.get(f"{server.root}/credentials/basic", auth=("ada", "pw"), timeout=30).json()
            session.headers["Authorization"] = f"Bearer basic//{token['access_token']}"
            found.append(Node(server.root, name, session))
        yield found[0], found[1]
        for node in found:
            node.session.close()


def test_results_go_both_ways_between_nodes_with_one_worker_each(nodes: tuple[Node, Node]) -> None:
    """The jobs that wait are started first on both: if one held its worker, nothing would ever end."""
    north, south = nodes
    from_north, from_south = north.secondary(), south.secondary()
    on_south, on_north = south.primary(from_north[1]), north.primary(from_south[1])
    south.start(on_south)
    north.start(on_north)
    for node, id in ((south, on_south), (north, on_north)):
        node.await_message(id, "The job waits for the results of")
        assert node.status(id) == "queued"
    north.start(from_north[0])
    south.start(from_south[0])
    assert north.await_end(from_north[0], on_north) == ["finished", "finished"]
    assert south.await_end(from_south[0], on_south) == ["finished", "finished"]
    expected = [float(a + b) for a, b in zip(*VALUES.values(), strict=True)]
    assert len(expected) == len(DAYS)
    assert north.values(on_north) == expected
    assert south.values(on_south) == expected


def test_results_of_unfinished_jobs_have_a_link_that_tells_their_state(nodes: tuple[Node, Node]) -> None:
    north, south = nodes
    blocker, link = north.secondary()
    waiting = north.primary(south.secondary()[1])

    def state(id: str) -> tuple[str, list[str]]:
        document = north.call("GET", f"/jobs/{id}/results?partial=true", 200).json()
        (link,) = [link["href"] for link in document["links"] if link["rel"] == "canonical"]
        public = requests.get(link, timeout=30)  # without the token of anybody
        assert public.status_code == 200
        assert public.json()["openeo:status"] == document["openeo:status"]
        assert "results?" not in link.split("/jobs/")[0]
        return document["openeo:status"], list(document["assets"])

    assert state(blocker) == ("running", [])  # created
    assert requests.get(link, timeout=30).json()["assets"] == {}
    north.start(waiting)
    north.await_message(waiting, "The job waits for the results of")
    assert state(waiting) == ("running", [])  # queued
    north.call("GET", f"/jobs/{waiting}/results", 400)  # without partial=true there is nothing to show yet
    north.start(blocker)
    assert north.await_end(blocker) == ["finished"]
    status, assets = state(blocker)
    assert (status, len(assets)) == ("finished", len(DAYS))
    assert requests.get(link, timeout=30).json()["openeo:status"] == "finished"  # the link of before still leads there
    north.call("DELETE", f"/jobs/{waiting}/results", 204)
    assert north.status(waiting) == "created"


def test_a_job_fails_with_the_one_on_the_other_node(nodes: tuple[Node, Node]) -> None:
    north, south = nodes
    load = {"id": "SOUTH", "spatial_extent": None, "temporal_extent": ["2001-01-01", "2001-02-01"]}
    id = south.create({"load1": {"process_id": "load_collection", "arguments": load, "result": True}})
    document = south.call("GET", f"/jobs/{id}/results?partial=true", 200).json()
    waiting = north.primary(next(link["href"] for link in document["links"] if link["rel"] == "canonical"))
    north.start(waiting)
    north.await_message(waiting, "The job waits for the results of")
    south.start(id)
    assert north.await_end(waiting) == ["error"]
    assert "its state is 'error'" in north.messages(waiting)[-1]


def test_a_job_fails_when_the_one_on_the_other_node_is_deleted(nodes: tuple[Node, Node]) -> None:
    north, south = nodes
    id, link = south.secondary()
    waiting = north.primary(link)
    north.start(waiting)
    north.await_message(waiting, "The job waits for the results of")
    south.call("DELETE", f"/jobs/{id}", 204)
    assert north.await_end(waiting) == ["error"]
    assert "HTTP status 410" in north.messages(waiting)[-1]
