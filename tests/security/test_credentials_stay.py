"""T21: keys of S3 are used for the buckets that the operator named, at the endpoint that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from hostile_server import HostileServer, Request

from openeo_backend.catalog.hrefs import Gate
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.settings import NetSettings

KEY, SECRET = "AKIASTOLEN0000000000", "stolen/secret+0000000000000000000000000"


def nothing(request: Request) -> None:
    request.send(b"", 404)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HostileServer, HostileServer]]:
    """The endpoint that the environment names, and a server of somebody else."""
    with HostileServer(nothing) as endpoint, HostileServer(nothing) as foreign:
        environment = {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REQUEST_PAYER": "requester",
            "AWS_S3_ENDPOINT": endpoint.url.removeprefix("http://"), "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_REGION": "eu-central-1", "GDAL_HTTP_MAX_RETRY": "0",
        }  # fmt: skip
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("GDAL_HTTP_PROXY", raising=False)  # of a tunnel of another test
        yield endpoint, foreign


def told(server: HostileServer) -> str:
    return " ".join(f"{path} {headers}" for _, path, headers, _ in server.asked)


def opened(address: str) -> None:
    with rasterio.Env(), pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(address, driver="GTiff")


def gate(server: HostileServer) -> Gate:
    return Gate(None, Door(NetSettings(), (server.url,)).check, ["named"])


def test_t21_keys_are_used_for_named_buckets_only(servers: Any) -> None:
    endpoint, foreign = servers
    opened(gate(foreign).admit("s3://named/a.tif"))
    assert KEY in told(endpoint)
    assert "requester" in told(endpoint)  # who asks for it pays, at this endpoint
    for address in ("s3://other/a.tif", "s3://named.evil/a.tif", "s3://NAMED/a.tif", "s3:///a.tif"):
        with pytest.raises(OpenEOError):
            gate(foreign).admit(address)
    assert "/other" not in told(endpoint)
    assert foreign.asked == []


def test_t21_servers_of_assets_get_no_keys(servers: Any) -> None:
    endpoint, foreign = servers
    opened(gate(foreign).admit(f"{foreign.url}/a.tif"))
    assert foreign.asked
    for secret in (KEY, SECRET, "Authorization", "x-amz", "request-payer"):
        assert secret.lower() not in told(foreign).lower()
    assert endpoint.asked == []


def test_t21_documents_are_read_without_keys(servers: Any, tmp_path: Path) -> None:
    _, foreign = servers
    door = Door(NetSettings(), (foreign.url,))
    for read in (door.json, door.get):
        with pytest.raises(OpenEOError):
            read(f"{foreign.url}/catalog.json")
    with pytest.raises(OpenEOError):
        door.download(f"{foreign.url}/a.tif", tmp_path / "a.tif")
    assert len(foreign.asked) == 3
    for secret in (KEY, SECRET, "Authorization", "x-amz", "Cookie"):
        assert secret.lower() not in told(foreign).lower()


def test_t21_headers_of_a_request_are_not_sent_on(servers: Any) -> None:
    _, foreign = servers

    def send_on(request: Request) -> None:
        request.send(b"", 302, Location=f"{foreign.url}/elsewhere")

    with HostileServer(send_on) as first:
        door = Door(NetSettings(), (first.url, foreign.url))
        door.request("GET", f"{first.url}/", headers={"Authorization": "Bearer secret"})
        assert "Bearer secret" in told(first)
    assert foreign.asked
    assert "secret" not in told(foreign)
