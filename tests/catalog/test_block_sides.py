"""How large the blocks of loads are, by the tiles of files."""

from __future__ import annotations

import math

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
    assert chunks((dates, 1, 4096, 2048), 1, tile=lambda: (tile, tile)) == ((dates,), (1,), rows, columns)


def test_files_are_not_looked_at_for_few_blocks():
    def never():
        raise AssertionError("a file was opened")

    assert max(chunks((12, 1, 1024, 1024), 1, tile=never)[3]) == 512


@pytest.mark.parametrize(
    ("width", "strip", "rows"),
    [
        (4096, (64, 4096), 256),
        (3000, (1, 3000), 256),
        (4096, (0.5, 2048), 256),
        (10_980, (1, 10_980), 64),
        (4096, (300, 4096), None),
        (1024, (16, 10_980), None),
        (4096, (512, math.inf), None),
        (2_000_000, (0.5, 4_000_000), None),
    ],
    ids=["high", "single-rows", "coarser-cube", "wide", "too-high", "narrow-cube", "unknown", "too-wide"],
)
def test_strips_are_not_cut(width, strip, rows):
    """Blocks have about as many pixels as others, and a power of two of strips."""
    found = chunks((4, 1, 4096, width), 2, (100, 50), tile=lambda: strip)
    if rows is None:
        assert found[2][:2] == (924, 1024)
    else:
        assert found[3] == (width,)
        assert found[2][1] == rows
        assert (100 + found[2][0]) % rows == 0
    assert sum(found[2]) == 4096


@pytest.mark.parametrize("compress", ["deflate", "zstd"])
def test_strips_are_read_as_they_are_stored(archive, env, compress):
    values = np.random.default_rng(3).integers(1, 9, (2100, 2100)).astype("uint16")
    document = archive.add("A", {"B08": np.zeros((8, 8), "uint16")})
    transform = Affine(10, 0, 600_000, 0, -10, 5_700_000)
    profile = {"crs": 32631, "transform": transform, "nodata": 0, "compress": compress, "blockysize": 16}
    with rasterio.open(
        archive.folder / "A" / "B08.tif", "w", "GTiff", 2100, 2100, count=1, dtype="uint16", **profile
    ) as file:
        file.write(values, 1)
    document["assets"]["B08"] |= {"proj:shape": [2100, 2100]}
    archive.write_item(document)
    strips = archive.open().load("TEST", LoadRequest(bands=["B08"]), env).data.data
    assert strips.chunks[3] == (2100,)
    assert max(strips.chunks[2]) == 256
    np.testing.assert_array_equal(np.asarray(strips)[0, 0], values)


def test_few_blocks_of_files_elsewhere_share_no_tiles():
    assert chunks((12, 2, 1024, 1500), 2)[2:] == ((512, 512), (512, 512, 476))
    assert chunks((12, 2, 1024, 1500), 2, is_far=True)[2:] == ((1024,), (1024, 476))


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
