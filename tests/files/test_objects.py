"""Objects in a folder and in S3."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import PART, StoredObjects, open_objects


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredObjects:
    if request.param == "folder":
        return open_objects(str(tmp_path / "objects"))
    import boto3

    endpoint = request.getfixturevalue("s3_server")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{random.randrange(10**9)}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return open_objects(f"s3://{bucket}/results")


@pytest.fixture
def content(tmp_path: Path) -> tuple[Path, bytes]:
    """A file of more than one part."""
    raw = os.urandom(PART + 12_345)
    path = tmp_path / "in.tif"
    path.write_bytes(raw)
    return path, raw


def test_bytes_come_back_whole_and_in_ranges(objects: StoredObjects, content: tuple[Path, bytes]) -> None:
    path, raw = content
    assert objects.put("jobs/j-1/1/a b.tif", path) == len(raw)
    assert objects.size("jobs/j-1/1/a b.tif") == len(raw)
    chunks = list(objects.stream("jobs/j-1/1/a b.tif"))
    assert b"".join(chunks) == raw
    assert max(len(chunk) for chunk in chunks) < PART
    for start, length in ((0, 1), (5, 100), (PART - 3, 7), (len(raw) - 1, 1), (7, 0)):
        assert b"".join(objects.stream("jobs/j-1/1/a b.tif", start, length)) == raw[start : start + length]
    assert b"".join(objects.stream("jobs/j-1/1/a b.tif", 100)) == raw[100:]


def test_missing_objects_are_told(objects: StoredObjects) -> None:
    assert objects.size("jobs/j-1/1/a.tif") is None
    with pytest.raises(OpenEOError, match="FileNotFound"):
        list(objects.stream("jobs/j-1/1/a.tif"))
    assert objects.delete("jobs/j-1/") == 0


def test_deleting_a_prefix_leaves_its_neighbours(objects: StoredObjects, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x")
    for key in ("jobs/j-1/1/a", "jobs/j-1/1/b", "jobs/j-1/10/a", "jobs/j-10/1/a"):
        objects.put(key, small)
    assert sorted(objects.list("jobs/j-1/1/")) == ["jobs/j-1/1/a", "jobs/j-1/1/b"]
    assert objects.delete("jobs/j-1/1/") == 2
    assert sorted(objects.list("jobs")) == ["jobs/j-1/10/a", "jobs/j-10/1/a"]
    assert objects.delete("jobs/j-1") == 1
    assert objects.list("jobs") == ["jobs/j-10/1/a"]


def test_what_a_killed_process_had_begun_to_write_is_deleted_too(tmp_path: Path) -> None:
    """It is no object yet: a process that writes a large file is killed as soon as its half-written file is seen."""
    large, folder = tmp_path / "large", tmp_path / "objects"
    with large.open("wb") as file:
        file.truncate(2 * 2**30)
    script = (
        "import sys; from pathlib import Path; from openeo_backend.files.objects import open_objects\n"
        "open_objects(sys.argv[1]).put('jobs/j-1/1/a.tif', Path(sys.argv[2]))"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(folder), str(large)])
    while not list(folder.rglob("a.tif#*")):
        assert writer.poll() is None
        time.sleep(0.001)
    writer.kill()
    writer.wait()
    objects = open_objects(str(folder))
    assert objects.list("jobs") == []
    assert [path for path in folder.rglob("*") if path.is_file()]
    objects.delete("jobs/j-1/1/")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("prefix", ["", "/", "..", "jobs/../..", "jobs/.."])
def test_prefixes_that_reach_further_are_refused(objects: StoredObjects, prefix: str) -> None:
    with pytest.raises(ValueError, match="not a prefix"):
        objects.delete(prefix)


def test_a_folder_that_cannot_be_made_is_a_storage_failure() -> None:
    with pytest.raises(OpenEOError, match="StorageFailure"):
        open_objects("/proc/none/objects")


def test_a_lost_file_is_a_storage_failure(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"x")
    objects = open_objects(str(tmp_path / "objects"))
    (tmp_path / "objects").rmdir()
    (tmp_path / "objects").write_bytes(b"in the way")
    with pytest.raises(OpenEOError, match="StorageFailure"):
        objects.put("jobs/j-1/1/a", small)
