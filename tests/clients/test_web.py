"""What browsers, the Web Editor, R and QGIS rely on, asked for as they ask."""

from __future__ import annotations

import concurrent.futures
import re
import time
from typing import Any

import openeo
import pytest
import requests

ORIGIN = {"Origin": "https://editor.openeo.org"}
EXPOSED = {
    "location",
    "openeo-identifier",
    "openeo-costs",
    "link",
    "content-range",
    "accept-ranges",
    "content-length",
    "content-disposition",
}


def assert_readable(response: requests.Response) -> None:
    """A page of another origin may read it, and the headers that clients need."""
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip().lower() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= EXPOSED


def ended(web: requests.Session, url: str, authorization: dict[str, str]) -> dict[str, Any]:
    """The document of a job once it has ended."""
    for _ in range(300):
        document: dict[str, Any] = web.get(url, headers=authorization, timeout=10).json()
        if document["status"] in ("finished", "error", "canceled"):
            return document
        time.sleep(0.1)
    raise AssertionError(f"still {document['status']}")


@pytest.fixture(scope="module")
def results(
    server: Any, connection: openeo.Connection, extent: dict[str, Any], web: requests.Session
) -> dict[str, Any]:
    """The results document of a job, made as the Web Editor makes it."""
    headers = {"Authorization": f"Bearer {connection.auth.bearer}", **ORIGIN}
    cube = connection.load_collection("SENTINEL2_L2A", extent, ["2025-05-01", "2025-07-01"], ["B04", "B08"])
    graph = cube.ndvi(nir="B08", red="B04").max_time().save_result("GTiff").flat_graph()
    body = {"title": "From the editor", "description": None, "plan": None, "budget": None, "log_level": "info"}
    created = web.post(
        f"{server.root}/jobs", json={**body, "process": {"process_graph": graph}}, headers=headers, timeout=10
    )
    assert created.status_code == 201
    assert_readable(created)
    job = created.headers["Location"]
    assert job == f"{server.root}/jobs/{created.headers['OpenEO-Identifier']}"
    assert web.post(f"{job}/results", headers=headers, timeout=10).status_code == 202
    assert ended(web, job, headers)["status"] == "finished"
    document: dict[str, Any] = web.get(f"{job}/results", headers=headers, timeout=10).json()
    return document


@pytest.mark.parametrize(
    "path", ["/", "/collections", "/me", "/jobs", "/result", "/jobs/j-1/results", "/no/such/thing"]
)
def test_preflights_pass_without_a_login(server: Any, web: requests.Session, path: str) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = web.options(server.root + path, headers=asked, timeout=10)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"authorization", "content-type", "range"} <= set(
        re.split(r",\s*", answer.headers["Access-Control-Allow-Headers"].lower())
    )
    assert {"PATCH", "DELETE", "PUT"} <= set(re.split(r",\s*", answer.headers["Access-Control-Allow-Methods"]))
    assert int(answer.headers["Access-Control-Max-Age"]) >= 600


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openeo/1.2/no/such/thing", 404),
        ("GET", "/elsewhere", 404),
        ("PUT", "/openeo/1.2/collections", 405),
        ("GET", "/openeo/1.2/jobs", 401),
        ("GET", "/openeo/1.2/collections/NONE", 404),
        ("GET", "/openeo/0.4/", 404),
        ("POST", "/openeo/1.2/result", 401),
        ("POST", "/openeo/1.2/validation", 400),
    ],
)
def test_every_error_is_openeo_json(server: Any, web: requests.Session, method: str, path: str, status: int) -> None:
    answer = web.request(method, server.url + path, headers={"Accept": "text/html,*/*", **ORIGIN}, timeout=10)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert_readable(answer)
    assert {"id", "code", "message", "links"} <= set(answer.json())


def test_a_body_too_large_is_refused_readably(server: Any, web: requests.Session, authorization: Any) -> None:
    body = b" " * 40_000_000
    headers = {"Content-Type": "application/json", **authorization, **ORIGIN}
    answer = web.post(f"{server.root}/validation", data=body, headers=headers, timeout=30)
    assert answer.status_code == 413
    assert_readable(answer)
    assert answer.json()["code"]


def test_lists_come_whole_whatever_the_limit(server: Any, web: requests.Session) -> None:
    whole = web.get(f"{server.root}/processes", timeout=10).json()
    page = web.get(f"{server.root}/processes?limit=50", timeout=10).json()
    assert len(whole["processes"]) > 100
    assert [process["id"] for process in page["processes"]] == [process["id"] for process in whole["processes"]]
    assert not [link for link in page["links"] if link["rel"] == "next"]
    assert len(web.get(f"{server.root}/collections?limit=1", timeout=10).json()["collections"]) == 4


def test_nothing_redirects(server: Any, web: requests.Session, authorization: dict[str, str]) -> None:
    for path in ("", "/", "/collections/", "/processes/", "/jobs/", "//jobs"):
        answer = web.get(server.root + path, headers=authorization, allow_redirects=False, timeout=10)
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["", "/openeo", "/openeo/1.2"])
def test_versions_are_found_under_each_root(server: Any, web: requests.Session, path: str) -> None:
    versions = web.get(f"{server.url}{path}/.well-known/openeo", timeout=10).json()["versions"]
    (production,) = (version for version in versions if version["production"])
    assert (production["api_version"], production["url"]) == ("1.2.0", f"{server.root}/")


def test_a_browser_gets_a_page_and_programs_json(server: Any, web: requests.Session) -> None:
    for url in (server.url, f"{server.root}/"):
        page = web.get(url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, timeout=10)
        assert page.headers["Content-Type"].startswith("text/html")
        assert f'openeo.connect("{server.root}/")' in page.text
        assert "Accept" in page.headers["Vary"]
        assert "application/json" in web.get(url, timeout=10).headers["Content-Type"]


def test_the_editor_runs_a_graph_at_once(
    server: Any, web: requests.Session, authorization: dict[str, str], ndvi: openeo.DataCube
) -> None:
    junk = {"isTrusted": True, "plan": None, "budget": None, "title": None, "description": None, "log_level": "info"}
    body = {**junk, "process": {"process_graph": ndvi.flat_graph()}}
    answer = web.post(f"{server.root}/result", json=body, headers={**authorization, **ORIGIN}, timeout=60)
    assert answer.status_code == 200
    assert_readable(answer)
    assert answer.headers["Content-Type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    first = answer.headers["Link"].split(",")[0]
    monitor = re.fullmatch(r'<(.+)>; rel="monitor"', first.strip())
    assert monitor is not None
    log = web.get(monitor[1], headers=authorization, timeout=10).json()["logs"]
    assert any("on the grid EPSG:32632" in entry["message"] for entry in log)


def test_files_are_read_in_pieces_without_a_login(results: dict[str, Any], web: requests.Session) -> None:
    (asset,) = results["assets"].values()
    first = web.get(asset["href"], headers={"Range": "bytes=0-65536", **ORIGIN}, timeout=10)
    assert first.status_code == 206
    assert_readable(first)
    assert first.headers["Accept-Ranges"] == "bytes"
    assert first.headers["Content-Range"].startswith("bytes 0-")
    assert first.headers["Content-Type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert "Content-Encoding" not in first.headers
    head = web.head(asset["href"], headers={"Accept-Encoding": "gzip", **ORIGIN}, timeout=10)
    assert int(head.headers["Content-Length"]) == asset["file:size"]
    forged = web.get(asset["href"][:-1] + ("0" if asset["href"][-1] != "0" else "1"), headers=ORIGIN, timeout=10)
    assert forged.status_code in (401, 403, 404)
    assert_readable(forged)
    assert forged.json()["code"]


def test_gdal_opens_a_result_over_the_web(results: dict[str, Any], expected_ndvi: Any) -> None:
    import numpy as np
    import rasterio

    (asset,) = results["assets"].values()
    with rasterio.open(f"/vsicurl/{asset['href']}") as file:
        np.testing.assert_allclose(file.read(1), expected_ndvi, rtol=1e-6)
        tags = file.tags(1)
    assert float(tags["STATISTICS_MINIMUM"]) == pytest.approx(float(np.nanmin(expected_ndvi)))
    statistics = asset["bands"][0]["statistics"]
    assert statistics["maximum"] == pytest.approx(float(np.nanmax(expected_ndvi)))
    assert asset["bands"][0]["nodata"] == "nan"


def test_results_are_shared_by_their_canonical_link(results: dict[str, Any], web: requests.Session) -> None:
    (canonical,) = (link["href"] for link in results["links"] if link["rel"] == "canonical")
    shared = web.get(canonical, headers=ORIGIN, timeout=10)
    assert_readable(shared)
    document = shared.json()
    assert (document["title"], document["openeo:status"]) == ("From the editor", "finished")
    assert document["expires"] > "2026"
    assert document["processing:expression"]["format"] == "openeo"
    assert "load_collection" in str(document["processing:expression"]["expression"])
    (asset,) = document["assets"].values()
    assert web.head(asset["href"], timeout=10).status_code == 200


def test_logs_are_followed_by_offset(
    server: Any, results: dict[str, Any], web: requests.Session, authorization: dict[str, str]
) -> None:
    logs = f"{server.root}/jobs/{results['id']}/logs"
    entries = web.get(f"{logs}?offset=", headers=authorization, timeout=10).json()["logs"]
    ids = [entry["id"] for entry in entries]
    assert len(ids) >= 3
    assert ids == sorted(set(ids))
    later = web.get(f"{logs}?offset={ids[0]}", headers=authorization, timeout=10).json()["logs"]
    assert [entry["id"] for entry in later] == ids[1:]
    assert web.get(f"{logs}?offset={ids[-1]}", headers=authorization, timeout=10).json()["logs"] == []


def test_job_lists_are_paged_without_a_page_too_many(
    server: Any, connection: openeo.Connection, web: requests.Session, authorization: dict[str, str]
) -> None:
    made = {connection.datacube_from_process("add", x=1, y=n).create_job(title=f"{n}").job_id for n in range(3)}
    url, found, pages = f"{server.root}/jobs?limit=2", [], 0
    while url:
        page = web.get(url, headers=authorization, timeout=10).json()
        assert 0 < len(page["jobs"]) <= 2
        found += [job["id"] for job in page["jobs"]]
        url, pages = next((link["href"] for link in page["links"] if link["rel"] == "next"), ""), pages + 1
    assert len(found) == len(set(found))
    assert made <= set(found)
    assert pages == (len(found) + 1) // 2
    for id in made:
        assert web.delete(f"{server.root}/jobs/{id}", headers=authorization, timeout=10).status_code == 204


def test_many_at_once_are_told_to_come_back(server: Any, authorization: dict[str, str], ndvi: openeo.DataCube) -> None:
    body = {"process": {"process_graph": ndvi.flat_graph()}}

    def compute(_: int) -> requests.Response:
        return requests.post(f"{server.root}/result", json=body, headers=authorization, timeout=60)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(compute, number) for number in range(12)]
        durations = []
        for _ in range(5):
            started = time.monotonic()
            assert requests.get(f"{server.root}/", timeout=10).status_code == 200
            durations.append(time.monotonic() - started)
        answers = [future.result() for future in waiting]
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "TooManyRequests"
            assert int(answer.headers["Retry-After"]) > 0
    assert sorted(durations)[2] < 1
