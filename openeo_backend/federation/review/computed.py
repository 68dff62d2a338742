"""What small graphs of standard processes must give, computed beside the back-end from the pixels that it loads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review import graphs
from openeo_backend.federation.review.place import Place, parsed
from openeo_backend.federation.review.rasters import NetCDF

Pixels = NDArray[np.float64]
Step = tuple[str, dict[str, Any]]

#: How far results may be from those computed here, as a share: back-ends compute with 32 bits.
CLOSE = 2e-3


def _first(values: Pixels) -> Pixels:
    return np.asarray(np.take_along_axis(values, np.argmax(np.isfinite(values), axis=0)[None], axis=0)[0])


def _count(values: Pixels) -> Pixels:
    return np.asarray(np.isfinite(values).sum(axis=0), dtype=np.float64)


#: What reducers make of the dates of a band, missing values left out.
REDUCERS: dict[str, Callable[[Pixels], Pixels]] = {
    "count": _count,
    "first": _first,
    "last": lambda values: _first(values[::-1]),
    "max": lambda values: np.nanmax(values, axis=0),
    "mean": lambda values: np.nanmean(values, axis=0),
    "median": lambda values: np.nanmedian(values, axis=0),
    "min": lambda values: np.nanmin(values, axis=0),
    "product": lambda values: np.nanprod(values, axis=0),
    "sd": lambda values: np.nanstd(values, axis=0, ddof=1),
    "sum": lambda values: np.nansum(values, axis=0),
    "variance": lambda values: np.nanvar(values, axis=0, ddof=1),
}


@dataclass(frozen=True)
class Case:
    """A graph, and what its result must be."""

    name: str
    graph: graphs.Graph
    problem: Callable[[NetCDF], str | None]
    """What is wrong with a result; None if nothing is."""


def cases(place: Place, base: NetCDF) -> Iterator[Case]:
    """Graphs whose results follow from `base`: the pixels of the place, which has dates and two bands or more."""
    dates, bands = place.of("temporal"), place.of("bands")
    one, two = (band(base, name, dates) for name in place.bands[:2])
    single = graphs.load(place, bands=list(place.bands[:1]))
    for name, function in REDUCERS.items():
        yield _picture(
            f"reduce_dimension of {dates} with {name}",
            [single, graphs.reduce(dates or "", name)],
            _quiet(function, one),
        )
    yield _picture("reduce_dimension with a chain of mean and sqrt", [single, ("reduce_dimension", _chained(dates))],
                   np.sqrt(_quiet(REDUCERS["mean"], one)))  # fmt: skip
    pair = graphs.load(place, bands=list(place.bands[:2]))
    difference = "reduce_dimension", {"dimension": bands, "reducer": _by_label(place)}
    yield _picture("array_element by label", [pair, difference, graphs.reduce(dates or "", "max")],
                   _quiet(REDUCERS["max"], two - one))  # fmt: skip
    most = graphs.reduce(bands or "", "max")
    yield _picture(f"reduce_dimension of {bands} with max", [pair, most, graphs.reduce(dates or "", "max")],
                   _quiet(REDUCERS["max"], np.fmax(one, two)))  # fmt: skip
    ordered = "apply_dimension", {"dimension": dates, "process": graphs.callback(("sort", {}))}
    yield _picture("apply_dimension with sort", [single, ordered, graphs.reduce(dates or "", "last")],
                   _quiet(REDUCERS["max"], one))  # fmt: skip
    half = "apply_dimension", {"dimension": dates, "process": graphs.callback(("quantiles", {"probabilities": [0.5]}))}
    yield _picture("apply_dimension with quantiles", [single, half], _quiet(REDUCERS["median"], one))
    yield from _in_time(place, base, single)
    yield from _by_common_name(place, base)


def _in_time(place: Place, base: NetCDF, single: Step) -> Iterator[Case]:
    """Dates and date-times in arguments, and aggregation in time."""
    longest: tuple[np.datetime64, ...] = max(base.times.values(), key=len)
    times = sorted(longest)
    first = str(times[0].astype("datetime64[D]"))
    after = str(times[0].astype("datetime64[D]") + 1)
    yield _count_of("filter_temporal with dates", [single, ("filter_temporal", {"extent": [first, after]})], 1)
    instants = [f"{first}T00:00:00Z", f"{after}T00:00:00Z"]
    yield _count_of("filter_temporal with date-times", [single, ("filter_temporal", {"extent": instants})], 1)
    start, end = (parsed(text) for text in place.interval)
    if start is not None and end is not None:
        days = [f"{start:%Y-%m-%d}", str(times[-1].astype("datetime64[D]") + 1)]
        load = graphs.load(replace(place, interval=(days[0], days[1])), bands=list(place.bands[:1]))
        yield _count_of("load_collection with dates", [load], len(times))
    months = len({str(time.astype("datetime64[M]")) for time in times})
    mean = graphs.callback(("mean", {}))
    span = np.arange(times[0].astype("datetime64[M]"), times[-1].astype("datetime64[M]") + 1)
    if months == len(span):
        monthly = "aggregate_temporal_period", {"period": "month", "reducer": mean}
        yield _count_of("aggregate_temporal_period by month", [single, monthly], months)
    last = str(times[-1].astype("datetime64[D]") + 1)
    halves = [[first, after], [after, last]] if len(times) > 1 else [[first, after]]
    chosen = (
        "aggregate_temporal",
        {"intervals": halves, "reducer": mean, "labels": [f"part{n}" for n in range(len(halves))]},
    )
    yield _count_of("aggregate_temporal with labels", [single, chosen], len(halves))


def _by_common_name(place: Place, base: NetCDF) -> Iterator[Case]:
    name, dates = place.bands[0], place.of("temporal")
    if common := place.common.get(name):
        steps = [graphs.load(place, bands=[common]), graphs.reduce(dates or "", "max")]
        expected = _quiet(REDUCERS["max"], band(base, name, dates))
        yield _picture(f"load_collection with the common name {common}", steps, expected)


def band(file: NetCDF, name: str, first: str | None = None) -> Pixels:
    """The pixels of a band, one of its dimensions first.

    :raises OpenEOError: FileContentInvalid where the file has no such band.
    :raises ValueError: where the band has no such dimension.
    """
    if name in file.values:
        found, dimensions = file.values[name], list(file.variables[name])
    else:
        labelled = next((key for key, labels in file.labels.items() if name in labels), None)
        if labelled is None or not file.cubes:
            raise OpenEOError("FileContentInvalid", f"The netCDF file has no band {name}.")
        cube = file.cubes[0]
        dimensions = list(file.variables[cube])
        axis = dimensions.index(file.variables[labelled][0])
        found = np.take(file.values[cube], file.labels[labelled].index(name), axis=axis)
        del dimensions[axis]
    return np.moveaxis(found, dimensions.index(first), 0) if first else found


def _picture(name: str, steps: list[Step], expected: Pixels) -> Case:
    def problem(file: NetCDF) -> str | None:
        found = file.values[file.cubes[0]].squeeze() if file.cubes else np.empty(0)
        wanted = expected.squeeze()
        if found.shape != wanted.shape:
            return f"gives {found.shape}, not {wanted.shape} pixels"
        known = np.isfinite(wanted)
        if not known.any():
            return None
        wrong = ~np.isclose(found[known], wanted[known], rtol=CLOSE, atol=CLOSE)
        return f"differs in {int(wrong.sum())} of {int(known.sum())} pixels" if wrong.any() else None

    return Case(name, graphs.chain(*steps, graphs.save("netCDF")), problem)


def _count_of(name: str, steps: list[Step], expected: int) -> Case:
    """A graph whose result has a number of dates."""

    def problem(file: NetCDF) -> str | None:
        sizes = list(file.dimensions.values())
        shape = file.values[file.cubes[0]].shape if file.cubes else ()
        if expected in (*sizes, *shape) or (expected == 1 and len(shape) == 2):
            return None
        return f"has the dimensions {dict(file.dimensions)}, none with {expected} dates"

    return Case(name, graphs.chain(*steps, graphs.save("netCDF")), problem)


def _quiet(function: Callable[[Pixels], Pixels], values: Pixels) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.where(np.isfinite(values).any(axis=0), function(values), np.nan)


def _chained(dimension: str | None) -> dict[str, Any]:
    nodes = {
        "mean": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}},
        "root": {"process_id": "sqrt", "arguments": {"x": {"from_node": "mean"}}, "result": True},
    }
    return {"dimension": dimension, "reducer": {"process_graph": nodes}}


def _by_label(place: Place) -> dict[str, Any]:
    def element(label: str) -> dict[str, Any]:
        return {"process_id": "array_element", "arguments": {"data": {"from_parameter": "data"}, "label": label}}

    nodes = {name: element(label) for name, label in zip(("one", "two"), place.bands[:2], strict=True)}
    arguments = {"x": {"from_node": "two"}, "y": {"from_node": "one"}}
    nodes["difference"] = {"process_id": "subtract", "arguments": arguments, "result": True}
    return {"process_graph": nodes}
