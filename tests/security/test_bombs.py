"""T10, T14, T15, T17, T22, T24: small inputs that ask for much are refused soon, or stay small.

Each is run with a bound on time and on memory of the process. Files of huge headers are loaded lazily, and what is
read of them counts against the limits of the request.
"""

from __future__ import annotations

import gzip
import json
import resource
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from victims import ROOT

from openeo_backend.errors import OpenEOError
from openeo_backend.formats import names
from openeo_backend.formats.reading import read_file
from openeo_backend.processes import exports
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert time.process_time() - begun < 20
    assert grown < 900_000, "kilobytes"


def run(node: Any, folder: Path, graph: dict[str, Any], **members: Any) -> Any:
    request = RunRequest("r", {"process_graph": graph}, folder, user="ada", **members)
    return execute(request, node.backend.engine, lambda event: None)


def call(process: str, result: bool = True, **arguments: Any) -> dict[str, Any]:
    return {"process_id": process, "arguments": arguments, "result": result}


BOMBS: dict[str, dict[str, Any]] = {
    "repeat": {"a": call("array_create", data=[1], repeat=10**9)},
    "repeat of many": {"a": call("array_create", data=list(range(1000)), repeat=10**6)},
    "repeat of repeats": {
        "a": call("array_create", False, data=[1], repeat=10**7),
        "b": call("array_create", data={"from_node": "a"}, repeat=10**3),
    },
    "labels": {"a": call("array_create_labeled", data=[1], labels=["a", "b"])},
    "quantiles": {"a": call("quantiles", data=[1, 2, 3], probabilities=10**9)},
    "quantiles of old": {"a": call("quantiles", data=[1, 2, 3], q=10**9)},
    "dates": {"a": call("date_shift", date="2020-01-01", value=10**12, unit="year")},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_values_of_processes_are_bounded(node: Any, tmp_path: Path, bomb: str) -> None:
    outcome = run(node, tmp_path, BOMBS[bomb])
    assert outcome.error is not None
    assert outcome.error["code"] not in ("Internal", "OutOfMemory"), outcome.error
    assert len(outcome.error["message"]) < 2000


def test_texts_do_not_double_without_end(node: Any, tmp_path: Path) -> None:
    graph = {"n0": call("text_concat", False, data=["x" * 1000] * 100, separator="")}
    for number in range(1, 30):
        before = {"from_node": f"n{number - 1}"}
        graph[f"n{number}"] = call("text_concat", number == 29, data=[before, before], separator="")
    outcome = run(node, tmp_path, graph)
    assert outcome.error is not None
    assert outcome.error["code"] not in ("Internal", "OutOfMemory"), outcome.error


def test_patterns_of_texts_are_plain_text(node: Any, tmp_path: Path) -> None:
    """T17: no process takes regular expressions; one that would explode is searched for as it is written."""
    assert run(node, tmp_path, {"a": call("text_contains", data="abc", pattern="a.c")}).value is False
    for process in ("text_contains", "text_begins", "text_ends"):
        outcome = run(node, tmp_path, {"a": call(process, data="a" * 50_000 + "!", pattern="(a+)+$")})
        assert outcome.error is None
        assert outcome.value is False


@pytest.mark.parametrize("path", ["/validation", "/result", "/jobs", "/process_graphs/x"])
@pytest.mark.parametrize("opening", ['{"process":' + "[" * 200_000, '{"process_graph":' * 100_000])
def test_json_that_is_nested_too_deeply(node: Any, path: str, opening: str) -> None:
    method = "PUT" if path.startswith("/process_graphs") else "POST"
    answer = node.ask(method, ROOT + path, "ada", data=opening, content_type="application/json")
    assert answer.status_code == 400
    depth = 900
    nested = '{"process_graph":{"a":{"process_id":"add","arguments":{"x":%s},"result":true}}}'
    nested = nested if path in ("/validation", "/process_graphs/x") else '{"process":' + nested + "}"
    answer = node.ask(
        method, ROOT + path, "ada", data=nested % ("[" * depth + "]" * depth), content_type="application/json"
    )
    assert answer.status_code in (200, 201, 400), answer.text
    assert path == "/jobs" or "nested more than" in answer.text


@pytest.mark.parametrize("path", ["/validation", "/result", "/jobs"])
def test_t10_bodies_of_millions_of_arrays_are_refused(node: Any, path: str) -> None:
    """Each takes a hundred times more memory than bytes of the body, in which they fit by the million."""
    body = b'{"a":[' + b"[]," * 2_000_000 + b"[]]}"
    answer = node.ask("POST", ROOT + path, "ada", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (413, "RequestTooLarge")


def huge_tiff(size: int) -> bytes:
    """A GeoTIFF header that promises size x size bytes in one strip, and has none of them."""
    entries = [(256, 4, size), (257, 4, size), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, size), (279, 4, 2**32 - 1)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


def test_a_header_of_a_million_by_a_million_pixels(tmp_path: Path) -> None:
    file = tmp_path / "huge.tif"
    file.write_bytes(huge_tiff(1_000_000))
    assert read_file(file, "GTiff").is_lazy


def zarr_bomb(path: Path, side: int, chunk: int) -> None:
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [side, side], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk, chunk]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}], "attributes": {},
        "dimension_names": ["y", "x"],
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
        archive.writestr("v/zarr.json", json.dumps(array))
        with archive.open("v/c/0/0", "w") as part:
            for _ in range(200):
                part.write(bytes(10_000_000))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zarr.zip"
    zarr_bomb(path, 1000, 1000)
    assert path.stat().st_size < 3e6
    with pytest.raises(OpenEOError) as raised:
        read_file(path, "Zarr").data.values.sum()
    assert raised.value.code == "FormatUnsuitable"


@pytest.mark.parametrize("format", ["GTiff", "netCDF", "Zarr", "Parquet", "GeoJSON"])
@pytest.mark.parametrize(
    "content",
    [
        b'<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand band="1" subClass="VRTRawRasterBand">'  # noqa: ISC004
        b"<SourceFilename>/etc/passwd</SourceFilename></VRTRasterBand></VRTDataset>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1/</ServerUrl></Service></GDAL_WMS>',
        b"PK\x03\x04",
        b"II*\0\xff\xff\xff\xff",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"[" * 500_000,
        b'{"type": "FeatureCollection", "features": ' + b"[" * 500_000,
    ],
    ids=["vrt", "entity", "wms", "zip", "tiff", "hdf", "nested", "nested features"],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, format: str, content: bytes) -> None:
    """T22, T23."""
    file = tmp_path / "innocent.tif"
    file.write_bytes(content)
    with pytest.raises(OpenEOError) as raised:
        read_file(file, format)
    assert "root:" not in raised.value.message
    assert raised.value.code != "Internal"


def test_texts_of_users_in_file_names_and_messages_are_cut(node: Any, tmp_path: Path) -> None:
    """What is too long for a file system is no failure of ours, and nobody fills the log with one message."""
    assert names.slug("../" + "é" * 10 + "x" * 5_000) == "x" * 100
    outcome = run(node, tmp_path, {"a": call("load_collection", id="x" * 1_000_000, spatial_extent=None,
                                            temporal_extent=None)})  # fmt: skip
    assert outcome.error is not None
    assert outcome.error["code"] == "CollectionNotFound"
    assert len(outcome.error["message"]) < 21_000


@pytest.mark.parametrize("path", ["x" * 300, "é" * 150, "/".join(["ab"] * 500)])
def test_paths_in_workspaces_have_bounds(path: str) -> None:
    with pytest.raises(OpenEOError) as raised:
        exports._path(path)
    assert raised.value.code == "ProcessParameterInvalid"


def test_bodies_are_not_unpacked(node: Any) -> None:
    """A compressed body is taken as it is: there is nothing to explode."""
    packed = gzip.compress(b'{"process":' + b" " * 50_000_000 + b"1}")
    headers = {**node.headers["ada"], "Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = node.app.test_client().post(f"{ROOT}/validation", data=packed, headers=headers)
    assert 400 <= answer.status_code < 500
