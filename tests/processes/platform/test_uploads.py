"""load_uploaded_files: reading what users keep here, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from openeo_backend.errors import OpenEOError
from openeo_backend.files.user_files import UserFiles
from openeo_backend.formats.writing import write_result
from openeo_backend.processes.registry import Registry
from openeo_backend.settings import Settings

ENABLED = {"files": {"enabled": True}}


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a user, made."""
    files = UserFiles.open(Settings.model_validate({"data_dir": str(tmp_path / "data")}))

    def make(user: str) -> Path:
        folder = files.folder(user)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return make


def tif(path: Path, value: float, left: float = 500_000, size: int = 2, nodata: float | None = -1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = Affine(10, 0, left, 0, -10, 5_000_000)
    profile = {"width": size, "height": 2, "count": 1, "dtype": "int16", "crs": "EPSG:32633", "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as out:
        out.write(np.full((1, 2, size), value, "int16"))
        out.descriptions = ("B04",)


def load(*paths: str, format: str = "GTiff", **more: Any) -> dict[str, Any]:
    arguments = {"paths": list(paths), "format": format, **more}
    return {"load1": {"process_id": "load_uploaded_files", "arguments": arguments, "result": True}}


@pytest.mark.parametrize("path", ["/maps/a.tif", "maps/a.tif", "./maps/a.tif", "maps//a.tif", "x/../maps/a.tif"])
def test_paths_are_relative_to_the_folder_of_the_user(evaluate_with, folder_of, path):
    tif(folder_of("alice") / "maps/a.tif", 7)
    cube = evaluate_with(ENABLED, load(path, format="gtiff"))
    np.testing.assert_array_equal(cube.data.values, np.full((1, 2, 2), 7))
    assert cube.is_lazy
    assert cube.crs == "EPSG:32633"


def test_no_user_reaches_the_files_of_another(evaluate_with, folder_of):
    tif(folder_of("alice") / "a.tif", 1)
    tif(folder_of("bob") / "b.tif", 2)
    (folder_of("bob") / "link.tif").symlink_to(folder_of("alice") / "a.tif")
    (folder_of("bob") / "others").symlink_to(folder_of("alice").parent)
    hash = folder_of("alice").name
    assert float(evaluate_with(ENABLED, load("b.tif"), user="bob").data.max()) == 2
    for path in ("a.tif", f"../{hash}/a.tif", f"x/../../{hash}/a.tif", "link.tif", f"others/{hash}/a.tif"):
        with pytest.raises(OpenEOError, match="no file") as raised:
            evaluate_with(ENABLED, load(path), user="bob")
        assert raised.value.code == "FileNotFound"
        assert raised.value.status == 404
        assert raised.value.path[-1].node_id == "load1"
        assert hash not in raised.value.describe() or hash in path


@pytest.mark.parametrize(
    "path", ["none.tif", "../../../../etc/passwd", "/etc/passwd", "..", "", "maps", "a.tif\0", "~/a.tif"]
)
def test_other_paths_are_no_files(evaluate_with, folder_of, path):
    tif(folder_of("alice") / "maps/a.tif", 7)
    tif(folder_of("alice") / "a.tif", 7)
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(ENABLED, load(path))
    assert raised.value.code == "FileNotFound"


def test_a_run_for_nobody_has_no_files(evaluate_with, folder_of):
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(ENABLED, load("a.tif"), user=None)
    assert raised.value.code == "AuthenticationRequired"


def test_several_files_are_one_cube(evaluate_with, folder_of):
    folder = folder_of("alice")
    tif(folder / "west.tif", 1)
    tif(folder / "east.tif", 2, left=500_010, size=3)
    tif(folder / "hole.tif", -1)
    cube = evaluate_with(ENABLED, load("hole.tif", "west.tif", "east.tif"))
    # the first that has a value counts: west covers columns 0 and 1, east 1 to 3
    np.testing.assert_array_equal(cube.data.sel(bands="B04").values, [[1, 1, 2, 2]] * 2)
    assert cube.data.dtype == np.int16
    assert cube.is_lazy


def test_files_on_different_grids_do_not_go_together(evaluate_with, folder_of):
    tif(folder_of("alice") / "a.tif", 1)
    tif(folder_of("alice") / "b.tif", 2, left=500_003)
    with pytest.raises(OpenEOError, match="different pixel grids"):
        evaluate_with(ENABLED, load("a.tif", "b.tif"))


@pytest.mark.parametrize("format", ["GTiff", "netCDF", "Zarr"])
def test_rasters_come_back_as_written(evaluate_with, folder_of, raster, format):
    (asset,) = write_result(raster, format, {}, folder_of("alice"), "mine", lambda done, planned: None)
    cube = evaluate_with(ENABLED, load(asset.path.name, format=format))
    np.testing.assert_array_equal(cube.data.transpose("bands", "y", "x").values, raster.data.values)
    assert cube.geobox == raster.geobox


def test_features_of_files(evaluate_with, folder_of):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"name": "a"}}
    collection = {"type": "FeatureCollection", "features": [point]}
    (folder_of("alice") / "a.geojson").write_text(json.dumps(collection))
    cube = evaluate_with(ENABLED, load("a.geojson", format="GeoJSON"))
    assert cube.geometries().to_wkt().tolist() == ["POINT (1 2)"]


def test_unsuitable_formats(evaluate_with, folder_of, raster):
    folder = folder_of("alice")
    tif(folder / "a.tif", 1)
    (folder / "a.txt").write_text("a,b\n1,2\n")
    (folder / "half.tif").write_bytes((folder / "a.tif").read_bytes()[:60])
    (folder / "empty.nc").write_bytes(b"")
    pd.DataFrame({"a": [1]}).to_parquet(folder / "plain.parquet")
    wrong = [("a.tif", "netCDF"), ("a.txt", "GTiff"), ("a.txt", "GeoJSON"), ("a.tif", "Zarr"), ("half.tif", "GTiff")]
    wrong += [("empty.nc", "netCDF"), ("plain.parquet", "Parquet"), ("a.txt", "CSV"), ("a.tif", "PNG"), ("a.tif", "no")]
    for path, format in wrong:
        with pytest.raises(OpenEOError) as raised:
            evaluate_with(ENABLED, load(path, format=format))
        assert raised.value.code == "FormatUnsuitable", (path, format)


def test_files_that_refer_to_other_files_are_refused(evaluate_with, folder_of, tmp_path):
    """A VRT called .tif, and HDF5 files whose data are in other files, read any file of the server otherwise."""
    folder = folder_of("alice")
    tif(tmp_path / "secret.tif", 3)
    (tmp_path / "secret").write_bytes(b"top secret 16 by")
    with h5py.File(tmp_path / "secret.nc", "w") as file:
        file["x"] = np.arange(4.0)
    source = f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename><SourceBand>1</SourceBand>"
    band = f'<VRTRasterBand dataType="Int16" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    (folder / "vrt.tif").write_text(f'<VRTDataset rasterXSize="2" rasterYSize="2">{band}</VRTDataset>')
    with h5py.File(folder / "link.nc", "w") as file:
        file.create_group("deep")["x"] = h5py.ExternalLink(str(tmp_path / "secret.nc"), "x")
    with h5py.File(folder / "storage.nc", "w") as file:
        file.create_dataset("x", (16,), "u1", external=[(str(tmp_path / "secret"), 0, 16)])
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.nc"), "x", (4,))
    with h5py.File(folder / "virtual.nc", "w") as file:
        file.create_virtual_dataset("x", layout)
    for path, format in (
        ("vrt.tif", "GTiff"),
        ("link.nc", "netCDF"),
        ("storage.nc", "netCDF"),
        ("virtual.nc", "netCDF"),
    ):
        with pytest.raises(OpenEOError) as raised:
            evaluate_with(ENABLED, load(path, format=format))
        assert raised.value.code == "FormatUnsuitable", path


def test_offered_only_where_enabled():
    assert "load_uploaded_files" not in Registry.predefined()
    assert "load_uploaded_files" in Registry.predefined(lambda name: name == "files.enabled")
