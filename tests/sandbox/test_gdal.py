"""The process environment under which GDAL reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
