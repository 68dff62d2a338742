"""What several windows need is computed once, whichever thread comes first, within a budget."""

import threading
import weakref
from collections import Counter

import dask.array as da
import numpy as np
import pytest

from openeo_backend.cube import blocks, chain, fusion
from openeo_backend.cube.storage import Storage
from openeo_backend.formats.blocks import stream


def made(counts: Counter[tuple[int, ...]]) -> da.Array:
    lock = threading.Lock()

    def block(block_info: dict | None = None) -> np.ndarray:
        (y, y1), (x, x1) = block_info[None]["array-location"]
        with lock:
            counts[y, x] += 1
        return np.add.outer(np.arange(y, y1) * 10_000.0, np.arange(x, x1))

    return da.map_blocks(block, chunks=((1024,) * 3, (1024,) * 4), dtype=float, meta=np.empty((0, 0)))


def blurred(values: da.Array) -> da.Array:
    def sum_around(part: np.ndarray) -> np.ndarray:
        return part[2:-2, 2:-2] + part[:-4, :-4] + part[4:, 4:]

    padded = da.overlap.overlap(values, depth=2, boundary=0)
    return padded.map_blocks(sum_around, dtype=float, chunks=values.chunks, meta=np.empty((0, 0)))


def collected(values: da.Array, **options: int) -> np.ndarray:
    out = np.full(values.shape, np.nan)
    for found in stream(values, lambda part, place: part, lambda done, planned: None, **options):
        out[found.place] = found.result
    return out


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_around_each_block_are_computed_once(threads: int) -> None:
    counts: Counter[tuple[int, ...]] = Counter()
    result = collected(blurred(made(counts)), threads=threads)
    assert len(counts) == 12
    assert set(counts.values()) == {1}
    plain = np.pad(np.add.outer(np.arange(3072) * 10_000.0, np.arange(4096)), 2)
    np.testing.assert_array_equal(result, plain[2:-2, 2:-2] + plain[:-4, :-4] + plain[4:, 4:])


def test_beyond_the_budget_windows_compute_for_themselves() -> None:
    counts: Counter[tuple[int, ...]] = Counter()
    result = collected(blurred(made(counts)), threads=2, kept=10)
    assert max(counts.values()) > 1
    assert not np.isnan(result).any()


def test_a_failure_of_what_is_shared_ends_all_windows() -> None:
    def fail(part: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    values = made(Counter()).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="no"):
        collected(blurred(values), threads=2)


def test_windows_that_share_a_block_follow_each_other_where_order_does_not_matter() -> None:
    coarse = da.ones((2, 3), chunks=(1, 1))
    fine = da.map_blocks(
        lambda part: np.repeat(np.repeat(part, 1024, 0), 1024, 1), coarse, chunks=((1024,) * 2, (1024,) * 3), dtype="f8"
    )
    quarters = fine.rechunk((512, 512))
    every = [(row, column) for row in range(4) for column in range(6)]
    in_groups = sorted(every, key=lambda at: (at[0] // 2, at[1] // 2, at))
    in_squares = sorted(in_groups, key=lambda at: (at[1] // 4, at[0] // 2, at[1] // 2, at))
    for order, expected in (("rows", every), ("shared", in_groups), ("squares", in_squares)):
        found = stream(quarters, lambda part, place: part.shape, lambda *_: None, threads=1, budget=2**21, order=order)
        places = [(place[0].start // 512, place[1].start // 512) for place in (block.place for block in found)]
        assert places == expected


def test_a_result_in_planes_is_finished_plane_by_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)

    planes, held = list[weakref.ref](), set[int]()

    def fill(place: tuple[slice, ...], out: np.ndarray) -> None:
        held.add(sum(plane() is not None for plane in planes))
        out[:] = np.arange(place[0].start, place[0].stop, dtype="f4")[:, None, None]

    loaded = fusion.filled("loaded", ((3,), (40,), (50, 50)), np.dtype("f4"), fill)
    doubled, _ = blocks.computed([loaded], [Storage(np.dtype("f4"))], lambda x: x * 2)

    def finish(part: np.ndarray, place: tuple[slice, ...]) -> np.ndarray:
        planes.append(weakref.ref(part))
        return part.copy()

    found = list(stream(doubled, finish, lambda *_: None, apart={0: 1}, budget=40 * 50 * 4 * 12, threads=1))
    assert [(block.place[0].start, block.place[2].start) for block in found] == [
        (t, x) for x in (0, 50) for t in range(3)
    ]
    assert all(block.result.shape == (1, 40, 50) for block in found)
    assert all((block.result == 2 * block.place[0].start).all() for block in found)
    assert len(planes) == 6
    assert held == {0}
