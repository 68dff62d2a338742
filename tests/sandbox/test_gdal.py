"""The process environment under which GDAL reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from openeo_backend.sandbox.gdal import DRIVERS, INTERNAL, gdal_environment

_PROBE = """
import json, sys
import rasterio
from rasterio.errors import RasterioIOError
with rasterio.Env() as env:
    drivers = sorted(env.drivers())
try:
    with rasterio.open(sys.argv[1]) as file:
        read = bytes(file.read(1)).decode("latin1")
except RasterioIOError:
    read = None
print(json.dumps([drivers, read]))
"""


def test_only_allowed_drivers_are_there_and_a_vrt_named_tif_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:x:0:0:root:/root:/bin/bash")
    picture = tmp_path / "picture.tif"
    picture.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="1">'
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{secret}</SourceFilename><ImageOffset>0</ImageOffset>'
        "<PixelOffset>1</PixelOffset><LineOffset>8</LineOffset></VRTRasterBand></VRTDataset>"
    )
    bare = {name: value for name, value in os.environ.items() if name not in gdal_environment()}
    found = {}
    for name, environment in (("guarded", gdal_environment()), ("default", {})):
        output = subprocess.run(
            [sys.executable, "-c", _PROBE, str(picture)],
            env={**bare, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found[name] = json.loads(output)
    drivers, read = found["guarded"]
    assert set(drivers) <= {*DRIVERS, *INTERNAL}
    assert {"GTiff", "COG", "JP2OpenJPEG", "netCDF", "PNG"} <= set(drivers)
    assert read is None
    # what the environment prevents really happens without it
    assert found["default"][1] == "root:x:0"


_READER = """
import sys
from openeo_backend.catalog.handles import Handles
from rasterio.errors import RasterioIOError
try:
    Handles().open(sys.argv[1])
    print("opened")
except RasterioIOError:
    print("refused")
"""


def test_readers_name_their_drivers_whatever_the_environment(tmp_path: Path) -> None:
    """In a process that loaded GDAL with all its drivers."""
    picture = tmp_path / "picture.tif"
    picture.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="1">'
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>0</NoDataValue></VRTRasterBand></VRTDataset>'
    )
    bare = {name: value for name, value in os.environ.items() if name not in gdal_environment()}
    command = [sys.executable, "-c", _READER, str(picture)]
    run = subprocess.run(command, env=bare, capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"


_HOLDER = """
import sys
from pathlib import Path
import rasterio

def held():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1e3

paths = sys.argv[1:]
first, *files = [rasterio.open(path) for path in paths]
first.read(1)
before = held()
for file in files:
    file.read(1)
print(held() - before)
"""


def test_what_open_files_hold_is_bounded(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 1024, "width": 1024, "compress": "lzw"}
    values = np.random.default_rng(1).integers(0, 255, (1024, 1024), np.uint8)
    first = tmp_path / "0.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(first, "w", **profile, tiled=True) as file:
            file.write(values, 1)
    paths = [first, *(tmp_path / f"{number}.tif" for number in range(1, 50))]
    for path in paths[1:]:
        path.hardlink_to(first)
    environment = {**os.environ, **gdal_environment(), "PYTHONWARNINGS": "ignore"}
    output = subprocess.check_output([sys.executable, "-c", _HOLDER, *map(str, paths)], env=environment, text=True)
    assert float(output) < 40  # MB, of the 65 MB that are read from the files
