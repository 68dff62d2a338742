"""Laws that hold whatever the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cube_support import DATA, X, Y, call_process, chain, make, node, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openeo_backend.cube import Cube
from openeo_backend.cube.labels import labels_json
from openeo_backend.processes.registry import Registry

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SUM = chain(("sum", {"data": DATA}))


@st.composite
def cubes(draw: Any, days: Any = st.integers(0, 400)) -> Cube:
    """Integer cubes with gaps on irregular dates, lazy or not."""
    chosen = sorted(draw(st.sets(days, min_size=1, max_size=6)))
    dates = [str(np.datetime64("2020-01-01") + day) for day in chosen]
    shape = (len(dates), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    numbers = draw(st.lists(st.integers(0, 255), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    stored = np.array(numbers, np.uint8).reshape(shape)
    ys, xs = [10.0 * (shape[1] - row) for row in range(shape[1])], [10.0 * column for column in range(shape[2])]
    return make(stored, nodata=255, lazy=draw(st.booleans()), t=dates, y=ys, x=xs)


def same(one: Cube, two: Cube) -> None:
    assert one.names == two.names
    for name in one.names:
        assert labels_json(one.labels(name)) == labels_json(two.labels(name))
    np.testing.assert_allclose(values(one), values(two), rtol=1e-5)


@quick
@given(cube=cubes())
def test_applying_twice_is_applying_the_chain(registry: Registry, cube: Cube) -> None:
    def call(data: Cube, *nodes: Any) -> Cube:
        return call_process(registry, "apply", data=data, process=chain(*nodes))

    double, more = ("multiply", {"x": X, "y": 2}), ("subtract", {"x": X, "y": 7})
    same(call(call(cube, double), more), call(cube, double, ("subtract", {"x": node(0), "y": 7})))


@quick
@given(cube=cubes(), period=st.sampled_from(["day", "week", "dekad", "month", "season", "tropical-season", "year"]))
def test_sums_of_periods_add_up(registry: Registry, cube: Cube, period: str) -> None:
    parts = call_process(registry, "aggregate_temporal_period", data=cube, period=period, reducer=SUM)
    total = call_process(registry, "reduce_dimension", data=cube, dimension="t", reducer=SUM)
    summed = call_process(registry, "reduce_dimension", data=parts, dimension="t", reducer=SUM)
    same(total, summed)


@quick
@given(cube=cubes())
def test_flattening_is_undone_by_unflattening(registry: Registry, cube: Cube) -> None:
    flat = call_process(registry, "flatten_dimensions", data=cube, dimensions=["y", "t"], target_dimension="f")
    back = call_process(registry, "unflatten_dimension", data=flat, dimension="f", target_dimensions=["a", "b"])
    np.testing.assert_array_equal(values(back), values(cube).swapaxes(0, 1))


@quick
@given(one=cubes(st.integers(0, 30)), two=cubes(st.integers(0, 30)))
def test_merging_commutes_with_a_symmetric_resolver(registry: Registry, one: Cube, two: Cube) -> None:
    def merge(first: Cube, second: Cube) -> Cube:
        resolver = chain(("max", {"data": [X, Y]}))
        return call_process(registry, "merge_cubes", cube1=first, cube2=second, overlap_resolver=resolver)

    same(merge(one, two), merge(two, one))
    same(merge(one, one), one)


@quick
@given(cube=cubes())
def test_lazy_and_numpy_backed_cubes_give_the_same(registry: Registry, cube: Cube) -> None:
    other = cube.patch(data=cube.data.compute() if cube.is_lazy else cube.data.chunk())
    calls: list[Callable[[Cube], Cube]] = [
        lambda data: call_process(registry, "reduce_dimension", data=data, dimension="t", reducer=SUM),
        lambda data: call_process(registry, "apply", data=data, process=chain(("gt", {"x": X, "y": 100}))),
        lambda data: call_process(registry, "trim_cube", data=data),
    ]
    for call in calls:
        first, second = call(cube), call(other)
        assert first.data.dtype == second.data.dtype
        assert first.nodata == second.nodata
        same(first, second)
