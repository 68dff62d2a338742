"""`/process_graphs`: the processes that users store and call in other processes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from openeo_backend.api.access import backend, current_user, public, unlisted
from openeo_backend.api.body import json_body
from openeo_backend.api.definition import ID
from openeo_backend.api.errors import combine
from openeo_backend.api.submission import check_process
from openeo_backend.api.urls import url
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.parse import read
from openeo_backend.store.processes import StoredProcess

blueprint = Blueprint("process_graphs", __name__)

#: What the list tells of a process; null members are left out.
LISTED = ("summary", "description", "categories", "parameters", "returns", "deprecated", "experimental")


@blueprint.get("/process_graphs")
def list_processes() -> Response:
    """All of the user's processes, without their graphs."""
    stored = backend().store.processes.list(current_user().id)
    return jsonify({"processes": [_short(process) for process in stored], "links": []})


@blueprint.put("/process_graphs/<process_graph_id>")
def store_process(process_graph_id: str) -> Response:
    """Store a process under the id of the path, in the place of one of the same id.

    Its graph must be well-formed; whether it can run is found out where it is used.
    """
    if not ID.fullmatch(process_graph_id):
        raise OpenEOError(
            "ProcessInvalid",
            f"'{process_graph_id[:80]}' cannot be the id of a process.",
            hint="Use 1 to 255 letters, digits, underscores and dashes.",
        )
    if process_graph_id in backend().processes:
        raise OpenEOError(
            "PredefinedProcessExists", f"There is a predefined process '{process_graph_id}'.", hint="Choose another id."
        )
    body = json_body()
    check_process(body)
    limits = backend().settings.limits
    _, problems = read(body["process_graph"], max_nodes=limits.graph_nodes, max_depth=limits.graph_depth)
    if problems:
        raise combine(problems)
    wants_public = body.pop("public", False) is True
    most = backend().settings.quotas.processes
    backend().store.processes.put(current_user().id, process_graph_id, body, public=wants_public, most=most)
    return Response(status=200)


@blueprint.get("/process_graphs/<process_graph_id>")
def describe_process(process_graph_id: str) -> Response:
    """A process with its graph."""
    return jsonify(_full(backend().store.processes.get(current_user().id, process_graph_id)))


@blueprint.delete("/process_graphs/<process_graph_id>")
def delete_process(process_graph_id: str) -> Response:
    """Remove a process."""
    backend().store.processes.delete(current_user().id, process_graph_id)
    return Response(status=204)


@blueprint.get("/public_processes/<name>")
@public
@unlisted
def public_process(name: str) -> Response:
    """A process that its owner made public, for use as a namespace."""
    return jsonify(_full(backend().store.processes.published(name)))


def _short(stored: StoredProcess) -> dict[str, Any]:
    told = {name: stored.process[name] for name in LISTED if stored.process.get(name) is not None}
    return {"id": stored.id, **told, "links": _links(stored)}


def _full(stored: StoredProcess) -> dict[str, Any]:
    given = {name: value for name, value in stored.process.items() if value is not None and name != "links"}
    return {**given, "id": stored.id, "public": stored.public is not None, "links": _links(stored)}


def _links(stored: StoredProcess) -> list[dict[str, str]]:
    if stored.public is None:
        return []
    href = url(f"/public_processes/{stored.public}")
    title = f"Public URL of the process {stored.id}"
    return [{"rel": "canonical", "href": href, "type": "application/json", "title": title}]
