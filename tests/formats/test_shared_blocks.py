"""What several windows need is computed once, whichever thread comes first, within a budget."""

import threading
from collections import Counter

import dask.array as da
import numpy as np
import pytest

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
