"""T19, T20: whoever reads pixels obeys the policy: our reader, and GDAL (`plain`), which only the tunnel holds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError

from openeo_backend.catalog.handles import Handles
from openeo_backend.net.door import Door
from openeo_backend.net.tunnel import Tunnel
from openeo_backend.settings import NetSettings

#: Rows and columns of the file.
ALL = slice(0, 8), slice(0, 8)


class Site:
    """A server on this machine with one GeoTIFF; `/to?<url>` redirects."""

    def __init__(self, content: bytes) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                site.asked.append(self.path)
                path, _, query = self.path.partition("?")
                if path.startswith("/to"):
                    self.send_response(302)
                    self.send_header("Location", unquote(query))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                asked = self.headers.get("Range")
                first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
                body = content[int(first) : int(last or len(content)) + 1]
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(content)}")
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(autouse=True)
def _no_proxy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL gets its way out by the environment of the process, which other tests have as well."""
    monkeypatch.setenv("GDAL_HTTP_PROXY", "")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[], Site]]:
    file = tmp_path / "a.tif"
    pixels = np.arange(64, dtype="uint8").reshape(1, 8, 8)
    size = {"width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(file, "w", driver="GTiff", transform=Affine(1, 0, 0, 0, -1, 8), crs="EPSG:32631", **size) as out:
        out.write(pixels)
    content, made = file.read_bytes(), []

    def make() -> Site:
        made.append(Site(content))
        return made[-1]

    yield make
    for server in made:
        server.http.shutdown()
        server.http.server_close()


@pytest.mark.parametrize("plain", [False, True])
def test_a_redirect_to_a_private_address_is_not_followed(site: Callable[[], Site], plain: bool) -> None:
    outside, private = site(), site()
    handles = Handles(Door(NetSettings(), (outside.url,)), plain)
    assert handles.open(f"/vsicurl/{outside.url}/a.tif").read(1, ALL).sum() == 63 * 32
    with pytest.raises(RasterioIOError):
        handles.open(f"/vsicurl/{outside.url}/to/b.tif?{private.url}/a.tif")
    assert any(path.startswith("/to") for path in outside.asked)
    assert not private.asked


@pytest.mark.parametrize("plain", [False, True])
def test_a_host_that_turned_private_after_the_check_is_not_reached(site: Callable[[], Site], plain: bool) -> None:
    private = site()
    with pytest.raises(RasterioIOError):
        Handles(Door(NetSettings()), plain).open(f"/vsicurl/{private.url}/a.tif")
    assert not private.asked


def test_what_gdal_reads_is_counted(site: Callable[[], Site], tmp_path: Path) -> None:
    server = site()
    door = Door(NetSettings(), (server.url,))
    Handles(door).open(f"/vsicurl/{server.url}/counted.tif")
    size = (tmp_path / "a.tif").stat().st_size
    assert size <= door.traffic.received < size + 5_000


@pytest.mark.parametrize("plain", [False, True])
def test_redirects_between_allowed_hosts_work(site: Callable[[], Site], plain: bool) -> None:
    one, other = site(), site()
    handles = Handles(Door(NetSettings(), (one.url, other.url)), plain)
    assert handles.open(f"/vsicurl/{one.url}/to/c.tif?{other.url}/a.tif").read(1, ALL).sum() == 63 * 32


@pytest.mark.parametrize(
    "hello", [b"\x05\x01\x00", b"\x05\x01\x02\x01\x04gdal\x05wrong", b"\x04\x01\x00\x50", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_the_tunnel_serves_nobody_without_its_password(hello: bytes) -> None:
    url = urlsplit(Door(NetSettings()).tunnel())
    with socket.create_connection(("127.0.0.1", url.port or 0), 5) as client:
        client.sendall(hello)
        said = b""
        with suppress(ConnectionResetError):
            while part := client.recv(100):
                said += part
        assert said in (b"\x05\xff", b"\x05\x02\x01\x01")


def test_a_door_has_one_tunnel() -> None:
    door = Door(NetSettings())
    assert door.tunnel() == door.tunnel() != Door(NetSettings()).tunnel()
    assert Tunnel(door.policy, 1).url.startswith("socks5h://")
