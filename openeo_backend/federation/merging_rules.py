"""What the federation's aggregator loses when it merges the collections of several back-ends.

It reads few members, each in one form; what has another form is dropped, often together with what is beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openeo_backend.catalog.vocabulary import COMMON_NAMES
from openeo_backend.federation.problem import Problem, band_labels, kind_of, listing, objects, short


def _license(document: Mapping[str, Any]) -> Iterator[Problem]:
    license = document.get("license")
    if not isinstance(license, str):
        message = f"The licence is {short(license)}: the aggregator may drop the collection, of all back-ends."
        yield Problem("MERGE-LICENSE", "required", message, "Give the SPDX identifier as text, or 'proprietary'.")


def _dimensions(document: Mapping[str, Any]) -> Iterator[Problem]:
    dimensions = document.get("cube:dimensions")
    if not isinstance(dimensions, Mapping):
        return
    called: dict[Any, list[str]] = {}
    for name, dimension in dimensions.items():
        called.setdefault(kind_of(dimension), []).append(str(name))
    for name, kind in (("x", "x"), ("y", "y"), ("t", "temporal"), ("bands", "bands")):
        if kind in called and name not in called[kind]:
            message = f"The dimension {kind} is called {listing(called[kind])}; the aggregator merges '{name}' only."
            hint = f"Call it '{name}' in cube:dimensions of the STAC catalog."
            yield Problem("MERGE-DIMENSIONS", "recommended", message, hint)


def _summaries(document: Mapping[str, Any]) -> Iterator[Problem]:
    summaries = document.get("summaries")
    for name, value in summaries.items() if isinstance(summaries, Mapping) else ():
        if str(name) in ("federation:backends", "provider:backend"):
            message = f"The summary {name} is set by the aggregator."
            yield Problem("MERGE-FEDERATION", "recommended", message, "Leave it out.")
        elif isinstance(value, list):
            if not value:
                message = f"The summary {name} is an empty list."
                yield Problem("API-321", "required", message, "Leave summaries without values out.")
        elif not isinstance(value, Mapping) or not {"min", "max"} <= set(value):
            message = f"The summary {name} is neither a list nor an object with min and max: {short(value)}."
            hint = (
                "Give ranges under minimum, maximum, min and max, all else as lists; one other summary loses them all."
            )
            yield Problem("MERGE-SUMMARIES", "required", message, hint)
    if "federation:backends" in document:
        yield Problem(
            "MERGE-FEDERATION", "recommended", "federation:backends is set by the aggregator.", "Leave it out."
        )


def _bands(document: Mapping[str, Any]) -> Iterator[Problem]:
    summaries = document.get("summaries")
    given = summaries.get("eo:bands") if isinstance(summaries, Mapping) else None
    labels = band_labels(document)
    if given is None:
        if labels:
            message = "There are no eo:bands in the summaries: the aggregator merges no other description of bands."
            yield Problem("MERGE-BANDS", "recommended", message, "Add eo:bands beside the bands of STAC 1.1.")
        return
    for index, band in enumerate(given if isinstance(given, list) else [given]):
        wrong = _wrong(band, index)
        if wrong:
            hint = f"Agreed common names: {', '.join(sorted(COMMON_NAMES))}. One band that is wrong loses them all."
            yield Problem("MERGE-BANDS", "required", f"{wrong}.", hint)
    names = [band.get("name") for band in objects(given)]
    if labels and names != labels:
        message = (
            f"eo:bands ({listing(names)}) and cube:dimensions ({listing(labels)}) name other bands or another order."
        )
        yield Problem("MERGE-BANDS", "recommended", message, "List the same bands in the same order in both.")


def _wrong(band: Any, index: int) -> str | None:
    """Why a band is not one to the aggregator."""
    name = band.get("name") if isinstance(band, Mapping) else None
    if not isinstance(name, str):
        return f"The name of band {index + 1} is {short(name)}"
    common = band.get("common_name")
    if common is not None and (not isinstance(common, str) or common not in COMMON_NAMES):
        return f"The common name {short(common)} of the band {name[:60]} is not one that is agreed"
    for number in ("center_wavelength", "full_width_half_max", "solar_illumination"):
        value = band.get(number, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{number} of the band {name[:60]} is {short(value)}"
    return None


RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (_license, _dimensions, _summaries, _bands)
