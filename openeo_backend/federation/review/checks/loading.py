"""Loading collections: their dimensions, where and when there are data."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    FEDERATION_COLLECTIONS,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
    warned,
)
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.place import DAYS, Place, around, bbox, interval, place_of, resolution, written
from openeo_backend.federation.review.rasters import NetCDF, read_netcdf
from openeo_backend.net.door import Reply

#: Codes and words by which back-ends say that there are no data.
NOTHING = ("nodataavailable", "no data", "nodata", "no items", "no products", "no scenes", "empty")


@check("API-310", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def extents_are_true(node: Node) -> Verdict:
    """There are data at both ends of the extents of collections"""
    problems, doubts, tried = [], [], 0
    for id in node.trial.collections:
        document, place = node.collection(id), place_of(node, id)
        limits, metres = bbox(document), resolution(document)
        for what, box in (
            ("south-west", around(limits[0], limits[1], metres, limits)),
            ("north-east", around(limits[2], limits[3], metres, limits)),
        ):
            reply = _load(node, replace(place, box=box))
            tried += 1
            if reply.status >= 400 and answers.refusal("", reply, range(400, 500)):
                problems.append(f"{id} in the {what} is answered with {reply.status}")
        for what, dates in _ends(interval(document)):
            reply = _load(node, replace(place, interval=dates))
            tried += 1
            if reply.status >= 400 and answers.refusal("", reply, range(400, 500)):
                problems.append(f"{id} at its {what} is answered with {reply.status}")
            elif reply.status >= 400 or _is_empty(reply):
                doubts.append(f"{id} has no data in its middle at its {what}")
    if doubts and not problems:
        return warned("; ".join(doubts[:6]) + ".", expected="data near both ends, or extents that say less")
    return judged(problems, f"{tried} loads at the ends of {len(node.trial.collections)} collections.",
                  expected="data, or an error that says that there are none")  # fmt: skip


@check("API-326", profile="L1", kind="job", source=OPENEO_API_PROFILE)
def dimensions_are_true(node: Node) -> Verdict:
    """Collections have the dimensions that they announce"""
    problems: list[str] = []
    for id in node.trial.collections:
        place, reply = node.trial.loaded(id)
        if reply.status != 200:
            problems += answers.status(f"Loading {id}", reply, 200)
            continue
        file = read_netcdf(reply.content)
        problems += [f"{id} announces {name}, and has {', '.join(file.dimensions)}" for name in _missing(place, file)]
    shown = ", ".join(node.trial.collections)
    return judged(problems, f"Loaded: {shown}.", expected="the dimensions of `cube:dimensions`")


@check("COL-9b", profile="LP", kind="job", source=FEDERATION_COLLECTIONS)
def collections_load(node: Node) -> Verdict:
    """Loading a collection gives its data"""
    problems: list[str] = []
    empty: list[str] = []
    for id in node.trial.collections:
        place, reply = node.trial.loaded(id)
        if reply.status != 200:
            problems += answers.status(f"Loading {id}", reply, 200)
            continue
        file = read_netcdf(reply.content)
        problems += [f"{id} lacks the band {band}" for band in place.bands if band not in _bands(file)]
        problems += [] if file.cubes else [f"{id} has no variable with data"]
        if file.cubes and not any(np.isfinite(file.values[name]).any() for name in file.cubes):
            empty.append(id)
    if empty and not problems:
        return warned(
            f"Only missing pixels where the review looked: {', '.join(empty)}.", expected="pixels with values"
        )
    return judged(problems, f"Data of {', '.join(node.trial.collections)}.", expected="pixels with values of each band")


def _load(node: Node, place: Place) -> Reply:
    return node.trial.compute(graphs.chain(graphs.load(place), graphs.save("netCDF")))


def _ends(limits: tuple[datetime | None, datetime | None]) -> list[tuple[str, tuple[str, str]]]:
    """The first and the last weeks of an interval; open ends are left out."""
    start, end = limits
    found, weeks = [], timedelta(days=DAYS)
    if start is not None:
        found.append(("start", (written(start), written(start + weeks))))
    if end is not None:
        first = max(start, end - weeks) if start is not None else end - weeks
        found.append(("end", (written(first), written(end + timedelta(seconds=1)))))
    return found


def _is_empty(reply: Reply) -> bool:
    file = read_netcdf(reply.content)
    return not any(np.isfinite(file.values[name]).any() for name in file.cubes)


def _missing(place: Place, file: NetCDF) -> list[str]:
    """Announced dimensions that a file lacks. Bands may be variables, and a single date an attribute of none."""
    names = set(file.dimensions)
    missing = [name for name, kind in place.dimensions.items() if name not in names and kind != "bands"]
    bands = place.of("bands")
    if bands and bands not in names and place.bands and not set(place.bands) <= _bands(file):
        missing.append(bands)
    return missing


def _bands(file: NetCDF) -> set[str]:
    return set(file.variables) | {label for labels in file.labels.values() for label in labels}
