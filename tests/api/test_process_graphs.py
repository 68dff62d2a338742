"""Stored processes: kept, listed, called, shared by link, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openeo
import pytest
from flask.testing import FlaskClient

from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.run.engine import Engine
from openeo_backend.run.remote import RemoteProcesses
from openeo_backend.settings import NetSettings, Settings

PATH = "/openeo/1.2/process_graphs"
Login = Callable[..., dict[str, str]]


def increment(by: int = 1) -> dict[str, Any]:
    call = {"process_id": "add", "arguments": {"x": {"from_parameter": "x"}, "y": by}, "result": True}
    parameters = [{"name": "x", "description": "A number.", "schema": {"type": "number"}}]
    return {"summary": f"Adds {by}", "description": None, "parameters": parameters, "process_graph": {"sum": call}}


def test_store_list_describe_replace_delete(client: FlaskClient, login: Login) -> None:
    ada = login("ada")
    assert client.put(f"{PATH}/increment", json={**increment(), "id": "other"}, headers=ada).status_code == 200
    (listed,) = client.get(PATH, headers=ada).json["processes"]
    assert (listed["id"], listed["summary"]) == ("increment", "Adds 1")
    assert "process_graph" not in listed
    assert None not in listed.values()
    full = client.get(f"{PATH}/increment", headers=ada).json
    assert (full["id"], full["process_graph"]) == ("increment", increment()["process_graph"])
    replacement = {"process_graph": increment(5)["process_graph"]}
    assert client.put(f"{PATH}/increment", json=replacement, headers=ada).status_code == 200
    replaced = client.get(f"{PATH}/increment", headers=ada).json
    assert "summary" not in replaced
    assert replaced["process_graph"] == replacement["process_graph"]
    assert client.delete(f"{PATH}/increment", headers=ada).status_code == 204
    gone = client.get(f"{PATH}/increment", headers=ada)
    assert (gone.status_code, gone.json["code"]) == (404, "ProcessGraphNotFound")
    assert client.delete(f"{PATH}/increment", headers=ada).status_code == 404


def test_nobody_else_sees_them(client: FlaskClient, login: Login) -> None:
    client.put(f"{PATH}/mine", json=increment(), headers=login("ada"))
    bob = login("bob")
    assert client.get(PATH, headers=bob).json["processes"] == []
    assert client.get(f"{PATH}/mine", headers=bob).status_code == 404
    assert client.delete(f"{PATH}/mine", headers=bob).status_code == 404
    assert client.get(f"{PATH}/mine", headers=login("ada")).status_code == 200


@pytest.mark.parametrize(
    ("id", "body", "code"),
    [
        ("add", increment(), "PredefinedProcessExists"),
        ("no.good", increment(), "ProcessInvalid"),
        ("a" * 256, increment(), "ProcessInvalid"),
        ("empty", {}, "ProcessGraphMissing"),
        (
            "cycle",
            {"process_graph": {"a": {"process_id": "x", "arguments": {"y": {"from_node": "a"}}}}},
            "ProcessGraphInvalid",
        ),
    ],
)
def test_what_cannot_be_stored(client: FlaskClient, login: Login, id: str, body: dict[str, Any], code: str) -> None:
    response = client.put(f"{PATH}/{id}", json=body, headers=login("ada"))
    assert (response.status_code, response.json["code"]) == (400, code)


def test_a_graph_with_missing_arguments_can_be_stored(client: FlaskClient, login: Login) -> None:
    graph = {"process_graph": {"a": {"process_id": "ndvi", "arguments": {}, "result": True}}}
    assert client.put(f"{PATH}/draft", json=graph, headers=login("ada")).status_code == 200


def test_public_ones_have_a_link_that_everybody_may_read(client: FlaskClient, login: Login) -> None:
    ada = login("ada")
    client.put(f"{PATH}/shared", json={**increment(), "public": True}, headers=ada)
    (link,) = client.get(f"{PATH}/shared", headers=ada).json["links"]
    assert link["rel"] == "canonical"
    path = "/" + link["href"].split("/", 3)[3]
    assert client.get(path).json["process_graph"] == increment()["process_graph"]
    client.put(f"{PATH}/shared", json={**increment(2), "public": True}, headers=ada)
    assert client.get(path).json["process_graph"] == increment(2)["process_graph"]
    client.put(f"{PATH}/shared", json=increment(), headers=ada)
    assert client.get(path).status_code == 404


def test_graphs_call_them_with_and_without_a_namespace() -> None:
    engine = Engine.open(Settings())
    stored = {"increment": increment()}
    for namespace in (None, "user"):
        call = {"process_id": "increment", "namespace": namespace, "arguments": {"x": 1}, "result": True}
        plan, problems = engine.plan({"process_graph": {"a": call}}, stored=stored)
        assert problems == []
        assert plan is not None
        assert [node.process for node in plan.graph] == ["add"]
    for namespace, code in (("backend", "ProcessUnsupported"), ("nowhere", "ProcessNamespaceInvalid")):
        call = {"process_id": "increment", "namespace": namespace, "arguments": {"x": 1}, "result": True}
        assert engine.plan({"process_graph": {"a": call}}, stored=stored)[1][0].code == code


def test_the_official_client_stores_and_shares_a_process(live: str) -> None:
    connection = openeo.connect(f"{live}/openeo/1.2").authenticate_basic("ada", "lovelace")
    process = increment()
    connection.save_user_defined_process(
        "increment", process["process_graph"], parameters=process["parameters"], public=True
    )
    assert [entry["id"] for entry in connection.list_user_defined_processes()] == ["increment"]
    described = connection.user_defined_process("increment").describe()
    (url,) = [link["href"] for link in described["links"] if link["rel"] == "canonical"]

    remote = RemoteProcesses(Door(NetSettings(), (live,)))
    assert remote(url, "increment")["process_graph"] == process["process_graph"]
    with pytest.raises(OpenEOError, match="does not define a process 'other'"):
        remote(url, "other")
    with pytest.raises(OpenEOError, match="not a public address"):
        RemoteProcesses(Door(NetSettings()))(url, "increment")
    connection.user_defined_process("increment").delete()
    assert connection.list_user_defined_processes() == []
