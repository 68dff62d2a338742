"""Storage that fails between parts, is full, or is read by someone who goes away."""

from __future__ import annotations

import http.client
import os
import random
import resource
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.files import objects as objects_module
from openeo_backend.files.objects import PART, StoredObjects, open_objects

Fault = Callable[[str, str], str | None]


class Proxy(ThreadingHTTPServer):
    """Passes requests on to an S3 server, but for those that `fault(method, path)` answers with a failure."""

    daemon_threads = True
    target: tuple[str, int]
    fault: Fault = staticmethod(lambda method, path: None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = server.fault(self.command, self.path)
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        upstream = http.client.HTTPConnection(*server.target)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def log_message(self, format: str, *arguments: Any) -> None:
        """Be quiet."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    proxy = Proxy(("127.0.0.1", 0), Handler)
    proxy.target = moto.get_host_and_port()
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()
    moto.stop()


@pytest.fixture
def bucket(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> StoredObjects:
    import boto3

    endpoint = f"http://127.0.0.1:{proxy.server_address[1]}"
    values = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    for name, value in {**values, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    name = f"b{random.randrange(10**9)}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    return open_objects(f"s3://{name}/results")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three parts."""
    path = tmp_path / "in.tif"
    path.write_bytes(os.urandom(2 * PART + 12_345))
    return path


@pytest.mark.parametrize("how", ["500", "drop"])
def test_parts_that_fail_once_are_sent_again(proxy: Proxy, bucket: StoredObjects, large: Path, how: str) -> None:
    failed: set[str] = set()

    def once(method: str, path: str) -> str | None:
        if method == "PUT" and "partNumber=" in path and len(failed) < 2 and path not in failed:
            failed.add(path)
            return how
        return None

    proxy.fault = once
    assert bucket.put("jobs/j-1/1/a.tif", large) == large.stat().st_size
    assert len(failed) == 2
    assert b"".join(bucket.stream("jobs/j-1/1/a.tif")) == large.read_bytes()


def test_parts_that_fail_for_good_leave_nothing(
    proxy: Proxy, bucket: StoredObjects, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = {**objects_module.RETRIES, "max_retries": 1}
    monkeypatch.setattr(objects_module, "RETRIES", impatient)
    name = str(bucket._store.config["bucket"])  # type: ignore[union-attr]
    hasty = open_objects(f"s3://{name}/results")
    proxy.fault = lambda method, path: "500" if "partNumber=2" in path else None
    with pytest.raises(OpenEOError, match="StorageFailure"):
        hasty.put("jobs/j-1/1/a.tif", large)
    proxy.fault = lambda method, path: None
    assert hasty.size("jobs/j-1/1/a.tif") is None
    assert hasty.list("jobs") == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    script = """
        import os, resource, sys
        from pathlib import Path
        from openeo_backend.errors import OpenEOError
        from openeo_backend.files.objects import open_objects
        folder = Path(sys.argv[1])
        (folder / "in.tif").write_bytes(os.urandom(3_000_000))
        objects = open_objects(str(folder / "objects"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            objects.put("jobs/j-1/1/a.tif", folder / "in.tif")
        except OpenEOError as error:
            print(error.code, objects.size("jobs/j-1/1/a.tif"), objects.list("jobs"))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["StorageFailure", "None", "[]"]


def test_downloads_that_are_broken_off_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    path.write_bytes(bytes(20_000_000))
    objects = open_objects(str(tmp_path / "objects"))
    objects.put("jobs/j-1/1/a.tif", path)

    def break_off() -> None:
        stream: Any = objects.stream("jobs/j-1/1/a.tif")
        next(stream)
        stream.close()

    break_off()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        break_off()
    assert threading.active_count() <= threads + 1
    assert len(os.listdir("/proc/self/fd")) <= files + 4
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(map(len, objects.stream("jobs/j-1/1/a.tif"))) == 20_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 15_000  # kilobytes
