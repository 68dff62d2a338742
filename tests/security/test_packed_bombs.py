"""T15: files whose parts unpack to far more than they are: refused with the size, or the end of the child only."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from hostile_server import HostileServer, Request
from numcodecs.zstd import Zstd
from rasterio.transform import from_origin

from openeo_backend import settings as settings_module
from openeo_backend.catalog.arrays import open_array
from openeo_backend.catalog.handles import Handles, probe
from openeo_backend.catalog.layer import Layer
from openeo_backend.errors import OpenEOError
from openeo_backend.files.user_files import UserFiles
from openeo_backend.formats.reading import read_file
from openeo_backend.net.door import Door
from openeo_backend.run.request import RunRequest
from openeo_backend.run.runner import ChildRunner
from openeo_backend.settings import NetSettings

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["deflate", "zstd", "lzw"])
def tiff(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small file with one tile of 32768 x 32768 pixels: 1 GB."""
    path = tmp_path / "bomb.tif"
    profile = {
        "driver": "GTiff", "width": 32768, "height": 32768, "count": 1, "dtype": "uint8", "tiled": True,
        "blockxsize": 32768, "blockysize": 32768, "compress": request.param, "sparse_ok": True, "crs": "EPSG:32631",
        "transform": from_origin(600000, 5600000, 10, 10),
    }  # fmt: skip
    rasterio.open(path, "w", **profile).close()
    assert path.stat().st_size < 100_000
    return path


def test_t15_tiles_of_a_gigabyte_in_loaded_files(tiff: Path) -> None:
    with pytest.raises(OpenEOError) as failure:
        read_file(tiff, "GTiff")
    assert "1,074 MB" in failure.value.message


def test_t15_tiles_of_a_gigabyte_in_assets(tiff: Path) -> None:
    with pytest.raises(OpenEOError) as failure:
        probe(Layer(address=str(tiff), index=1, item="i", asset="a"), Handles())
    assert "1,074 MB" in failure.value.message


def hdf(path: Path, chunk: int = 100, coordinates: int = 100) -> Path:
    with h5py.File(path, "w") as file:
        y = file.create_dataset("y", (chunk,), "f8")
        y[...] = np.arange(chunk)
        x = file.create_dataset("x", (coordinates,), "f8", chunks=(10_000,) if coordinates > 10_000 else None)
        y.make_scale("y")
        x.make_scale("x")
        v = file.create_dataset("v", (chunk, coordinates), "f4", chunks=(chunk, min(chunk, coordinates)),
                                compression="gzip")  # fmt: skip
        v.dims[0].attach_scale(y)
        v.dims[1].attach_scale(x)
    return path


HDF = {"chunk": {"chunk": 16_000, "coordinates": 16_000}, "coordinates": {"coordinates": 10**9}}


@pytest.mark.parametrize("kind", HDF)
def test_t15_chunks_and_coordinates_of_netcdf(tmp_path: Path, kind: str) -> None:
    path = hdf(tmp_path / "bomb.nc", **HDF[kind])
    assert path.stat().st_size < 1_000_000
    with pytest.raises(OpenEOError) as failure:
        read_file(path, "netCDF")
    assert "over" in failure.value.message
    with pytest.raises(OpenEOError):
        open_array(str(path), "netcdf", None)


def outside_storage(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (4, 4), "u1", external=[("/etc/passwd", 0, 16)])


def outside_link(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["v"] = h5py.ExternalLink("/etc/passwd", "v")


@pytest.mark.parametrize("make", [outside_storage, outside_link])
@pytest.mark.parametrize("over", ["path", "http"])
def test_t22_assets_that_take_data_from_other_files(tmp_path: Path, make: Any, over: str) -> None:
    path = tmp_path / "outside.nc"
    make(path)
    content = path.read_bytes()

    def answer(request: Request) -> None:
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        request.send(part, 206, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")

    with HostileServer(answer) as server:
        address = str(path) if over == "path" else f"{server.url}/outside.nc"
        door = Door(NetSettings(), (server.url,))
        with pytest.raises(OpenEOError) as failure:
            open_array(address, "netcdf", door)
    assert "another file" in failure.value.message


def zarr(path: Path, side: int, chunk: int, part: bytes, codecs: Any = ()) -> Path:
    """A zip file with one array of so many pixels of a byte."""
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [side, side], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk, chunk]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}, *codecs], "attributes": {},
        "dimension_names": ["y", "x"],
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        archive.writestr("zarr.json", json.dumps(group))
        archive.writestr("v/zarr.json", json.dumps(array))
        archive.writestr("v/c/0/0", part)
    return path


def test_t15_chunks_of_zarr(tmp_path: Path) -> None:
    path = zarr(tmp_path / "bomb.zarr.zip", 100_000, 50_000, b"")
    with pytest.raises(OpenEOError) as failure:
        read_file(path, "Zarr")
    assert "2,500 MB" in failure.value.message
    with pytest.raises(OpenEOError):
        open_array(str(path), "zarr", None)


def test_t15_parts_of_zip_files_in_catalogs(tmp_path: Path) -> None:
    path = zarr(tmp_path / "bomb.zarr.zip", 1000, 1000, bytes(600_000_000))
    assert path.stat().st_size < 1_000_000
    file = open_array(str(path), "zarr", None)
    with pytest.raises(OpenEOError) as failure:
        file._dataset.variables["v"].values  # noqa: B018
    assert "600 MB" in failure.value.message


def test_t15_what_unpacks_to_more_than_its_chunk_ends_the_child_only(tmp_path: Path) -> None:
    """zstd tells 2 GB in 200 kB: the child is ended at its limit, the user told, and the next request works."""
    data = tmp_path / "data"
    settings = settings_module.read(overrides={"data_dir": str(data), "files": {"enabled": True}})
    folder = UserFiles.open(settings).folder("ada")
    folder.mkdir(parents=True)
    packed = bytes(Zstd(level=1).encode(bytes(2_000_000_000)))
    assert len(packed) < 500_000
    codecs = [{"name": "zstd", "configuration": {"level": 1, "checksum": False}}]
    zarr(folder / "bomb.zarr.zip", 1000, 1000, packed, codecs)
    runner = ChildRunner(settings)

    def run(id: str, graph: dict[str, Any]) -> Any:
        (tmp_path / id).mkdir()
        request = RunRequest(id, {"process_graph": graph}, tmp_path / id, user="ada", memory_mb=900, seconds=60)
        return runner(request, lambda event: None, lambda: False)

    load = {"process_id": "load_uploaded_files", "arguments": {"paths": ["bomb.zarr.zip"], "format": "Zarr"}}
    save = {"process_id": "save_result", "arguments": {"data": {"from_node": "l"}, "format": "GTiff"}, "result": True}
    outcome = run("bomb", {"l": load, "s": save})
    assert outcome.error is not None
    assert outcome.error["code"] in ("OutOfMemory", "FileContentInvalid", "FormatUnsuitable"), outcome.error
    assert run("next", {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}).value == 3


def test_t15_bodies_that_unpack_without_end() -> None:
    packed = gzip.compress(bytes(300_000_000))
    assert len(packed) < 400_000

    def answer(request: Request) -> None:
        request.send(packed, Content_Encoding="gzip")

    with HostileServer(answer) as server, pytest.raises(OpenEOError) as failure:
        Door(NetSettings(), (server.url,)).get(f"{server.url}/")
    assert failure.value.code == "FileSizeExceeded"
