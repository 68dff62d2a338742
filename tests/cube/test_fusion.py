"""Chains of steps give what the same steps give one after the other, and take no memory for what lies between."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask._task_spec import Task
from dask.local import get_sync

from openeo_backend.cube import Cube, Dimension, blocks, chain, fusion
from openeo_backend.cube.blank import blank
from openeo_backend.cube.nodata import put_missing
from openeo_backend.cube.pixels import PixelArray, floating

SHAPE = (4, 3, 40, 50)


def made(place: Sequence[slice], out: np.ndarray) -> None:
    """Numbers that tell where they are; some of them missing (0)."""
    index = np.ogrid[tuple(place)]
    out[:] = (index[0] * 7 + index[1] * 31 + index[2] * 3 + index[3] * 5) % 97


def cube(chunks: tuple[tuple[int, ...], ...] = ((4,), (3,), (16, 24), (30, 20))) -> Cube:
    values = fusion.filled("made", chunks, np.dtype("uint16"), made)
    names = ("t", "bands", "y", "x")
    labels = {
        "t": np.array(["2025-05-01", "2025-05-11", "2025-05-21", "2025-06-01"], "datetime64[ns]"),
        "bands": np.array(["a", "b", "c"]),
        "y": np.arange(40.0)[::-1],
        "x": np.arange(50.0),
    }
    array = xr.DataArray(values, dims=names, coords={name: (name, labels[name]) for name in names})
    kinds = {"t": "temporal", "bands": "bands", "y": "spatial", "x": "spatial"}
    dimensions = tuple(Dimension(name, kinds[name], axis=name if name in "xy" else None) for name in names)
    return Cube(data=array, dimensions=dimensions, nodata=0)


def plain() -> np.ndarray:
    """The same numbers as floats, NaN where they are missing."""
    out = np.empty(SHAPE, "uint16")
    made([slice(0, size) for size in SHAPE], out)
    return np.where(out == 0, np.nan, out).astype("float32")


def computed(array: da.Array, is_fused: bool) -> np.ndarray:
    keys = list(array.__dask_keys__())
    flat = [key for key in np.array(keys, dtype=object).reshape(-1, array.ndim + 1)]
    names = [(array.name, *(int(part) for part in key[1:])) for key in flat]
    graph = dict(array.__dask_graph__())
    parts = get_sync(fusion.fuse(graph, names) if is_fused else graph, names)
    out = np.empty(array.shape, array.dtype)
    starts = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in array.chunks]
    for name, part in zip(names, parts, strict=True):
        out[tuple(slice(start[i], start[i + 1]) for start, i in zip(starts, name[1:], strict=True))] = part
    return out


def ndvi(data: PixelArray) -> Any:
    near, red = floating(data[2]), floating(data[0])
    return (near - red) / (near + red)


def largest(data: PixelArray) -> Any:
    return np.fmax.reduce(floating(data.values), axis=0)


def spread(data: PixelArray) -> PixelArray:
    return PixelArray(floating(data.values) - floating(data.values).mean(axis=0))


def double(x: np.ndarray) -> Any:
    return floating(x) * 2


def same(x: np.ndarray) -> Any:
    return x


def test_a_chain_gives_what_numpy_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "STRIP", 500)
    found = blocks.reduce(blocks.reduce(cube(), ndvi, ["bands"]), largest, ["t"]).data.data
    with np.errstate(all="ignore"):
        numbers = plain()
        expected = np.fmax.reduce((numbers[:, 2] - numbers[:, 0]) / (numbers[:, 2] + numbers[:, 0]), axis=0)
    np.testing.assert_allclose(computed(found, is_fused=True), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_give_the_same_fused_and_not(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "STRIP", 300)
    monkeypatch.setattr(chain, "PLANES_BYTES", 0 if seed % 2 else 1 << 30)
    choose = random.Random(seed)
    one = cube(
        choose.choice([((4,), (3,), (16, 24), (30, 20)), ((4,), (3,), (40,), (50,)), ((4,), (3,), (1, 39), (50,))])
    )
    for _ in range(choose.randint(1, 5)):
        name = choose.choice(
            [dimension.name for dimension in one.dimensions if dimension.name in ("t", "bands")] or [""]
        )
        step = choose.choice(["same", "double", "both", "reduce", "along", "groups"]) if name else "double"
        if step == "reduce":
            one = blocks.reduce(one, largest, [name])
        elif step == "along":
            one = blocks.along(one, spread, name)
        elif step == "groups":
            size = one.data.sizes[name]
            one = blocks.grouped(one, largest, name, [range(size), [0]], np.array(["p", "q"]))
        elif step == "both":
            one = blocks.combine([one, blocks.apply(one, double)], lambda x, y: floating(x) + y)
        else:
            one = blocks.apply(one, {"same": same, "double": double}[step])
    np.testing.assert_array_equal(computed(one.data.data, is_fused=True), computed(one.data.data, is_fused=False))


def test_a_chain_is_one_task_per_block() -> None:
    found = blocks.reduce(blocks.reduce(cube(), ndvi, ["bands"]), largest, ["t"]).data.data
    keys = [(found.name, y, x) for y in range(2) for x in range(2)]
    graph = fusion.fuse(dict(found.__dask_graph__()), keys)
    assert set(graph) == set(keys)


def test_what_two_steps_need_is_computed_once() -> None:
    calls: list[tuple[int, ...]] = []

    def count(place: Sequence[slice], out: np.ndarray) -> None:
        calls.append(tuple(part.start for part in place))
        made(place, out)

    values = fusion.filled("counted", ((4,), (3,), (40,), (50,)), np.dtype("uint16"), count)
    loaded = cube(((4,), (3,), (40,), (50,)))
    loaded = loaded.patch(data=loaded.data.copy(data=values))
    both = blocks.combine(
        [blocks.apply(loaded, double), blocks.apply(loaded, same)], lambda x, y: floating(x) + floating(y)
    )
    computed(both.data.data, is_fused=True)
    assert calls == [(0, 0, 0, 0)]


def test_blocks_are_loaded_into_the_same_memory_but_results_are_not() -> None:
    places: list[int] = []

    def note(place: Sequence[slice], out: np.ndarray) -> None:
        places.append(out.ctypes.data)
        made(place, out)

    chunks = ((4,), (3,), (20, 20), (50,))
    loaded = cube(chunks)
    loaded = loaded.patch(data=loaded.data.copy(data=fusion.filled("noted", chunks, np.dtype("uint16"), note)))
    found = computed(blocks.apply(loaded, same).data.data, is_fused=True)
    assert len(set(places)) == 1
    expected = np.empty(SHAPE, "uint16")
    made([slice(0, size) for size in SHAPE], expected)
    np.testing.assert_array_equal(found, expected)


def test_other_tasks_stay_as_they_are() -> None:
    shifted = da.roll(blocks.apply(cube(), double).data.data, 1, axis=3)
    keys = [key for key in shifted.__dask_graph__() if key[0] == shifted.name]
    fused = fusion.fuse(dict(shifted.__dask_graph__()), keys)
    assert any(isinstance(node, Task) and not isinstance(node.func, chain.Chain) for node in fused.values())
    expected = np.roll(np.nan_to_num(plain() * 2), 1, axis=3)
    np.testing.assert_array_equal(np.nan_to_num(np.asarray(shifted.compute(scheduler="sync"))), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_blanks_are_nan_and_nothing_else_changes(dtype: str) -> None:
    values = np.array([[1.5, -2, np.inf], [np.nan, 0, 3]], dtype)
    mask = np.array([[False, True, False], [True, False, True]])
    blank(values, mask)
    np.testing.assert_array_equal(values, np.array([[1.5, np.nan, np.inf], [np.nan, 0, np.nan]], dtype))


def test_large_blocks_are_loaded_plane_by_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians over time need all dates of a band, but one band at a time."""
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)
    places: list[tuple[int, int]] = []

    def note(place: Sequence[slice], out: np.ndarray) -> None:
        places.append((out.shape[0], out.shape[1]))
        made(place, out)

    chunks = ((4,), (3,), (40,), (50,))
    loaded = cube(chunks)
    loaded = loaded.patch(data=loaded.data.copy(data=fusion.filled("noted", chunks, np.dtype("uint16"), note)))
    found = computed(blocks.reduce(loaded, largest, ["t"]).data.data, is_fused=True)
    assert places == [(4, 1)] * 3
    np.testing.assert_array_equal(found, np.fmax.reduce(plain(), axis=0))


def test_a_mask_without_bands_goes_along_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)
    loaded = cube(((4,), (3,), (40,), (50,)))
    dark = blocks.reduce(loaded, lambda data: np.asarray(floating(data[1]) < 40), ["bands"])
    masked = put_missing(loaded, dark.data == 1)
    found = computed(masked.data.data, is_fused=True)
    numbers = plain()
    expected = np.where((numbers[:, 1] < 40)[:, None] | np.isnan(numbers), 0, numbers)
    np.testing.assert_array_equal(found, expected)


def test_a_chain_that_shrinks_is_computed_by_planes_where_the_rest_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[tuple[int, ...]] = []

    def note(place: Sequence[slice], out: np.ndarray) -> None:
        filled.append(out.shape)
        made(place, out)

    monkeypatch.setattr(chain, "PLANES_BYTES", 0)
    values = fusion.filled("noted", ((4,), (3,), (40,), (50,)), np.dtype("uint16"), note)
    loaded = cube(((4,), (3,), (40,), (50,)))
    loaded = loaded.patch(data=loaded.data.copy(data=values))
    smallest = blocks.reduce(loaded, lambda data: PixelArray(data.values)[0], ["t"])
    mixed = blocks.reduce(smallest, largest, ["bands"])
    found = computed(mixed.data.data, is_fused=True)
    assert filled == [(4, 1, 40, 50)] * 3
    np.testing.assert_array_equal(found, computed(mixed.data.data, is_fused=False))


def test_a_chain_goes_on_where_axes_are_turned_and_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands before dates, and both as one axis: large blocks are still loaded plane by plane."""
    monkeypatch.setattr(chain, "PLANES_BYTES", 10_000)
    loaded = cube(((4,), (3,), (40,), (50,)))
    values = blocks.along(loaded, lambda data: PixelArray(floating(data.values)[1:2]), "t").data.data
    together = fusion.merge_axes(values.transpose(1, 0, 2, 3), 0)
    (task,) = fusion.fuse(dict(together.__dask_graph__()), [(together.name, 0, 0, 0)]).values()
    assert isinstance(task.func, chain.Chain)
    assert task.func.loaded([]) == 3 * 40 * 50 * 4 + 4 * 40 * 50 * 2, "what is turned, and one band of what makes it"
    np.testing.assert_array_equal(computed(together, is_fused=True), plain()[1])
    np.testing.assert_array_equal(computed(together, is_fused=False), plain()[1])


def test_planes_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)
    loaded = cube(((4,), (3,), (40,), (50,)))
    array = blocks.reduce(loaded, largest, ["t"]).data.data
    (task,) = fusion.fuse(dict(array.__dask_graph__()), [(array.name, 0, 0, 0)]).values()
    planes = chain.ByPlanes(task.func, frozenset({0}))()
    assert isinstance(planes, chain.Planes)
    expected = np.fmax.reduce(plain(), axis=0)
    whole = slice(0, 3), slice(0, 40), slice(0, 50)
    for number, (place, plane) in enumerate(planes.parts(whole, {0: 1})):
        assert place == (slice(number, number + 1), *whole[1:])
        np.testing.assert_array_equal(plane, expected[number : number + 1])
    assert isinstance(chain.ByPlanes(task.func, frozenset({1}))(), np.ndarray)


@pytest.mark.parametrize("strip", [1 << 20, 500, 1])
def test_planes_are_cut_at_multiples_of_rows(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    """Where the block begins does not matter; strips may be longer or shorter than the parts."""
    monkeypatch.setattr(chain, "PLANES_BYTES", 1000)
    monkeypatch.setattr(chain, "STRIP", strip)
    loaded = cube(((4,), (3,), (40,), (50,)))
    array = blocks.reduce(loaded, largest, ["t"]).data.data
    (task,) = fusion.fuse(dict(array.__dask_graph__()), [(array.name, 0, 0, 0)]).values()
    planes = chain.ByPlanes(task.func, frozenset({0}))()
    assert isinstance(planes, chain.Planes)
    found, places = np.full((3, 40, 50), -1, "float32"), []
    for place, part in planes.parts((slice(6, 9), slice(0, 40), slice(100, 150)), {0: 1, 1: 32, 2: 32}):
        columns = slice(place[2].start - 100, place[2].stop - 100)
        found[place[0].start - 6, place[1], columns] = part[0]
        places.append((place[0].start, place[1], place[2].start, place[2].stop))
    edges = (100, 128), (128, 150)
    assert places == [(band, slice(0, 40), *edge) for band in (6, 7, 8) for edge in edges], "along the longest axis"
    np.testing.assert_array_equal(found, np.fmax.reduce(plain(), axis=0))
