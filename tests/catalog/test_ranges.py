"""Raster files on other servers: requests, retries, what servers do wrong, and S3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from range_server import Fault, RangeServer
from rasterio.errors import RasterioIOError

from openeo_backend.catalog import ranges
from openeo_backend.catalog.handles import Handles
from openeo_backend.catalog.layer import Layer
from openeo_backend.catalog.ranges import RangedFile, Room, Unreachable, Unsuited
from openeo_backend.catalog.read import BlockReader
from openeo_backend.net.door import Door
from openeo_backend.settings import NetSettings

SIDE, TILE, DATES = 512, 128, 6
GRID = Affine(10, 0, 399960, 0, -10, 5300040)
ALL = slice(0, SIDE), slice(0, SIDE)
Serve = Callable[..., RangeServer]


def _values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60000, (SIDE, SIDE), dtype="uint16")


def _write(path: Path, values: np.ndarray, **options: object) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": SIDE, "width": SIDE, "dtype": "uint16", "crs": 32633}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "transform": GRID}
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(values, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("files")
    for date in range(DATES):
        _write(found / f"{date}.tif", _values(date))
    _write(found / "lzw.tif", _values(7), compress="lzw")
    _write(found / "late.tif", _values(8))
    with rasterio.open(found / "late.tif", "r+") as file:  # its directory moves to the end
        file.update_tags(text="x" * 5000)
    return found


@pytest.fixture
def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(ranges, "_PAUSE", 0.001)
    monkeypatch.setenv("GDAL_HTTP_PROXY", "")  # what is set meanwhile goes with the test
    running: list[RangeServer] = []

    def make(fault: Fault = lambda path, count: None) -> RangeServer:
        running.append(RangeServer(folder, fault=fault))
        return running[-1]

    yield make
    for server in running:
        server.close()


def _door(*servers: RangeServer) -> Door:
    return Door(NetSettings(), tuple(server.url for server in servers))


def _reader(handles: Handles, addresses: list[str]) -> BlockReader:
    layers = [[[Layer(address, 1, f"item{i}", "B04", dtype="uint16")]] for i, address in enumerate(addresses)]
    return BlockReader(GeoBox((SIDE, SIDE), GRID, "EPSG:32633"), layers, np.dtype("uint16"), None, handles)


def _dates(server: RangeServer) -> list[str]:
    return [f"/vsicurl/{server.url}/{date}.tif" for date in range(DATES)]


def _block(reader: BlockReader, rows: slice, columns: slice) -> np.ndarray:
    out = np.empty((len(reader.layers), 1, rows.stop - rows.start, columns.stop - columns.start), "uint16")
    reader.fill_block((slice(0, len(reader.layers)), slice(0, 1), rows, columns), out)
    return out


def test_few_requests_for_each_file(serve: Serve) -> None:
    """One for what is at its beginning, one for neighbouring tiles of a block; none twice."""
    server = serve()
    handles = Handles(_door(server))
    reader = _reader(handles, _dates(server))
    for rows in (slice(0, 256), slice(256, 512)):
        for columns in (slice(0, 256), slice(256, 512)):
            found = _block(reader, rows, columns)
            for date in range(DATES):
                np.testing.assert_array_equal(found[date, 0], _values(date)[rows, columns])
    for date in range(DATES):
        asked = server.of(f"/{date}.tif")
        assert asked[0] == f"bytes=0-{ranges.HEAD - 1}"
        assert len(asked) <= 1 + 4 * 2  # blocks of two rows of tiles
        assert len(set(asked)) == len(asked)
    assert {command for command, _, _ in server.asked} == {"GET"}
    other = serve()
    _block(_reader(Handles(_door(other)), _dates(other)), *ALL)
    assert len(other.asked) == DATES * 2


def test_files_are_fetched_at_the_same_time(serve: Serve) -> None:
    """The answers come when all the files of a block were asked for: one after the other they would never come."""
    together = threading.Barrier(DATES, timeout=10)

    def wait(path: str, count: int) -> None:
        together.wait()

    server = serve(wait)
    np.testing.assert_array_equal(_block(_reader(Handles(_door(server)), _dates(server)), *ALL)[3, 0], _values(3))
    assert server.most_at_once == DATES


def test_nothing_is_kept_after_a_block(serve: Serve) -> None:
    server = serve()
    handles = Handles(_door(server))
    _block(_reader(handles, _dates(server)), slice(0, 300), slice(0, 300))
    assert handles._room.take(ranges._WAITING)


def test_what_is_unpacked_needs_no_other_thread(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of one tile, the part of it that was wanted before, a larger part, and another tile."""
    server = serve()
    handles = Handles(_door(server), keeps=True)
    reader = _reader(handles, _dates(server)[:1])
    submitted: list[object] = []
    submit = handles.submit
    monkeypatch.setattr(handles, "submit", lambda job: submitted.append(job) or submit(job))
    values, counts = _values(0), []
    for rows, columns in [((0, 60), (0, 50)), ((9, 60), (20, 90)), ((0, 61), (0, 50)), ((0, 60), (TILE, TILE + 9))]:
        place = slice(*rows), slice(*columns)
        np.testing.assert_array_equal(_block(reader, *place)[0, 0], values[place])
        counts.append(bool(submitted))
        submitted.clear()
    assert counts == [True, False, True, True]


def test_without_room_bytes_are_read_when_they_are_needed(serve: Serve) -> None:
    server = serve()
    handles = Handles(_door(server))
    handles._room = Room(20_000)
    found = _block(_reader(handles, _dates(server)), *ALL)
    for date in range(DATES):
        np.testing.assert_array_equal(found[date, 0], _values(date))


@pytest.mark.parametrize("fault", ["500", "503", "429", "short", "cut"])
def test_what_fails_for_the_moment_is_tried_again(fault: str, serve: Serve) -> None:
    server = serve(lambda path, count: fault if count in (0, 2, 3) else None)
    found = _block(_reader(Handles(_door(server)), _dates(server)), *ALL)
    for date in range(DATES):
        np.testing.assert_array_equal(found[date, 0], _values(date))


@pytest.mark.parametrize(
    ("fault", "times", "told"),
    [
        ("500", 4, "HTTP status 500, again and again"),
        ("short", 4, "again and again"),
        ("cut", 4, "bytes came where"),
        ("403", 1, "HTTP status 403"),
        ("404", 1, "HTTP status 404"),
        ("other", 1, "another part"),
        ("changed", 1, "has changed"),
    ],
)
def test_what_goes_on_failing_is_told(fault: str, times: int, told: str, serve: Serve) -> None:
    server = serve(lambda path, count: fault if count else None)
    file = RangedFile(_door(server), f"/vsicurl/{server.url}/0.tif", Room())
    with pytest.raises(Unreachable, match=told):
        file.read(ranges.HEAD, 1000)
    assert len(server.asked) == 1 + times


def test_a_server_without_ranges_is_left_to_gdal(serve: Serve) -> None:
    server = serve(lambda path, count: "whole")
    with pytest.raises(Unsuited, match="no parts of files"):
        RangedFile(_door(server), f"/vsicurl/{server.url}/0.tif", Room())
    assert Handles(_door(server)).open_shared(f"/vsicurl/{server.url}/0.tif") is None


def test_blocks_are_those_that_gdal_reads(folder: Path) -> None:
    """The layer above GDAL and the plain path beside it."""
    addresses = [str(folder / f"{date}.tif") for date in range(DATES)]
    for window in (ALL, (slice(100, 300), slice(7, 500)), (slice(0, 128), slice(128, 256))):
        fast, plain = (_block(_reader(Handles(plain=plain), addresses), *window) for plain in (False, True))
        np.testing.assert_array_equal(fast, plain)
    assert Handles().open(addresses[0]).tiles is not None
    assert Handles(plain=True).open(addresses[0]).tiles is None


def test_descriptions_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openeo_backend.catalog.handles._SHARED_BYTES", 30_000)
    handles = Handles()
    for _ in range(2):
        for date in range(DATES):
            np.testing.assert_array_equal(handles.open(str(folder / f"{date}.tif")).read(1, ALL), _values(date))
    assert 0 < len(handles._shared) <= 3
    assert handles._bytes == sum(file.nbytes for file in handles._shared.values() if file is not None)


def test_an_error_names_the_asset(serve: Serve) -> None:
    server = serve(lambda path, count: "500" if path == "/2.tif" and count else None)
    with pytest.raises(Exception, match="asset 'B04' of item 'item2'.* HTTP status 500"):
        _block(_reader(Handles(_door(server)), _dates(server)), *ALL)


def test_redirects_are_followed_where_the_policy_allows(serve: Serve) -> None:
    private = serve()
    for allowed in (True, False):
        server = serve(lambda path, count: f"to {private.url}{path}")
        door = _door(server, private) if allowed else _door(server)
        asked = len(private.asked)
        if allowed:
            file = Handles(door).open(f"/vsicurl/{server.url}/0.tif")
            np.testing.assert_array_equal(file.read(1, ALL), _values(0))
        else:
            with pytest.raises(RasterioIOError, match="not a public address"):
                Handles(door).open(f"/vsicurl/{server.url}/0.tif")
            assert len(private.asked) == asked


@pytest.mark.parametrize("name", ["lzw.tif", "late.tif"])
def test_gdal_reads_what_is_stored_otherwise(name: str, serve: Serve) -> None:
    server = serve()
    file = Handles(_door(server)).open(f"/vsicurl/{server.url}/{name}")
    np.testing.assert_array_equal(file.read(1, ALL), _values(7 if name == "lzw.tif" else 8))


def test_objects_in_s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with the signature of the credentials, which are those of the environment."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        secrets = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        for name, value in (secrets | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}).items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="images")
        client.upload_file(str(folder / "1.tif"), "images", "a folder/1.tif")
        door = Door(NetSettings())
        signed: list[str] = []
        real = ranges._sign
        monkeypatch.setattr(ranges, "_sign", lambda place: signed.append(real(place)) or signed[-1])
        file = Handles(door).open("/vsis3/images/a folder/1.tif")
        assert file.tiles is not None
        np.testing.assert_array_equal(file.read(1, ALL), _values(1))
        assert len(signed) == 1
        assert "X-Amz-Signature" in signed[0]
        with pytest.raises(Exception, match="not a public address"):
            door.get(f"{url}/images/1.tif")
    finally:
        server.stop()
