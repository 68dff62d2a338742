"""T1, T2, T8: every route with an id, asked by another user, by nobody, and with altered links.

Seen to fail without `user_id` in the repository of jobs.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from victims import GRAPH, ROOT, finish_job

JOB = {"GET /jobs/<job_id>", "PATCH /jobs/<job_id>", "DELETE /jobs/<job_id>"}
JOB |= {f"{method} /jobs/<job_id>/results" for method in ("GET", "POST", "DELETE")}
JOB |= {"GET /jobs/<job_id>/logs", "GET /jobs/<job_id>/estimate"}

#: What belongs to a user.
OWNED = JOB | {"GET /result/logs/<request_id>"}
#: Names in a space of the user's own: another user's are not even in the way.
NAMED = {f"{method} /process_graphs/<process_graph_id>" for method in ("GET", "PUT", "DELETE")}
#: What who holds the signed link may read.
SIGNED = {
    "GET /results/<job_id>",
    "GET /results/<job_id>/<attempt>/files/<name>",
    "GET /results/<job_id>/<attempt>/items/<item_id>",
    "GET /public_processes/<name>",
}
#: The same for everybody.
PUBLIC = {
    "GET /collections/<collection_id>",
    "GET /collections/<collection_id>/queryables",
    "GET /collections/<collection_id>/items",
    "GET /collections/<collection_id>/items/<path:item_id>",
}


def routes(node: Any) -> set[str]:
    """Every route with an id, in every version of the API."""
    found = set()
    for rule in node.app.url_map.iter_rules():
        if "<" in rule.rule:
            path = re.sub(r"^/openeo/[0-9.]+", "", rule.rule)
            found |= {f"{method} {path}" for method in rule.methods - {"HEAD", "OPTIONS"}}
    return found


def place(route: str, id: str) -> tuple[str, str]:
    method, path = route.split(" ")
    return method, ROOT + re.sub("<[^>]+>", id, path)


def test_every_route_with_an_id_is_listed_here(node: Any) -> None:
    assert routes(node) == OWNED | NAMED | SIGNED | PUBLIC


@pytest.fixture
def things(node: Any) -> dict[str, str]:
    """What ada has: a finished job, a stored process, the log of a request."""
    node.backend.store.requests.add("ada", "r-ada", "info", [{"level": "info", "message": "secret of ada"}])
    assert node.ask("PUT", f"{ROOT}/process_graphs/mine", "ada", json=GRAPH).status_code == 200
    return {"job_id": finish_job(node, "ada"), "request_id": "r-ada", "process_graph_id": "mine"}


def state(node: Any, things: dict[str, str]) -> list[Any]:
    paths = [
        f"/jobs/{things['job_id']}",
        f"/jobs/{things['job_id']}/logs",
        "/process_graphs/mine",
        "/result/logs/r-ada",
    ]
    answers = [node.ask("GET", ROOT + path, "ada") for path in paths]
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.get_json() for answer in answers]


def test_another_user_finds_nothing_and_changes_nothing(node: Any, things: dict[str, str]) -> None:
    before = state(node, things)
    for route in sorted(OWNED):
        id = things["request_id" if "request_id" in route else "job_id"]
        members: dict[str, Any] = {"json": {"title": "taken"}} if route.startswith("PATCH") else {}
        own, none = (node.ask(*place(route, asked), "bob", **members) for asked in (id, "unknown"))
        assert own.status_code == none.status_code == 404, route
        assert own.get_json()["code"] == none.get_json()["code"]
        assert node.ask(*place(route, id), **members).status_code == 401, route
    for route in ("GET", "DELETE", "PUT"):
        members = {"json": GRAPH} if route == "PUT" else {}
        assert node.ask(route, f"{ROOT}/process_graphs/mine", **members).status_code == 401
    assert node.ask("GET", f"{ROOT}/process_graphs/mine", "bob").status_code == 404
    assert node.ask("DELETE", f"{ROOT}/process_graphs/mine", "bob").status_code == 404
    other = {**GRAPH, "summary": "of bob"}
    assert node.ask("PUT", f"{ROOT}/process_graphs/mine", "bob", json=other).status_code == 200
    assert state(node, things) == before


@pytest.mark.parametrize(
    "id", ["x' OR '1'='1", "x' OR '1'='1' -- ", "' OR 1=1 /*", "%", "_", "x'; DROP TABLE jobs; --", '"', "\\"]
)
def test_t32_ids_are_no_sql(node: Any, things: dict[str, str], id: str) -> None:
    """Nor other texts that end up in queries."""
    before = state(node, things)
    for route in sorted(JOB | NAMED | {"GET /result/logs/<request_id>"}):
        method, path = route.split(" ")
        if method not in ("PUT", "POST"):
            members: dict[str, Any] = {"json": {"title": "taken"}} if method == "PATCH" else {}
            address = ROOT + re.sub("<[^>]+>", quote(id, safe=""), path)
            assert node.ask(method, address, "ada", **members).status_code == 404, route
    for name in ("limit", "offset", "level", "cursor", "page"):
        for path in ("/jobs", f"/jobs/{things['job_id']}/logs", "/process_graphs"):
            answer = node.ask("GET", f"{ROOT}{path}?{urlencode({name: id})}", "ada")
            assert answer.status_code in (200, 400), (path, name)
    assert node.ask("POST", f"{ROOT}/jobs", "ada", json={"process": GRAPH, "title": id}).status_code == 201
    assert state(node, things) == before


def test_lists_hold_nothing_of_others(node: Any, things: dict[str, str]) -> None:
    for path, thing in (("/jobs", things["job_id"]), ("/process_graphs", '"mine"')):
        assert thing in node.ask("GET", ROOT + path, "ada").text
        assert thing not in node.ask("GET", ROOT + path, "bob").text


def test_signed_links_open_for_all_and_altered_ones_for_nobody(node: Any, things: dict[str, str]) -> None:
    document = node.ask("GET", f"{ROOT}/jobs/{things['job_id']}/results", "ada").get_json()
    other = finish_job(node, "bob")
    links = [asset["href"] for asset in document["assets"].values()]
    links += [link["href"] for link in document["links"] if link["rel"] in ("canonical", "item")]
    assert len(links) == 3
    for link in links:
        parts = urlsplit(link)
        assert node.ask("GET", link).status_code == 200
        query = dict(parse_qsl(parts.query))
        for name, value in query.items():
            for changed in ({**query, name: value[:-1] + ("0" if value[-1] != "0" else "1")}, {**query, name: ""}):
                assert node.ask("GET", f"{parts.path}?{urlencode(changed)}").status_code == 403, name
            without = {key: entry for key, entry in query.items() if key != name}
            assert node.ask("GET", f"{parts.path}?{urlencode(without)}", "ada").status_code == 403, name
        moved = parts.path.replace(things["job_id"], other)
        assert node.ask("GET", f"{moved}?{parts.query}").status_code == 403
    for route in sorted(SIGNED - {"GET /public_processes/<name>"}):
        assert node.ask(*place(route, things["job_id"]), "ada").status_code == 403


def test_private_processes_have_no_public_link(node: Any, things: dict[str, str]) -> None:
    for name in ("mine", "ada.mine", "ada:mine"):
        assert node.ask("GET", f"{ROOT}/public_processes/{name}", "bob").status_code in (403, 404)
        assert node.ask("GET", f"{ROOT}/public_processes/{name}").status_code in (403, 404)


def test_files_are_never_shown_by_a_browser(node: Any, things: dict[str, str]) -> None:
    """T29."""
    document = node.ask("GET", f"{ROOT}/jobs/{things['job_id']}/results", "ada").get_json()
    (asset,) = document["assets"].values()
    for headers in ({}, {"Range": "bytes=0-3"}):
        answer = node.app.test_client().get(asset["href"], headers=headers)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
