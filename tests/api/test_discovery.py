"""The documents that clients read first."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from openeo_backend.api.app import create_app

ROOT = "/openeo/1.2"
DOCUMENTS = [
    "/",
    "/conformance",
    "/collections",
    "/collections/FIELDS",
    "/collections/FIELDS/queryables",
    "/processes",
    "/file_formats",
    "/service_types",
    "/udf_runtimes",
    "/credentials/oidc",
    "/.well-known/openeo",
    "/health",
]


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("root", ["/openeo/1.2", "/openeo/1.3"])
def test_documents_are_public_under_both_roots(client: FlaskClient, root: str, path: str) -> None:
    response = client.get(root + path)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert client.get(f"{root}{path}/").status_code == 200
    head = client.head(root + path)
    assert head.status_code == 200
    assert head.data == b""


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_the_same_for_users(client: FlaskClient, login: Any, path: str) -> None:
    assert client.get(ROOT + path, headers=login()).data == client.get(ROOT + path).data


def test_versions_differ_in_documents(client: FlaskClient) -> None:
    assert client.get("/openeo/1.2/").json["api_version"] == "1.2.0"
    assert client.get("/openeo/1.3/").json["api_version"] == "1.3.0"
    assert "https://api.openeo.org/1.3.0" in client.get("/openeo/1.3/conformance").json["conformsTo"]


@pytest.mark.parametrize("path", ["/.well-known/openeo", "/openeo/.well-known/openeo", f"{ROOT}/.well-known/openeo"])
def test_well_known_lists_both_versions_and_prefers_1_2(client: FlaskClient, path: str) -> None:
    versions = {version["api_version"]: version for version in client.get(path).json["versions"]}
    assert versions["1.2.0"] == {
        "url": "http://localhost/openeo/1.2/",
        "api_version": "1.2.0",
        "production": True,
    }
    assert versions["1.3.0"]["production"] is False


def test_1_3_becomes_production_by_a_setting(client: FlaskClient, backend: Any) -> None:
    backend.settings.server.production_1_3 = True
    assert all(version["production"] for version in client.get("/.well-known/openeo").json["versions"])
    assert client.get("/openeo/1.3/").json["production"] is True


def test_endpoints_are_what_the_routes_are(client: FlaskClient, app: Flask) -> None:
    endpoints = {entry["path"]: entry["methods"] for entry in client.get(f"{ROOT}/").json["endpoints"]}
    assert endpoints["/collections/{collection_id}"] == ["GET"]
    assert endpoints["/result"] == ["POST"]
    assert endpoints["/credentials/basic"] == ["GET"]
    assert "/" not in endpoints
    assert "/.well-known/openeo" not in endpoints
    assert "/udf_runtimes" not in endpoints
    assert "/credentials/oidc" not in endpoints
    for path, methods in endpoints.items():
        if "{" not in path and "GET" in methods:
            assert client.get(ROOT + path).status_code in (200, 401), path


def test_basic_is_not_listed_where_it_is_not_offered(client: FlaskClient, backend: Any) -> None:
    backend.settings.auth.basic = False
    paths = [entry["path"] for entry in client.get(f"{ROOT}/").json["endpoints"]]
    assert "/credentials/basic" not in paths
    assert client.get(f"{ROOT}/credentials/basic").status_code == 501


def test_capabilities_tell_who_to_ask_and_what_is_kept(client: FlaskClient, backend: Any) -> None:
    assert not {"contact", "terms-of-service"} & {link["rel"] for link in client.get(f"{ROOT}/").json["links"]}
    server = backend.settings.server
    server.contact, server.terms_of_service = "help@example.org", "https://example.org/terms"
    server.privacy_policy = "https://example.org/privacy"
    backend.settings.jobs.results_days, backend.settings.store.signed_url_days = 100, 3
    document = client.get(f"{ROOT}/").json
    links = {link["rel"]: link["href"] for link in document["links"]}
    assert links["contact"] == "mailto:help@example.org"
    assert links["terms-of-service"] == "https://example.org/terms"
    assert links["privacy-policy"] == "https://example.org/privacy"
    assert document["retention"] == {"results_days": 100, "metadata_days": 365}
    assert document["limits"] == {"sync_seconds": 300, "signed_url_days": 3}
    server.contact = "https://example.org/help?user=@me"
    links = {link["rel"]: link["href"] for link in client.get(f"{ROOT}/").json["links"]}
    assert links["contact"] == "https://example.org/help?user=@me"


def test_billing_names_the_credits_of_the_federation(client: FlaskClient) -> None:
    billing = client.get(f"{ROOT}/").json["billing"]
    assert billing["currency"] == "credits"
    assert billing["default_plan"] in [plan["name"] for plan in billing["plans"]]


@pytest.mark.parametrize("path", ["/processes", "/collections"])
def test_limits_are_ignored_and_wrong_ones_refused(client: FlaskClient, backend: Any, path: str) -> None:
    name = path.strip("/")
    backend.processes.specs = [{**backend.processes.specs[0], "id": f"p{number}"} for number in range(120)]
    fields = backend.catalog.documents["FIELDS"]
    backend.catalog.documents = {f"C{number}": {**fields, "id": f"C{number}"} for number in range(120)}
    body = client.get(f"{ROOT}{path}?limit=50").json
    assert len(body[name]) == 120
    assert not [link for link in body["links"] if link["rel"] == "next"]
    for wrong in ("0", "-5", "many"):
        response = client.get(f"{ROOT}{path}?limit={wrong}")
        assert (response.status_code, response.json["code"]) == (400, "RequestInvalid")


def test_links_of_collections_stay_here(client: FlaskClient) -> None:
    collection = client.get(f"{ROOT}/collections/FIELDS").json
    links = {link["rel"]: link["href"] for link in collection["links"]}
    assert links["self"] == f"http://localhost{ROOT}/collections/FIELDS"
    assert links["root"] == f"http://localhost{ROOT}/"
    assert links["license"].startswith("https://creativecommons.org/")
    assert collection["cube:dimensions"]["bands"]["values"] == ["B04", "B08"]


def test_unknown_collections(client: FlaskClient) -> None:
    for path in ("/collections/NONE", "/collections/NONE/queryables"):
        response = client.get(ROOT + path)
        assert (response.status_code, response.json["code"]) == (404, "CollectionNotFound")


def test_formats_that_only_write_are_no_input(client: FlaskClient) -> None:
    formats = client.get(f"{ROOT}/file_formats").json
    assert set(formats["output"]) == {"GTiff", "JSON"}
    assert set(formats["input"]) == {"JSON"}
    assert formats["output"]["GTiff"]["parameters"]["tile_size"]["default"] == 512
    assert formats["output"]["GTiff"]["gis_data_types"] == ["raster"]


def test_large_documents_are_compressed_but_queryables_never(client: FlaskClient, backend: Any) -> None:
    backend.processes.specs = [{**backend.processes.specs[0], "id": f"p{number}"} for number in range(120)]
    accept = {"Accept-Encoding": "gzip"}
    packed, plain = client.get(f"{ROOT}/processes", headers=accept), client.get(f"{ROOT}/processes")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.data) == plain.data
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 5
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Content-Encoding" not in client.get(f"{ROOT}/processes", headers={"Accept-Encoding": "gzip;q=0"}).headers
    queryables = client.get(f"{ROOT}/collections/FIELDS/queryables", headers=accept)
    assert len(queryables.data) > 4000
    assert "Content-Encoding" not in queryables.headers
    assert queryables.mimetype == "application/schema+json"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_unchanged_documents_are_not_sent_again(client: FlaskClient, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    first = client.get(f"{ROOT}/processes", headers=headers)
    again = client.get(f"{ROOT}/processes", headers={**headers, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    other = client.get(f"{ROOT}/processes", headers={**headers, "If-None-Match": '"other"'})
    assert other.status_code == 200


def test_health_tells_when_the_store_is_gone(client: FlaskClient, backend: Any) -> None:
    from sqlalchemy.exc import OperationalError

    def gone() -> None:
        raise OperationalError("SELECT 1", None, OSError("no route to the database"))

    backend.store.ping = gone
    response = client.get(f"{ROOT}/health")
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/json"
    assert "route" not in response.text


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/", f"{ROOT}/", "/openeo/1.2"])
def test_browsers_get_a_page_and_everyone_else_json(client: FlaskClient, path: str) -> None:
    page = client.get(path, headers={"Accept": BROWSER})
    assert page.mimetype == "text/html"
    assert f'openeo.connect("http://localhost{ROOT}/")' in page.text.replace("&#34;", '"')
    assert "https://editor.openeo.org/?server=http%3A%2F%2Flocalhost%2Fopeneo%2F1.2%2F" in page.text
    assert "src=" not in page.text
    assert "FIELDS" in page.text
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9", None):
        response = client.get(path, headers={"Accept": accept} if accept else {})
        assert response.mimetype == "application/json", accept
        assert "Accept" in response.headers["Vary"].split(", ")


def test_the_page_quotes_what_operators_write(client: FlaskClient, backend: Any) -> None:
    backend.settings.server.title = "<script>alert(1)</script>"
    assert "<script>" not in client.get("/", headers={"Accept": BROWSER}).text


def test_urls_follow_loopback_and_the_setting_but_no_other_host(client: FlaskClient, backend: Any) -> None:
    def url(host: str) -> str:
        return client.get("/.well-known/openeo", headers={"Host": host}).json["versions"][0]["url"]

    assert url("127.0.0.1:9000") == "http://127.0.0.1:9000/openeo/1.2/"
    assert url("[::1]:9000") == "http://[::1]:9000/openeo/1.2/"
    assert url("evil.example") == "http://127.0.0.1:8080/openeo/1.2/"
    assert url("127.0.0.1.evil.example") == "http://127.0.0.1:8080/openeo/1.2/"
    backend.settings.server.public_url = "https://eo.example/sub/"
    assert url("127.0.0.1:9000") == "https://eo.example/sub/openeo/1.2/"


def test_headers_of_proxies_count_only_where_trusted(backend: Any) -> None:
    def url() -> str:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
        return create_app(backend).test_client().get("/.well-known/openeo", headers=headers).json["versions"][0]["url"]

    assert url() == "http://localhost/openeo/1.2/"
    backend.settings.server.trusted_proxies = 1
    assert url() == "https://localhost/openeo/1.2/"


def test_numbers_that_json_lacks_become_text(client: FlaskClient, backend: Any) -> None:
    backend.catalog.documents["FIELDS"] = {**backend.catalog.documents["FIELDS"], "nodata": float("nan")}
    text = client.get(f"{ROOT}/collections/FIELDS").text
    assert json.loads(text, parse_constant=pytest.fail)["nodata"] == "nan"
