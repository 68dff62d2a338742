"""How large the blocks of loads are, by the tiles of files."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from openeo_backend.catalog.chunks import chunks
from openeo_backend.catalog.request import LoadRequest

SIDE = 2200


@pytest.mark.parametrize(("dates", "tile", "side"), [(12, 512, 512), (12, 513, 1024), (11, 256, 1024)])
def test_blocks_of_small_tiles_are_small_where_there_are_several_dates(dates, tile, side):
    rows, columns = (side,) * (4096 // side), (side,) * (2048 // side)
    assert chunks((dates, 1, 4096, 2048), 1, tile=lambda: tile) == ((dates,), (1,), rows, columns)


def test_tiles_are_not_looked_at_where_they_do_not_matter():
    def never():
        raise AssertionError("a file was opened")

    assert max(chunks((11, 1, 4096, 4096), 1, tile=never)[3]) == 1024
    assert max(chunks((61, 1, 4096, 4096), 1, tile=never)[3]) == 512
    assert max(chunks((12, 1, 1024, 1024), 1, tile=never)[3]) == 512


def image(archive, name, tile, coarser=1, epsg=32631):
    """A file that says how it is tiled, and little else."""
    step, side = 10 * coarser, SIDE // coarser
    profile = {"tiled": True, "blockxsize": tile, "blockysize": tile, "sparse_ok": True, "dtype": "uint16", "count": 1}
    transform = Affine(step, 0, 600_000, 0, -step, 5_700_000)
    path = archive.folder / f"{name}.tif"
    with rasterio.open(path, "w", "GTiff", side, side, crs=epsg, transform=transform, nodata=0, **profile):
        return {"href": f"../{name}.tif", "proj:shape": [side, side], "proj:transform": list(transform)[:6]}


@pytest.mark.parametrize(
    ("bands", "side"),
    [
        ({"B04": {"tile": 512}}, 512),
        ({"B04": {"tile": 1024}}, 1024),
        ({"B04": {"tile": 256}, "B08": {"tile": 1024}}, 1024),
        ({"B04": {"tile": 256, "coarser": 2}, "B08": {"tile": 512}}, 512),
        ({"B04": {"tile": 512, "coarser": 2}, "B08": {"tile": 512}}, 1024),
        ({"B04": {"tile": 512, "epsg": 32632}}, 1024),
        ({"B04": None}, 1024),
    ],
    ids=["small", "large", "one-is-large", "half-the-resolution", "as-large-as-1024", "not-what-it-says", "missing"],
)
def test_files_tell_how_large_blocks_are(archive, env, bands, side):
    found = {name: image(archive, name, **bands[name]) if bands[name] else {} for name in bands}
    for day in range(1, 13):
        some = {name: np.zeros((8, 8), "uint16") for name in bands}
        document = archive.add(f"A{day}", some, time=f"2023-04-{day:02d}T10:50:00Z")
        for name, own in found.items():
            gone = {"href": "../gone.tif", "proj:shape": [SIDE, SIDE]}
            document["assets"][name] |= own or gone
        document["geometry"], document["bbox"] = None, [4.4, 51.2, 4.8, 51.6]
        archive.write_item(document)
    cube = archive.open().load("TEST", LoadRequest(), env)
    assert cube.data.shape == (12, len(bands), SIDE, SIDE)
    assert cube.data.chunks[3][0] == side
