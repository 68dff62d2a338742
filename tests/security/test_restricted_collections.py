"""Collections for some users only, over HTTP: every way that leads to one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from scenes import write_scenes
from sites import Site, open_sites
from sqlalchemy import update

from openeo_backend.jobs.worker import Worker
from openeo_backend.store.schema import users

EXTENTS = {"spatial_extent": None, "temporal_extent": None}
LOAD = {"process_id": "load_collection", "arguments": {"id": "SECRET", **EXTENTS}}
SAVE = {"process_id": "save_result", "arguments": {"data": {"from_node": "load"}, "format": "GTiff"}, "result": True}
GRAPH = {"load": LOAD, "save": SAVE}

PATHS = ["", "/queryables", "/items", "/items/2023-04-02"]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Sites with an open and a restricted collection; ada has the role, bob has not."""
    folder = tmp_path_factory.mktemp("restricted")
    values = {"B04": np.full((3, 5, 6), 7, "uint16")}
    links = []
    for id in ("OPEN", "SECRET"):
        write_scenes(folder / id, values, id)
        links.append({"rel": "child", "href": f"./{id}/collection.json"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "all", "description": "All.", "links": links}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    with open_sites(folder) as open_site:

        def made(name: str, **collection: Any) -> Site:
            restricted = {"roles": ["eo"], "terms": "https://terms.example.org/", **collection}
            sections = {"sources": [str(folder / "catalog.json")], "collections": {"SECRET": restricted}}
            site = open_site(name, catalog=sections)
            with site.backend.store.database.write() as connection:
                connection.execute(update(users).where(users.c.id == "ada").values(roles=["eo"]))
            return site

        yield made


@pytest.fixture(scope="module")
def site(make: Callable[..., Site]) -> Site:
    return make("told")


@pytest.fixture(scope="module")
def hidden(make: Callable[..., Site]) -> Site:
    return make("hidden", hidden=True)


def ask(site: Site, path: str, user: str | None = None, **members: Any) -> requests.Response:
    method = "POST" if "json" in members else "GET"
    headers = {**(site.headers(user) if user else {}), **members.pop("headers", {})}
    return requests.request(method, f"{site.url}{path}", headers=headers, timeout=60, **members)


def process(graph: Any) -> dict[str, Any]:
    return {"process": {"process_graph": graph}}


def without_ids(response: requests.Response, id: str) -> str:
    """What an error says, without what differs from request to request."""
    body = response.json()
    body.pop("id")
    return json.dumps(body).replace(id, "ID")


@pytest.mark.parametrize("user", [None, "bob"])
def test_lists_are_for_those_who_may(site: Site, user: str | None) -> None:
    def listed(who: str | None) -> list[str]:
        return [collection["id"] for collection in ask(site, "/collections", who).json()["collections"]]

    assert listed(user) == ["OPEN"]
    assert listed("ada") == ["OPEN", "SECRET"]
    page = requests.get(f"{site.url}/", headers={"Accept": "text/html"}, timeout=30).text
    assert "OPEN" in page
    assert "SECRET" not in page


@pytest.mark.parametrize("user", [None, "bob"])
@pytest.mark.parametrize("path", PATHS)
def test_documents_are_not_there_for_others(site: Site, path: str, user: str | None) -> None:
    refused = ask(site, f"/collections/SECRET{path}", user)
    absent = ask(site, f"/collections/NOTHING{path}", user)
    assert (refused.status_code, absent.status_code) == (404, 404)
    assert without_ids(refused, "SECRET") == without_ids(absent, "NOTHING")
    assert ask(site, f"/collections/SECRET{path}", "ada").status_code == 200


def test_terms_are_linked(site: Site) -> None:
    links = ask(site, "/collections/SECRET", "ada").json()["links"]
    assert [link["href"] for link in links if link["rel"] == "license"] == ["https://terms.example.org/"]


@pytest.mark.parametrize("path", ["/collections", "/collections/OPEN", "/collections/OPEN/queryables"])
def test_caches_keep_apart_what_users_see(site: Site, path: str) -> None:
    own, public = ask(site, path, "ada"), ask(site, path)
    for response in (own, public):
        assert "authorization" in response.headers["Vary"].lower()
    assert own.headers["Cache-Control"] == "private, no-cache"
    assert public.headers["Cache-Control"].startswith("public")


def test_a_stranger_with_the_etag_of_a_user_gets_their_own_list(site: Site) -> None:
    etag = ask(site, "/collections", "ada").headers["ETag"]
    response = ask(site, "/collections", headers={"If-None-Match": etag})
    assert response.status_code == 200
    assert "SECRET" not in response.text


def test_wrong_credentials_are_refused_where_they_count(site: Site) -> None:
    response = ask(site, "/collections", headers={"Authorization": "Bearer basic//nonsense"})
    assert (response.status_code, response.json()["code"]) == (403, "TokenInvalid")


def test_validation_tells_users_the_role_and_strangers_nothing(site: Site, hidden: Site) -> None:
    def told(where: Site, user: str | None, id: str = "SECRET") -> list[tuple[str, str]]:
        graph = {**GRAPH, "load": {**LOAD, "arguments": {"id": id, **EXTENTS}}}
        errors = ask(where, "/validation", user, json={"process_graph": graph}).json()["errors"]
        return [(error["code"], error["message"].replace(id, "ID")) for error in errors]

    assert told(site, "ada") == []
    assert told(site, None) == told(site, None, "NOTHING")
    (problem,) = told(site, "bob")
    assert problem[0] == "PermissionsInsufficient"
    assert "'eo'" in problem[1]
    assert told(hidden, "bob") == told(hidden, "bob", "NOTHING")


NAMED = {"concat": {"process_id": "text_concat", "arguments": {"data": ["SEC", "RET"]}}}
COMPUTED = {**NAMED, **GRAPH, "load": {**LOAD, "arguments": {"id": {"from_node": "concat"}, **EXTENTS}}}


@pytest.mark.parametrize("graph", [GRAPH, COMPUTED], ids=["named", "computed"])
def test_synchronous_requests_need_the_role(site: Site, graph: dict[str, Any]) -> None:
    refused = ask(site, "/result", "bob", json=process(graph))
    assert (refused.status_code, refused.json()["code"]) == (403, "PermissionsInsufficient")
    assert "'eo'" in refused.json()["message"]
    done = ask(site, "/result", "ada", json=process(graph))
    assert (done.status_code, done.headers["Content-Type"].split(";")[0]) == (200, "application/x-tar")


def test_a_computed_name_of_a_hidden_collection_tells_nothing(hidden: Site) -> None:
    refused = ask(hidden, "/result", "bob", json=process(COMPUTED))
    assert refused.json()["code"] == "CollectionNotFound"


def test_stored_processes_load_with_the_roles_of_who_calls_them(site: Site) -> None:
    parameter = {"name": "what", "description": "Id.", "schema": {"type": "string"}}
    inner = {"load": {**LOAD, "arguments": {"id": {"from_parameter": "what"}, **EXTENTS}, "result": True}}
    stored = {"process_graph": inner, "parameters": [parameter], "returns": {"schema": {}}, "public": True}
    call = {"process_id": "loads", "arguments": {"what": "SECRET"}}
    for user in ("ada", "bob"):
        made = requests.put(f"{site.url}/process_graphs/loads", json=stored, headers=site.headers(user), timeout=30)
        assert made.status_code == 200
        errors = ask(site, "/validation", user, json={"process_graph": {**GRAPH, "load": call}}).json()["errors"]
        assert [error["code"] for error in errors] == ([] if user == "ada" else ["PermissionsInsufficient"])
    listed = requests.get(f"{site.url}/process_graphs/loads", headers=site.headers("ada"), timeout=30).json()
    shared = next(link["href"] for link in listed["links"] if link["rel"] == "canonical")
    graph = {**GRAPH, "load": {**call, "namespace": shared}}
    refused = ask(site, "/result", "bob", json=process(graph))
    assert refused.json()["code"] == "PermissionsInsufficient"


def make_job(site: Site, user: str, graph: Any = GRAPH) -> str:
    made = ask(site, "/jobs", user, json=process(graph))
    assert made.status_code == 201
    return made.headers["OpenEO-Identifier"]


def work(site: Site) -> None:
    assert Worker(site.backend.store, site.backend.objects, site.run, site.backend.settings).run_once()


def test_jobs_and_estimates_need_the_role(site: Site) -> None:
    job = make_job(site, "bob")
    for response in (ask(site, f"/jobs/{job}/results", "bob", json={}), ask(site, f"/jobs/{job}/estimate", "bob")):
        assert (response.status_code, response.json()["code"]) == (403, "PermissionsInsufficient")
    assert ask(site, f"/jobs/{make_job(site, 'ada')}/estimate", "ada").status_code == 200


def test_a_name_that_a_job_computes_needs_the_role(site: Site) -> None:
    job = make_job(site, "bob", COMPUTED)
    assert ask(site, f"/jobs/{job}/results", "bob", json={}).status_code == 202
    work(site)
    logs = ask(site, f"/jobs/{job}/logs", "bob").json()["logs"]
    assert "PermissionsInsufficient" in {entry.get("code") for entry in logs}
    assert ask(site, f"/jobs/{job}", "bob").json()["status"] == "error"


def test_the_roles_at_the_start_of_a_job_hold_for_its_run(site: Site) -> None:
    job = make_job(site, "ada")
    assert ask(site, f"/jobs/{job}/results", "ada", json={}).status_code == 202
    with site.backend.store.database.write() as connection:
        connection.execute(update(users).where(users.c.id == "ada").values(roles=[]))
    try:
        work(site)
        assert ask(site, f"/jobs/{job}", "ada").json()["status"] == "finished"
        again = ask(site, f"/jobs/{job}/results", "ada", json={})
        assert again.json()["code"] == "PermissionsInsufficient"
    finally:
        with site.backend.store.database.write() as connection:
            connection.execute(update(users).where(users.c.id == "ada").values(roles=["eo"]))


@pytest.mark.parametrize("path", PATHS[:1] + PATHS[2:])
def test_our_own_addresses_load_nothing_restricted(site: Site, path: str) -> None:
    load = {"process_id": "load_stac", "arguments": {"url": f"{site.url}/collections/SECRET{path}"}}
    job = make_job(site, "bob", {**GRAPH, "load": load})
    assert ask(site, f"/jobs/{job}/results", "bob", json={}).status_code == 202
    work(site)
    assert ask(site, f"/jobs/{job}", "bob").json()["status"] == "error"
    told = [entry["message"] for entry in ask(site, f"/jobs/{job}/logs", "bob").json()["logs"]]
    assert any("404" in message for message in told), told


def test_files_of_this_machine_are_not_told(site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    items = ask(site, "/collections/SECRET/items", "ada").json()
    assert len(items["features"]) == 3
    assert all(item["assets"] == {} for item in items["features"])
    assert str(Path(tmp_path_factory.getbasetemp())) not in json.dumps(items)
