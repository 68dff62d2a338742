"""The official Python client against a live server."""

from __future__ import annotations

from typing import Any

import openeo
import pystac_client
import pytest
from openeo.rest import OpenEoApiError

from openeo_backend.run.request import Outcome


@pytest.fixture
def connection(live: str) -> openeo.Connection:
    return openeo.connect(live)


def test_it_finds_the_production_version(connection: openeo.Connection, live: str) -> None:
    assert connection.root_url == f"{live}/openeo/1.2/"
    assert connection.capabilities().api_version() == "1.2.0"
    assert connection.capabilities().supports_endpoint("/result", "POST")


@pytest.mark.parametrize("path", ["/openeo", "/openeo/1.2", "/openeo/1.2/"])
def test_it_connects_by_any_address(live: str, path: str) -> None:
    assert openeo.connect(live + path).root_url == f"{live}/openeo/1.2/"


def test_it_reads_collections_processes_and_formats(connection: openeo.Connection) -> None:
    assert connection.list_collection_ids() == ["FIELDS"]
    assert connection.describe_collection("FIELDS")["cube:dimensions"]["bands"]["values"] == ["B04", "B08"]
    assert [process["id"] for process in connection.list_processes()] == ["add"]
    assert "GTiff" in connection.list_file_formats()["output"]
    cube = connection.load_collection("FIELDS", bands=["B08"])
    assert cube.metadata.band_names == ["B08"]


def test_it_logs_in_validates_and_computes(connection: openeo.Connection) -> None:
    with pytest.raises(OpenEoApiError) as refused:
        connection.execute(connection.datacube_from_process("add", x=3, y=5))
    assert refused.value.code == "AuthenticationRequired"
    connection.authenticate_basic("ada", "lovelace")
    assert connection.describe_account()["user_id"] == "ada"
    assert connection.validate_process_graph({"a": {"process_id": "add", "arguments": {}}}) == []
    assert connection.execute(connection.datacube_from_process("add", x=3, y=5)) == 8


def test_it_tells_errors_with_their_reference(connection: openeo.Connection) -> None:
    connection.authenticate_basic("ada", "lovelace")
    with pytest.raises(OpenEoApiError, match=r"\[400\] ProcessUnsupported: Node 'spin1' \(spin\).*\(ref: r-") as told:
        connection.execute(connection.datacube_from_process("spin"), validate=False)
    assert told.value.http_status_code == 400


def test_it_downloads_a_file(connection: openeo.Connection, backend: Any, tmp_path: Any) -> None:
    content = bytes(range(256)) * 5_000

    def write(run: Any, on_event: Any, is_cancelled: Any) -> Outcome:
        (run.folder / "map.tif").write_bytes(content)
        return Outcome(files=({"name": "map.tif", "media_type": "image/tiff; application=geotiff"},))

    backend.runner = write
    connection.authenticate_basic("ada", "lovelace")
    connection.download(connection.datacube_from_process("add", x=1, y=1), tmp_path / "out.tif", validate=False)
    assert (tmp_path / "out.tif").read_bytes() == content


def test_a_wrong_password_is_told(connection: openeo.Connection) -> None:
    with pytest.raises(OpenEoApiError, match="CredentialsInvalid"):
        connection.authenticate_basic("ada", "wrong")


def test_it_is_a_stac_api_too(live: str) -> None:
    catalog = pystac_client.Client.open(f"{live}/openeo/1.2/")
    assert catalog.conforms_to("COLLECTIONS")
    assert [collection.id for collection in catalog.get_collections()] == ["FIELDS"]
    assert catalog.get_collection("FIELDS").title == "Fields"
