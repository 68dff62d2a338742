"""Windows of TIFF files read tile by tile, against GDAL."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from openeo_backend.catalog import tiles as module
from openeo_backend.catalog import unpack
from openeo_backend.catalog.raster import Raster, open_local, open_raster
from openeo_backend.catalog.tiff import NONE, Layout
from openeo_backend.catalog.tiles import Cache

SHAPE = (150, 170)
GRID = Affine(10, 0, 399960, 0, -10, 5300040)

#: Windows: everything, the inside of a tile, across tiles, along edges, single pixels, whole tiles.
WINDOWS = [(0, 0, *SHAPE), (3, 5, 9, 8), (60, 50, 71, 90), (140, 160, 10, 10), (0, 169, 150, 1), (149, 0, 1, 170)]
WINDOWS += [(64, 64, 64, 64), (32, 0, 32, 170), (0, 0, 1, 1), (100, 30, 50, 140)]


def _values(dtype: str, bands: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (bands, *SHAPE)
    if np.dtype(dtype).kind == "f":
        values = rng.normal(0, 1e3, shape).astype(dtype)
        values[:, 20:30, 20:40] = np.nan
        return values
    limits = np.iinfo(dtype)
    walk = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    walk[:, :, 40:] = (np.cumsum(rng.integers(-3, 4, shape), axis=2) + 100).astype(dtype)[:, :, 40:]
    return walk


def _write(path: Path, values: np.ndarray, **options: Any) -> Path:
    profile = {"driver": "GTiff", "count": len(values), "height": SHAPE[0], "width": SHAPE[1], "dtype": values.dtype}
    profile |= {"crs": "EPSG:32633", "transform": GRID, **options}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
    return path


def _tiled(path: Path) -> Raster:
    file = open_local(str(path))
    assert file is not None, "GDAL reads this file"
    return file


def _compare(path: Path, bands: Sequence[int], windows: Sequence[tuple[int, int, int, int]] = WINDOWS) -> None:
    """Read windows with and without knowing what others will ask for, against GDAL, bit by bit."""
    file = _tiled(path)
    with rasterio.open(path) as reference:
        for index, (row, column, height, width) in product(bands, windows):
            expected = reference.read(index, window=Window(column, row, width, height))
            window = slice(row, row + height), slice(column, column + width)
            for whole in (None, window, (slice(0, SHAPE[0]), slice(0, SHAPE[1]))):
                room = np.zeros((height + 2, width + 3), expected.dtype)  # a plane with other things around
                file.read(index, window, room[1:-1, 2:-1], whole)
                assert room[1:-1, 2:-1].tobytes() == expected.tobytes(), (index, window, whole)
                room[1:-1, 2:-1] = 0
                assert not room.any()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64", "int64"]
)
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_every_data_type_and_predictor(dtype: str, predictor: int, tmp_path: Path) -> None:
    if predictor == 3 and np.dtype(dtype).kind != "f":
        pytest.skip("for floating point numbers only")
    options = {"compress": "deflate", "predictor": predictor}
    values = _values(dtype, 2)
    _compare(_write(tmp_path / "a.tif", values[:1], tiled=True, blockxsize=64, blockysize=32, **options), [1])
    for order, together in product(("LITTLE", "BIG"), ("pixel", "band")):
        path = _write(tmp_path / "b.tif", values, blockysize=7, interleave=together, ENDIANNESS=order, **options)
        _compare(path, [1, 2], WINDOWS[:4])


@pytest.mark.parametrize("together", ["pixel", "band"])
@pytest.mark.parametrize("compress", ["deflate", "none"])
@pytest.mark.parametrize("block", [(16, 16), (128, 48), (None, 1), (None, 40), (None, 150)])
def test_every_shape_of_tiles(block: tuple[int | None, int], compress: str, together: str, tmp_path: Path) -> None:
    width, height = block
    options: dict[str, Any] = {"blockysize": height, "compress": compress, "interleave": together}
    options |= {"tiled": True, "blockxsize": width} if width else {}
    options |= {"BIGTIFF": "YES"} if height == 40 else {}
    path = _write(tmp_path / "a.tif", _values("uint16", 3), **options)
    if (block, compress, together) == ((None, 150), "none", "pixel"):  # GDAL makes smaller strips of those
        assert open_local(str(path)) is None
    else:
        _compare(path, [1, 3])


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", None), ("uint16", 7), ("float32", np.nan), ("int16", -9999)])
def test_tiles_that_are_not_there(dtype: str, nodata: float | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "count": 2, "height": SHAPE[0], "width": SHAPE[1], "dtype": dtype, "nodata": nodata}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "SPARSE_OK": True}
    profile |= {"crs": "EPSG:32633", "transform": GRID}
    with rasterio.open(path, "w", **profile, interleave="band") as file:
        file.write(np.full((64, 64), 5, dtype), 1, window=Window(64, 0, 64, 64))
    _compare(path, [1, 2])


def test_overviews_and_masks_are_not_taken_for_the_image(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "a.tif", _values("uint16", 1), tiled=True, blockxsize=32, blockysize=32, compress="deflate"
    )
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
        file.write_mask(np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 2 == 0)
    _compare(path, [1])


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "lzw"},
        {"compress": "jpeg"},
        {"nbits": 12},
        {"nodata": 0.5},
    ],
)
def test_gdal_reads_what_is_stored_otherwise(options: dict[str, Any], tmp_path: Path) -> None:
    values = (_values("uint16", 1) & 0x0FFF).astype("uint8" if options.get("compress") == "jpeg" else "uint16")
    path = _write(tmp_path / "a.tif", values, **options)
    assert open_local(str(path)) is None
    file = open_raster(str(path))
    with rasterio.open(path) as reference:
        np.testing.assert_array_equal(file.read(1, (slice(3, 9), slice(4, 90))), reference.read(1)[3:9, 4:90])


# -- files that are not what they say ------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2}
    return _write(tmp_path / "a.tif", _values("uint16", 1), **options)


EVERYTHING = slice(0, SHAPE[0]), slice(0, SHAPE[1])


def _places(path: Path) -> tuple[list[int], list[int]]:
    layout = _tiled(path).tiles.layout  # type: ignore[union-attr]
    return [int(place) for place in layout.offsets], [int(size) for size in layout.sizes]


@pytest.mark.parametrize("seed", range(3))
def test_damage_at_the_end_of_tiles_is_seen(seed: int, plain: Path) -> None:
    """GDAL gives the last pixels some value where damage makes a tile longer."""
    (offset, *_), (size, *_) = _places(plain)
    content = bytearray(plain.read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(40):
        changed = bytearray(content)
        changed[offset + size - 1 - rng.integers(5, 40)] ^= 1 << int(rng.integers(0, 8))
        plain.write_bytes(changed)
        with pytest.raises(RasterioIOError, match="row 0 and column 0 cannot be read"):
            _tiled(plain).read(1, EVERYTHING)


def test_a_truncated_file(plain: Path) -> None:
    offsets, _ = _places(plain)
    os.truncate(plain, max(offsets) + 20)
    file = _tiled(plain)
    with pytest.raises(RasterioIOError, match="row 128 and column 128"):
        file.read(1, EVERYTHING)
    file.read(1, (slice(0, 64), slice(0, 170)))
    with rasterio.open(plain) as reference, pytest.raises(RasterioIOError):
        reference.read(1)


@pytest.mark.parametrize("place", ["first", "middle", "checksum"])
def test_damaged_tiles(place: str, plain: Path) -> None:
    (offset, *_), (size, *_) = _places(plain)
    content = bytearray(plain.read_bytes())
    at = {"first": offset, "middle": offset + size // 2, "checksum": offset + size - 1}[place]
    content[at] ^= 0xFF
    plain.write_bytes(content)
    with rasterio.open(plain) as reference, pytest.raises(RasterioIOError):
        reference.read(1)
    with pytest.raises(RasterioIOError, match="row 0 and column 0 cannot be read"):
        _tiled(plain).read(1, EVERYTHING)


@pytest.mark.parametrize("share", [0.5, 5e5])
def test_a_size_that_lies(share: float, plain: Path) -> None:
    """A tile is said to be shorter, or longer than the file."""
    _, sizes = _places(plain)
    lie = int(sizes[0] * share)
    kind = "<u2" if np.array(sizes, "<u2").tobytes() in (content := plain.read_bytes()) else "<u4"
    lie = min(lie, np.iinfo(kind).max)
    plain.write_bytes(content.replace(np.array(sizes, kind).tobytes(), np.array([lie, *sizes[1:]], kind).tobytes()))
    assert _places(plain)[1][0] == lie
    with pytest.raises(RasterioIOError, match="row 0 and column 0"):
        _tiled(plain).read(1, EVERYTHING)
    with rasterio.open(plain) as reference, pytest.raises(RasterioIOError):
        reference.read(1)


def test_what_inflates_to_more_than_a_tile_is_refused(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb: a tile of 8 kB whose bytes would inflate to megabytes."""
    offsets, sizes = _places(plain)
    bomb = zlib.compress(bytes(20_000_000), 9)
    content = plain.read_bytes()
    where = content.find(np.array(offsets, "<u4").tobytes())
    plain.write_bytes(content[:where] + np.array([len(content)], "<u4").tobytes() + content[where + 4 :] + bomb)
    inflated: list[int] = []
    real = unpack.isal_zlib.decompressobj

    class Inflater:
        def __init__(self) -> None:
            self._own = real()

        def decompress(self, data: bytes, size: int) -> bytes:
            inflated.append(size)
            return self._own.decompress(data, size)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._own, name)

    monkeypatch.setattr(unpack.isal_zlib, "decompressobj", Inflater)
    with pytest.raises(RasterioIOError, match="does not end where it should"):
        _tiled(plain).read(1, (slice(0, 64), slice(0, 64)))
    assert len(zlib.decompressobj().decompress(bomb[: sizes[0]])) > 1_000_000
    assert inflated == [64 * 64 * 2, 2 * 64 * 64 * 2]
    assert not _tiled(plain).read(1, (slice(0, 20), slice(0, 64)), whole=(slice(0, 20), slice(0, 64))).any()
    assert inflated[2:] == [20 * 64 * 2]


def test_a_file_that_is_replaced_is_not_read(plain: Path) -> None:
    file = _tiled(plain)
    content = plain.read_bytes()
    os.replace(plain, plain.with_name("old.tif"))
    plain.write_bytes(content)
    with pytest.raises(RasterioIOError, match="has changed"):
        file.read(1, EVERYTHING)


# -- tiles that several blocks need ----------------------------------------------------------------------


def test_tiles_are_unpacked_once_for_all_windows_and_threads(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _tiled(plain)
    unpacked = _count_unpacked(monkeypatch)
    starts = range(0, 128, 16)
    windows = [(slice(row, row + 16), slice(column, column + 16)) for row in starts for column in starts]
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for i in range(number, len(windows), 4):
            found[i] = file.read(1, windows[i], whole=EVERYTHING)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(unpacked) == 4 * 64 * 64 * 2
    with rasterio.open(plain) as reference:
        whole = reference.read(1)
    for i, window in enumerate(windows):
        np.testing.assert_array_equal(found[i], whole[window])


def test_the_cache_is_bounded() -> None:
    cache, made = Cache(1000), []

    def get(key: int) -> np.ndarray:
        return cache.get(key, 20, lambda: made.append(key) or _blank(key))

    for key in (1, 2, 1, 3, 1, 2):  # room for two
        assert (get(key) == key).all()
    assert made == [1, 2, 3, 2]


def test_a_tile_that_is_read_as_a_whole_is_kept_no_longer(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGE", 64 * 64 * 2)  # tiles have pages of their own
    file, corner = _tiled(plain), (slice(0, 16), slice(0, 16))
    file.tiles.keeps = True
    with rasterio.open(plain) as reference:
        expected = reference.read(1)
    np.testing.assert_array_equal(file.read(1, corner), expected[corner])
    unpacked = _count_unpacked(monkeypatch)
    np.testing.assert_array_equal(file.read(1, corner), expected[corner])
    assert not any(unpacked)
    np.testing.assert_array_equal(file.read(1, EVERYTHING), expected)
    unpacked.clear()
    np.testing.assert_array_equal(file.read(1, corner), expected[corner])
    assert any(unpacked)


def test_a_tile_that_failed_is_tried_again() -> None:
    cache = Cache(1000)

    def fail() -> module.Unpacked:
        raise OSError("not now")

    with pytest.raises(OSError, match="not now"):
        cache.get(1, 20, fail)
    assert cache.get(1, 20, lambda: _blank(1)).all()


@pytest.mark.parametrize("options", [{"compress": "deflate", "predictor": 2}, {}], ids=["deflate", "plain"])
def test_a_tile_is_unpacked_as_far_as_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Rows of 128 bytes: those before the end of a window, each once; all where little would be left."""
    values = _values("uint16", 2)
    file = _tiled(_write(tmp_path / "a.tif", values, tiled=True, blockxsize=64, blockysize=64, **options))
    unpacked = _count_unpacked(monkeypatch)
    for rows, taken in ((slice(10, 20), 20), (slice(0, 20), 0), (slice(5, 40), 20), (slice(30, 50), 24)):
        unpacked.clear()
        found = file.read(2, (rows, slice(3, 60)), whole=EVERYTHING)
        np.testing.assert_array_equal(found, values[1, rows, 3:60])
        assert sum(unpacked) == taken * 2 * 128


def _blank(value: int) -> module.Unpacked:
    """A tile of 20 x 20 bytes that is not there."""
    nothing = np.zeros(1, "u8")
    layout = Layout((20, 20), (20, 20), True, 1, True, np.dtype("u1"), NONE, 1, nothing, nothing)
    made = module.Unpacked(None, layout, 20, value)
    assert made.nbytes == 400
    return made


def _count_unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the bytes of tiles counted that are unpacked from now on."""
    unpacked: list[int] = []
    take = unpack.Rows.take

    def counting(rows: unpack.Rows, until: int) -> bytes:
        found = take(rows, until)
        unpacked.append(len(found))
        return found

    monkeypatch.setattr(unpack.Rows, "take", counting)
    return unpacked
