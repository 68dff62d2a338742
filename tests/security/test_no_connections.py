"""T18-T20, T30: URLs of users lead to no private address, wherever they are given; failures tell nothing.

Seen to fail with a policy that takes every address for public.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from victims import ROOT

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.hrefs import Gate
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import CatalogSettings, NetSettings

HOSTILE = (
    "http://127.0.0.1:8080/a",
    "http://localhost/a",
    "http://169.254.169.254/latest/meta-data/iam",
    "http://[::ffff:127.0.0.1]/a",
    "http://[fd00::1]/a",
    "http://2130706433/a",
    "https://10.0.0.1/a",
    "https://rebound.example/a",
    "file:///etc/passwd",
    "/etc/passwd",
    "/vsicurl/http://127.0.0.1/a",
    "s3://bucket/a",
)

#: A call of every process that takes a URL; of a process without a URL in its specification, nothing is here.
CALLS: dict[str, dict[str, Any]] = {
    "load_stac": {"url": "URL"},
    "load_url": {"url": "URL", "format": "GeoJSON"},
    "load_result": {"id": "URL"},
    "run_ogcapi_externally": {"id": "p", "data": 1, "url": "URL"},
    "run_udf_externally": {"data": [1], "url": "URL"},
}


def run(node: Any, folder: Path, process: str, arguments: dict[str, Any], namespace: str | None = None) -> Any:
    call = {"process_id": process, "arguments": arguments, "result": True}
    call |= {"namespace": namespace} if namespace else {}
    request = RunRequest("r", {"process_graph": {"a": call}}, folder, user="ada")
    return execute(request, node.backend.engine, lambda event: None)


def test_every_process_with_a_url_is_called_here(node: Any) -> None:
    found = {
        spec["id"]
        for spec in node.backend.processes.listed()
        if '"uri"' in json.dumps(spec["parameters"])
        and not spec["id"].startswith(("export_", "stac_"))
        and "data" not in [p["name"] for p in spec["parameters"] if '"uri"' in json.dumps(p)]
    }
    assert found <= set(CALLS)
    assert set(CALLS) <= {spec["id"] for spec in node.backend.processes.listed()}


@pytest.mark.parametrize("process", CALLS)
def test_processes_connect_to_no_private_address(
    node: Any, tmp_path: Path, connections: list[object], process: str
) -> None:
    for url in HOSTILE:
        arguments = {name: url if value == "URL" else value for name, value in CALLS[process].items()}
        outcome = run(node, tmp_path, process, arguments)
        assert outcome.error is not None, url
        assert outcome.error["code"] != "Internal", (url, outcome.error)
        assert "root:" not in json.dumps(outcome.error)
    assert not connections


@pytest.mark.parametrize("path", ["/validation", "/result", "/jobs"])
def test_namespaces_connect_to_no_private_address(node: Any, connections: list[object], path: str) -> None:
    for url in HOSTILE:
        graph = {"a": {"process_id": "p", "namespace": url, "arguments": {}, "result": True}}
        answer = node.ask("POST", ROOT + path, "ada", json={"process": {"process_graph": graph}})
        assert answer.status_code < 500, (url, answer.text)
    assert not connections


def test_assets_are_admitted_at_public_addresses_only(connections: list[object], tmp_path: Path) -> None:
    gate = Gate(None, Door(NetSettings()).check)
    for url in HOSTILE:
        for for_gdal in (True, False):
            with pytest.raises(OpenEOError):
                gate.admit(url, for_gdal)
    assert not connections


class Fixed:
    """A door behind which lies one STAC document, and the policy of a real one."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document, self.real = document, Door(NetSettings())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def json(self, url: str) -> Any:
        return self.document if url == "https://stac.example/item.json" else self.real.json(url)


@pytest.mark.parametrize("url", HOSTILE)
def test_stac_documents_lead_to_no_private_address(
    node: Any, tmp_path: Path, connections: list[object], url: str
) -> None:
    ring = [[4, 50], [5, 50], [5, 51], [4, 51], [4, 50]]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "i",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [4, 50, 5, 51],
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "links": [{"rel": "collection", "href": url}],
        "assets": {"B1": {"href": url, "roles": ["data"], "type": "image/tiff", "eo:bands": [{"name": "B1"}]}},
    }
    collection = {"type": "Collection", "id": "c", "links": [{"rel": rel, "href": url} for rel in ("item", "child")]}
    page = {"type": "FeatureCollection", "features": [item], "links": [{"rel": "next", "href": url}]}
    api = {"type": "Collection", "id": "c", "links": [{"rel": rel, "href": url} for rel in ("items", "root")]}
    for document in (item, collection, page, api):
        door: Any = Fixed(document)
        object.__setattr__(node.backend.engine, "catalog", Catalog((), CatalogSettings(), door))
        outcome = run(node, tmp_path, "load_stac", {"url": "https://stac.example/item.json"})
        assert outcome.error is not None
        assert outcome.error["code"] != "Internal", outcome.error
    assert not connections


def test_an_unexpected_failure_of_any_route_tells_a_code_and_an_id_only(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T30."""

    def broken(*args: Any, **members: Any) -> Any:
        raise RuntimeError("secret detail")

    rules = [rule for rule in node.app.url_map.iter_rules() if rule.rule.startswith("/openeo/1.2/")]
    for rule in rules:
        view = node.app.view_functions[rule.endpoint]
        monkeypatch.setitem(node.app.view_functions, rule.endpoint, broken)
        broken.is_public = getattr(view, "is_public", False)  # type: ignore[attr-defined]
        path = rule.rule.replace("<", "").replace(">", "")
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            answer = node.ask(method, path, "ada", json={})
            assert answer.status_code == 500, (method, path)
            assert set(answer.get_json()) == {"id", "code", "message", "links"}
            assert answer.get_json()["code"] == "Internal"
            assert "secret" not in answer.text
            assert "Traceback" not in answer.text
    assert len(rules) > 30
