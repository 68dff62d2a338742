"""Starting, stopping, logs, results and signed downloads of jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from openeo.rest.job import ResultAsset

from openeo_backend.run.request import Event, Outcome

CONTENT = bytes(range(256)) * 40
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def code(response: Any, status: int) -> str:
    assert response.status_code == status, response.get_data(as_text=True)
    return str(response.get_json()["code"])


def status(api: Any, id: str) -> str:
    return str(api("GET", f"/jobs/{id}").get_json()["status"])


def links(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


@pytest.fixture
def finished(ada: Any, backend: Any) -> str:
    id = ada.start(title="NDVI")
    backend.work()
    return str(id)


def failing(*_: Any) -> Outcome:
    path = [{"node_id": "load", "process_id": "load_collection"}]
    return Outcome(error={"code": "NoDataAvailable", "message": "There are no data in May.", "path": path})


def test_a_job_goes_through_its_states(ada: Any, backend: Any) -> None:
    id = ada.create()
    for _ in range(2):
        response = ada("POST", f"/jobs/{id}/results")
        assert response.status_code == 202
        assert status(ada, id) == "queued"
    (entry,) = ada("GET", f"/jobs/{id}/logs").get_json()["logs"]
    assert entry["data"] == {"ahead": 0, "running": 0, "may": 2, "told": 1}
    backend.work()
    job = ada("GET", f"/jobs/{id}").get_json()
    assert (job["status"], job["progress"]) == ("finished", 100)
    assert {"queued", "started", "finished", "unpublished", "usage"} <= job.keys()
    assert job["bbox"] == [4.0, 50.0, 4.1, 50.1]
    assert (job["start_datetime"], job["epsg"]) == ("2024-05-01T00:00:00Z", 32631)
    assert links(job, "result") == [f"http://localhost/openeo/1.2/jobs/{id}/results"]
    ada("POST", f"/jobs/{id}/results")
    assert status(ada, id) == "queued"


def test_starting_again_while_running_does_nothing(ada: Any, backend: Any) -> None:
    id = ada.start()

    def meanwhile(*arguments: Any) -> Any:
        assert ada("POST", f"/jobs/{id}/results").status_code == 202
        assert status(ada, id) == "running"
        return backend.runner(*arguments)

    backend.work(meanwhile)
    assert status(ada, id) == "finished"


def test_stopping(ada: Any, backend: Any) -> None:
    id = ada.create()
    assert ada("DELETE", f"/jobs/{id}/results").status_code == 204
    assert status(ada, id) == "created"
    ada("POST", f"/jobs/{id}/results")
    assert ada("DELETE", f"/jobs/{id}/results").status_code == 204
    assert status(ada, id) == "created"
    ada("POST", f"/jobs/{id}/results")

    def stopped(*arguments: Any) -> Any:
        response = ada("DELETE", f"/jobs/{id}/results")
        assert (response.status_code, response.get_data()) == (204, b"")
        return backend.runner(*arguments)

    backend.work(stopped)
    assert status(ada, id) == "canceled"
    assert code(ada("GET", f"/jobs/{id}/results"), 400) == "JobNotFinished"
    ada("POST", f"/jobs/{id}/results")
    backend.work()
    assert status(ada, id) == "finished"


def test_stopping_keeps_what_was_published(ada: Any, finished: str) -> None:
    assert ada("DELETE", f"/jobs/{finished}/results").status_code == 204
    assert ada("GET", f"/jobs/{finished}/results").status_code == 200
    ada("POST", f"/jobs/{finished}/results")
    ada("DELETE", f"/jobs/{finished}/results")
    document = ada("GET", f"/jobs/{finished}/results?partial=true").get_json()
    assert list(document["assets"]) == ["ndvi.tif"]


def test_logs_come_from_an_offset_on_and_by_level(ada: Any, backend: Any) -> None:
    id = ada.create(log_level="debug")
    ada("POST", f"/jobs/{id}/results")

    def talking(request: Any, hear: Any, is_cancelled: Any) -> Outcome:
        for level in ("debug", "info", "warning"):
            hear(Event("log", {"level": level, "message": level, "path": [{"node_id": "load"}]}))
        return failing()

    backend.work(talking)
    body = ada("GET", f"/jobs/{id}/logs?offset=").get_json()
    assert body["level"] == "debug"
    assert body["links"] == []
    entries = body["logs"]
    said = [entry["message"] for entry in entries]
    assert said[1:] == ["The job started.", "debug", "info", "warning", "There are no data in May."]
    ids = [entry["id"] for entry in entries]
    assert all(isinstance(id, str) for id in ids)
    assert ids == sorted(set(ids))
    for level, count in (("info", 5), ("warning", 2), ("error", 1)):
        body = ada("GET", f"/jobs/{id}/logs?level={level}").get_json()
        assert (body["level"], len(body["logs"])) == (level, count)
    newer = ada("GET", f"/jobs/{id}/logs?offset={ids[2]}").get_json()["logs"]
    assert [entry["id"] for entry in newer] == ids[3:]
    assert ada("GET", f"/jobs/{id}/logs?offset={ids[-1]}").get_json()["logs"] == []
    seen, path = [], f"/jobs/{id}/logs?limit=4&level=info"
    while path:
        page = ada("GET", path).get_json()
        seen += [entry["message"] for entry in page["logs"]]
        path = (links(page, "next") or [""])[0]
    assert seen == [message for message in said if message != "debug"]
    assert code(ada("GET", f"/jobs/{id}/logs?level=loud"), 400) == "RequestInvalid"
    assert ada("GET", f"/jobs/{id}/logs?level=").status_code == 200


def test_the_level_of_the_log_is_that_of_the_job_if_it_is_higher(ada: Any) -> None:
    id = ada.create(log_level="warning")
    assert ada("GET", f"/jobs/{id}/logs?level=info").get_json()["level"] == "warning"
    assert ada("GET", f"/jobs/{id}/logs?level=error").get_json()["level"] == "error"


def test_results_of_a_failed_job_are_its_error(ada: Any, backend: Any) -> None:
    id = ada.start()
    backend.work(failing)
    response = ada("GET", f"/jobs/{id}/results")
    assert response.status_code == 424
    entry = response.get_json()
    assert (entry["level"], entry["code"]) == ("error", "NoDataAvailable")
    assert entry["message"] == "There are no data in May."
    assert entry["path"] == [{"node_id": "load", "process_id": "load_collection"}]
    assert entry == {**ada("GET", f"/jobs/{id}/logs?level=error").get_json()["logs"][-1], "links": []}
    partial = ada("GET", f"/jobs/{id}/results?partial=true").get_json()
    assert partial["openeo:status"] == "error"


@pytest.mark.parametrize("value", ["true", "", "True", "1"])
def test_unfinished_jobs_have_partial_results_only(ada: Any, anyone: Any, backend: Any, value: str) -> None:
    id = ada.create()
    assert code(ada("GET", f"/jobs/{id}/results"), 400) == "JobNotFinished"
    assert code(ada("GET", f"/jobs/{id}/results?partial=false"), 400) == "JobNotFinished"
    document = ada("GET", f"/jobs/{id}/results?partial={value}").get_json()
    assert (document["type"], document["openeo:status"], document["assets"]) == ("Collection", "running", {})
    (canonical,) = links(document, "canonical")
    assert anyone("GET", canonical).get_json()["openeo:status"] == "running"
    ada("POST", f"/jobs/{id}/results")
    backend.work()
    later = anyone("GET", canonical).get_json()
    assert later["openeo:status"] == "finished"
    assert list(later["assets"]) == ["ndvi.tif"]


def test_partial_takes_true_or_false(ada: Any, finished: str) -> None:
    assert code(ada("GET", f"/jobs/{finished}/results?partial=perhaps"), 400) == "RequestInvalid"


def test_results_are_a_collection_with_signed_links(ada: Any, anyone: Any, finished: str) -> None:
    response = ada("GET", f"/jobs/{finished}/results")
    assert response.headers["OpenEO-Costs"] == "0"
    document = response.get_json()
    assert (document["type"], document["stac_version"], document["id"]) == ("Collection", "1.0.0", finished)
    assert list(document["assets"]) == ["ndvi.tif"]  # a sole asset, since clients download "the" result
    assert document["assets"]["ndvi.tif"]["type"] == COG
    assert links(document, "self") == [f"http://localhost/openeo/1.2/jobs/{finished}/results"]
    assert links(document, "derived_from") == ["https://stac.example/a"]
    public = anyone("GET", links(document, "canonical")[0]).get_json()
    assert public["assets"] == document["assets"]
    assert links(public, "self") == links(public, "canonical") == links(document, "canonical")
    assert public["expires"] == document["expires"]
    (item_url,) = links(document, "item")
    item = anyone("GET", item_url)
    assert item.content_type == "application/geo+json"
    assert list(item.get_json()["assets"].values()) == list(document["assets"].values())
    assert links(item.get_json(), "collection") == links(document, "canonical")
    (preview,) = links(document, "preview")
    assert anyone("GET", preview).get_data() == b"png"


def test_geojson_is_there_for_those_who_ask(ada: Any, finished: str) -> None:
    response = ada("GET", f"/jobs/{finished}/results", headers={"Accept": "application/geo+json"})
    assert response.content_type == "application/geo+json"
    assert response.get_json()["type"] == "Feature"
    assert response.get_json()["assets"].keys() == {"ndvi.tif"}
    plain = ada("GET", f"/jobs/{finished}/results", headers={"Accept": "*/*"})
    assert plain.get_json()["type"] == "Collection"


def asset(api: Any, id: str) -> str:
    return str(api("GET", f"/jobs/{id}/results").get_json()["assets"]["ndvi.tif"]["href"])


def test_a_download_needs_no_login(ada: Any, anyone: Any, finished: str) -> None:
    response = anyone("GET", asset(ada, finished))
    assert response.status_code == 200
    assert response.get_data() == CONTENT
    headers = response.headers
    assert headers["Content-Type"] == COG
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Disposition"] == "attachment; filename=ndvi.tif"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    assert asset(ada, finished).split("?")[0].endswith("/ndvi.tif")


def test_head_says_what_get_would(ada: Any, anyone: Any, finished: str) -> None:
    get, head = (anyone(method, asset(ada, finished)) for method in ("GET", "HEAD"))
    assert head.status_code == 200
    assert head.get_data() == b""
    for name in ("Content-Length", "Content-Type", "Accept-Ranges", "ETag"):
        assert head.headers[name] == get.headers[name]


SIZE = len(CONTENT)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=0-65536", 0, SIZE),
        ("bytes=100-", 100, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        (f"bytes=-{SIZE + 5}", 0, SIZE),
        (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE),
    ],
)
def test_a_range_is_sent_alone(ada: Any, anyone: Any, finished: str, asked: str, start: int, end: int) -> None:
    for method in ("GET", "HEAD"):
        response = anyone(method, asset(ada, finished), headers={"Range": asked})
        assert response.status_code == 206
        assert response.get_data() == (CONTENT[start:end] if method == "GET" else b"")
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
        assert response.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(ada: Any, anyone: Any, finished: str, asked: str) -> None:
    response = anyone("GET", asset(ada, finished), headers={"Range": asked})
    assert code(response, 416) == "RequestInvalid"
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=x-", "bytes=" + "9" * 5000 + "-"]
)
def test_ranges_that_make_no_sense_get_the_whole(ada: Any, anyone: Any, finished: str, asked: str) -> None:
    response = anyone("GET", asset(ada, finished), headers={"Range": asked})
    assert response.status_code == 200
    assert response.get_data() == CONTENT


def test_a_range_of_another_version_gets_the_whole(ada: Any, anyone: Any, finished: str) -> None:
    etag = anyone("HEAD", asset(ada, finished)).headers["ETag"]
    for condition, expected in ((etag, 206), ('"other"', 200)):
        response = anyone("GET", asset(ada, finished), headers={"Range": "bytes=0-9", "If-Range": condition})
        assert response.status_code == expected


def test_altered_links_open_nothing(ada: Any, anyone: Any, finished: str) -> None:
    document = ada("GET", f"/jobs/{finished}/results").get_json()
    for url in (asset(ada, finished), links(document, "canonical")[0], links(document, "item")[0]):
        path, query = url.split("?")
        members = dict(member.split("=") for member in query.split("&"))
        assert anyone("GET", url).status_code == 200
        for name, value in members.items():
            altered = members | {name: value[:-1] + ("0" if value[-1] != "0" else "1")}
            bad = f"{path}?{'&'.join('='.join(pair) for pair in altered.items())}"
            assert code(anyone("GET", bad), 403) == "PermissionsInsufficient"
        assert code(anyone("GET", path), 403) == "PermissionsInsufficient"
        assert code(anyone("GET", f"{url.replace(finished, 'j-other')}"), 403) == "PermissionsInsufficient"
    other = asset(ada, finished).replace("ndvi.tif", "ndvi.png")
    assert code(anyone("GET", other), 403) == "PermissionsInsufficient"
    item_as_file = links(document, "item")[0].replace("/items/", "/files/")
    assert code(anyone("GET", item_as_file), 403) == "PermissionsInsufficient"


def test_links_work_for_seven_days(ada: Any, anyone: Any, backend: Any, finished: str) -> None:
    document = ada("GET", f"/jobs/{finished}/results").get_json()
    signed = (document["assets"]["ndvi.tif"]["href"], links(document, "canonical")[0], links(document, "item")[0])
    backend.clock[0] = timedelta(days=6, hours=23)
    later = anyone("GET", signed[1]).get_json()
    assert [anyone("GET", url).status_code for url in signed] == [200, 200, 200]
    backend.clock[0] = timedelta(days=7, hours=1)
    for url in signed:
        assert code(anyone("GET", url), 410) == "ResultLinkExpired"
    # Who has a link must not be able to renew it.
    assert code(anyone("GET", later["assets"]["ndvi.tif"]["href"]), 410) == "ResultLinkExpired"
    assert anyone("GET", asset(ada, finished)).status_code == 200


def test_links_end_with_their_results(ada: Any, anyone: Any, backend: Any, finished: str) -> None:
    old = asset(ada, finished)
    ada("POST", f"/jobs/{finished}/results")
    backend.work()
    assert code(anyone("GET", old), 410) == "ResultLinkExpired"
    new = asset(ada, finished)
    assert anyone("GET", new).status_code == 200
    ada("DELETE", f"/jobs/{finished}")
    assert code(anyone("GET", new), 410) == "ResultLinkExpired"


def test_a_file_that_is_lost_is_told_before_anything_is_sent(
    ada: Any, anyone: Any, backend: Any, finished: str
) -> None:
    url = asset(ada, finished)
    backend.objects.delete(f"jobs/{finished}/")
    assert code(anyone("GET", url), 404) == "FileNotFound"


def test_expired_results_say_so(ada: Any, backend: Any, finished: str) -> None:
    with backend.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET result = NULL, result_attempt = NULL")
    assert code(ada("GET", f"/jobs/{finished}/results"), 410) == "ResultLinkExpired"


def test_names_are_what_the_python_client_keeps_as_file_names(ada: Any, finished: str) -> None:
    for key, entry in ada("GET", f"/jobs/{finished}/results").get_json()["assets"].items():
        made = ResultAsset(job=None, key=key, href=entry["href"], metadata=entry)  # type: ignore[arg-type]
        assert made._make_filename() == key
