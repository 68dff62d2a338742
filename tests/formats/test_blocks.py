"""Streaming: every block computed once, in order, with bounded memory."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr

from openeo_backend.cube import Cube
from openeo_backend.formats.blocks import stream
from openeo_backend.formats.writing import write_result

Make = Callable[..., Cube]


def quiet(done: int, planned: int) -> None:
    """Progress that nobody watches."""


def counted(shape: tuple[int, ...], chunks: tuple, dtype: str = "f4") -> tuple[da.Array, Counter]:
    """A lazy array whose blocks count how often they are computed."""
    seen: Counter = Counter()

    def make(block_info: dict | None = None) -> np.ndarray:
        place = block_info[None]["array-location"]
        seen[tuple(start for start, _ in place)] += 1
        sizes = [stop - start for start, stop in place]
        rows = np.arange(place[-2][0], place[-2][1])[:, None] % 251
        columns = np.arange(place[-1][0], place[-1][1]) % 239
        return np.broadcast_to(rows + columns, sizes).astype(dtype)

    array = da.map_blocks(make, chunks=da.core.normalize_chunks(chunks, shape), dtype=dtype, meta=np.empty((0,), dtype))
    return array, seen


def opened() -> list[str]:
    """What is open in this process."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the list itself
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


def as_cube(make_cube: Make, array: da.Array, dims: str) -> Cube:
    stand_in = make_cube(np.broadcast_to(np.zeros((), array.dtype), array.shape), dims)
    return stand_in.patch(data=xr.DataArray(array, dims=stand_in.data.dims, coords=stand_in.data.coords))


@pytest.mark.parametrize(("side", "is_small"), [(200, True), (3000, False)])
def test_an_only_small_window_is_computed_by_who_asks(side: int, is_small: bool) -> None:
    """A larger one is given to a thread, so that its progress is told meanwhile."""
    array, _ = counted((1, side, side), (1, side, side))
    told: list[tuple[float, int]] = []
    threads: list[int] = []

    def finish(values: np.ndarray, place: tuple[slice, ...]) -> float:
        threads.append(threading.get_ident())
        return float(values[0, 7, 9])

    parts = [block.result for block in stream(array, finish, lambda done, planned: told.append((done, planned)))]
    assert parts == [16.0]
    assert told[-1] == (1, 1)
    assert (threads == [threading.get_ident()]) is is_small


@pytest.mark.parametrize("format", ["GTiff", "netCDF", "Zarr"])
def test_every_block_is_computed_once(format: str, make_cube: Make, tmp_path: Path) -> None:
    array, seen = counted((3, 2, 900, 700), ((1, 2), 1, (100, 800), 256))
    write_result(as_cube(make_cube, array, "tbyx"), format, {}, tmp_path, "a", quiet)
    assert len(seen) == 2 * 2 * 2 * 3
    assert set(seen.values()) == {1}


def test_what_dates_share_is_computed_once(make_cube: Make, tmp_path: Path) -> None:
    array, seen = counted((6, 600, 600), (6, 300, 300))
    monthly = da.stack([array[:3].max(axis=0), array[3:].max(axis=0)])
    write_result(as_cube(make_cube, monthly, "tyx"), "GTiff", {}, tmp_path, "a", quiet)
    assert set(seen.values()) == {1}


def test_windows_come_in_order_and_progress_is_told(make_cube: Make) -> None:
    array, _ = counted((1, 3000, 2500), (1, 700, 1000))
    told: list[tuple[int, int]] = []
    places = [b.place[1:] for b in stream(array, lambda values, place: values.shape, lambda *p: told.append(p))]
    starts = [(y.start, x.start) for y, x in places]
    assert starts == sorted(starts)
    assert sorted({y for y, _ in starts}) == [0, 700, 1400, 2100], "the last rows join the chunk before them"
    assert told == [(i + 1, 12) for i in range(12)]


def test_squares_of_windows_follow_each_other() -> None:
    """Four windows of a square, then the next square; a square at the edge may have fewer."""
    array = da.zeros((3, 5), chunks=1, dtype="f4")
    found = stream(array, lambda *_: None, quiet, threads=1, budget=1, order="squares")
    told = [int("".join(str(place.start) for place in block.place)) for block in found]
    assert told == [0, 1, 10, 11, 2, 3, 12, 13, 20, 21, 22, 23, 4, 14, 24]


def test_results_of_windows_that_overtook_others_wait_in_a_file(tmp_path: Path) -> None:
    """The first of three windows takes until the others are done: what these came to lies in files without a name."""
    done, files = Event(), list[str]()

    def compute(part: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        number = block_info[None]["chunk-location"][1]
        assert number or done.wait(20)
        return part + number

    def finish(values: np.ndarray, place: tuple[slice, ...]) -> bytes:
        if place[1].start == 2 * 1024:
            done.set()
        if not place[1].start:
            files.extend(opened())
        return values.tobytes()

    array = da.map_blocks(compute, da.zeros((1024, 3 * 1024), chunks=1024, dtype="u1"), dtype="u1", meta=np.empty((0,)))
    results = [block.result for block in stream(array, finish, quiet, threads=2, folder=tmp_path)]
    assert results == [bytes([number]) * 1024**2 for number in range(3)]
    assert any(name.startswith(str(tmp_path)) for name in files)
    assert not any(name.startswith(str(tmp_path)) for name in opened())


def test_small_chunks_are_read_together() -> None:
    array, seen = counted((1, 1000, 1000), (1, 100, 100))
    blocks = list(stream(array, lambda values, place: values.copy(), quiet))
    assert len(blocks) == 1
    np.testing.assert_array_equal(blocks[0].result, array.compute())
    assert len(seen) == 100


@pytest.mark.parametrize(("rows", "columns", "height"), [(256, 4096, 256), (64, 4096, 256), (256, 1024, 1024)])
def test_windows_of_wide_chunks_are_low(rows: int, columns: int, height: int) -> None:
    """They have no more pixels than others."""
    array, _ = counted((1024, 8192), (rows, columns), "u1")
    blocks = list(stream(array, lambda values, place: values.shape, quiet, threads=2))
    assert {block.result for block in blocks} == {(height, columns)}


def test_windows_over_the_budget_are_split_along_other_axes() -> None:
    array, seen = counted((8, 256, 256), (2, 256, 256))
    budget = 4 * 256 * 256 * 4 * 3
    blocks = list(stream(array, lambda values, place: values.shape, quiet, threads=2, budget=budget))
    assert [b.result for b in blocks] == [(4, 256, 256), (4, 256, 256)]
    assert set(seen.values()) == {1}


def test_what_progress_raises_stops_the_computation(make_cube: Make, tmp_path: Path) -> None:
    class Cancelled(Exception):
        """The user went away."""

    def cancel(done: int, planned: int) -> None:
        if done == 2:
            raise Cancelled

    array, seen = counted((1, 20480, 1024), (1, 1024, 1024), "u1")
    with pytest.raises(Cancelled):
        write_result(as_cube(make_cube, array, "byx"), "GTiff", {}, tmp_path, "a", cancel)
    assert len(seen) < 12
    assert not list(tmp_path.iterdir())


def test_a_failing_block_fails_the_writing(make_cube: Make, tmp_path: Path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("in a block")

    array = da.ones((1, 600, 600), chunks=300).map_blocks(fail, dtype="f8", meta=np.empty((0, 0, 0)))
    with pytest.raises(ZeroDivisionError):
        write_result(as_cube(make_cube, array, "byx"), "netCDF", {}, tmp_path, "a", quiet)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("chunk", "size"), [(1000, 8192), pytest.param(1024, 16384, marks=pytest.mark.full)])
def test_large_results_do_not_fill_the_memory(chunk: int, size: int, make_cube: Make, tmp_path: Path) -> None:
    array, _ = counted((1, size, size), (1, chunk, chunk), "u2")
    cube = as_cube(make_cube, array, "byx")
    tracemalloc.start()
    try:
        (asset,) = write_result(cube, "GTiff", {}, tmp_path, "large", quiet)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80e6, f"the image has {size * size * 2 / 1e6} MB"
    with rasterio.open(asset.path) as source:
        window = rasterio.windows.Window(5000, 7000, 1500, 40)
        expected = np.add.outer(np.arange(7000, 7040) % 251, np.arange(5000, 6500) % 239)
        np.testing.assert_array_equal(source.read(1, window=window), expected)
        assert source.overviews(1)[-1] == size // 512
