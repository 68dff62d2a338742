"""Collections as the federation wants them: complementary, constant, named alike, described richly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openeo_backend.federation.collection_rules import HARMONISED
from openeo_backend.federation.problem import relations
from openeo_backend.federation.review.check import (
    FEDERATION_COLLECTIONS,
    Verdict,
    check,
    declared,
    failed,
    judged,
    listed,
    not_applicable,
    passed,
    warned,
)
from openeo_backend.federation.review.documents import by_rules, documents, ids, shape
from openeo_backend.federation.review.node import Node

#: Collections of CDSE itself, which others need not offer again, besides the harmonised ones.
_FEDERATED = frozenset(
    [
        *("SENTINEL3_OLCI_L2_LAND", "SENTINEL3_OLCI_L2_WATER", "SENTINEL3_SLSTR", "SENTINEL3_SLSTR_L2_LST"),
        *("SENTINEL3_SYN_L2_AOD", "SENTINEL3_SYN_L2_SYN", "SENTINEL3_SYN_L2_VG1", "SENTINEL3_SYN_L2_VG10"),
        *("SENTINEL_5P_L2", "COPERNICUS_30", "COPERNICUS_90", "COPERNICUS_PLANT_PHENOLOGY_INDEX"),
        *("COPERNICUS_VEGETATION_INDICES", "COPERNICUS_VEGETATION_PHENOLOGY_PRODUCTS_SEASON1"),
        *("COPERNICUS_VEGETATION_PHENOLOGY_PRODUCTS_SEASON2", "ESA_WORLDCOVER_10M_2020_V1"),
        *("ESA_WORLDCOVER_10M_2021_V2", "SENTINEL1_GLOBAL_MOSAICS", "SENTINEL2_GLOBAL_MOSAICS", "LANDSAT8_L2"),
    ]
)


@check("COL-0a", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def complements_the_federation(node: Node) -> Verdict:
    """Collections add to what the federation has: no id is taken, but those of harmonised datasets"""
    known = node.declares("federation", "collections")
    taken = (set(map(str, known)) if isinstance(known, list) else set(_FEDERATED)) - set(HARMONISED)
    found = [f"{id} is there already" for id in ids(node) if id in taken]
    if found and known is None:
        return warned(
            f"As far as this list goes: {listed(found)}.",
            expected="other data; name the ids of the federation in [federation] collections to compare with them",
        )
    return judged(found, "No id is taken.", expected="other data, or a harmonised id")


@check("COL-0b", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def collections_are_stable(node: Node) -> Verdict:
    """There are collections that are not experimental: only those are considered"""
    everything = documents(node)
    stable = [id for id, document in everything.items() if document.get("experimental") is not True]
    if not stable:
        return failed("No collection is stable.", expected="collections without `experimental: true`")
    rest = sorted(set(everything) - set(stable))
    return passed(f"{len(stable)} are stable" + (f"; experimental: {', '.join(rest)}." if rest else "."))


@check("COL-0c", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS, level="recommended")
def covers_archives(node: Node) -> Verdict:
    """Collections hold a whole archive, or all of a region"""
    whole = node.declares("collections", "whole_archive")
    if whole is None:
        return not_applicable("Not declared: whole_archive in [collections].")
    return declared("The provider says so.") if whole else failed("The provider says that they do not.")


@check("COL-1", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def names_providers(node: Node) -> Verdict:
    """Providers with the roles host and producer are named"""
    return by_rules(node, "COL-1", "All collections name both.")


@check("COL-2", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def tells_limits(node: Node) -> Verdict:
    """Description and extents state what is missing of the original collection"""
    found = by_rules(node, "COL-2", "Extents and descriptions are there.")
    limitations = node.declares("collections", "limitations")
    if found.status == "pass" and limitations:
        return declared(f"The provider says: {limitations}")
    return found


@check("COL-3", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS)
def follows_missions(node: Node) -> Verdict:
    """Where the time has no end, 99 % of the new items come within 48 hours"""
    going = [id for id, document in documents(node).items() if _is_open(document)]
    if not going:
        return not_applicable("No temporal extent is open.")
    hours = node.declares("collections", "latency_hours")
    if hours is None:
        return not_applicable(f"Not declared: latency_hours in [collections], for {', '.join(going[:6])}.")
    if not isinstance(hours, int | float) or hours > 48:
        return failed(f"The provider says {hours} hours.", expected="at most 48 hours")
    return declared(f"The provider says {hours} hours.")


@check("COL-4", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def collections_are_valid(node: Node) -> Verdict:
    """Collections are valid STAC, with the extensions they use"""
    return by_rules(node, "COL-4", "All are.")


@check("COL-5", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def collections_are_rich(node: Node) -> Verdict:
    """Collections tell platform, instrument, resolution, and how to cite them"""
    return by_rules(node, "COL-5", "All do.")


@check("COL-6", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def harmonises_names(node: Node) -> Verdict:
    """Datasets that the federation has harmonised have its ids or common names"""
    return by_rules(node, "COL-6", "Nothing looks like one that has not.", expected=", ".join(HARMONISED))


@check("COL-7", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS)
def collections_are_constant(node: Node) -> Verdict:
    """Ids, dimensions and bands are those of the report before"""
    before = node.declares("previous", "metadata", "collections")
    if not isinstance(before, Mapping):
        return not_applicable("Not declared: report in [previous], an earlier JSON report to compare with.")
    now = {id: shape(document) for id, document in documents(node).items()}
    wrong = []
    for id, earlier in before.items():
        if id not in now:
            wrong.append(f"{id} is gone")
        elif now[id]["dimensions"] != earlier.get("dimensions"):
            wrong.append(f"the dimensions of {id} were {earlier.get('dimensions')}, are {now[id]['dimensions']}")
        elif gone := [band for band in earlier.get("bands") or () if band not in now[id]["bands"]]:
            wrong.append(f"{id} lost the bands {', '.join(gone)}")
    return judged(wrong, f"All {len(before)} are as they were.")


@check("COL-8", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def announces_removal(node: Node) -> Verdict:
    """Deprecated collections link what replaces them"""
    return by_rules(node, "COL-8", "No deprecated collection lacks a successor.")


@check("COL-10", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def flags_commercial_data(node: Node) -> Verdict:
    """Data that must be ordered, or that the provider calls commercial, are marked by the STAC extension order"""
    named = node.declares("collections", "commercial")
    wrong = []
    seen = False
    for id, document in documents(node).items():
        summaries = document.get("summaries")
        status = document.get("order:status") or (
            summaries.get("order:status") if isinstance(summaries, dict) else None
        )
        is_named = isinstance(named, list) and id in named
        seen = seen or bool(status) or is_named
        if is_named and not status:
            wrong.append(f"{id} has no order:status")
        if (is_named or status) and "license" not in relations(document):
            wrong.append(f"{id} has no link to its licence")
    if not seen:
        return not_applicable("No collection has special conditions.")
    return judged(wrong, "They are.", expected="order:status and a link to the conditions")


@check("COL-11", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def describes_dimensions(node: Node) -> Verdict:
    """Dimensions are described by the STAC extension datacube, with labels"""
    return by_rules(node, "COL-11", "All are.")


@check("COL-12", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def spells_ids(node: Node) -> Verdict:
    """Ids are capitals and digits parted by _: provider, platform, level, version, resolution ..."""
    return by_rules(node, "COL-12", "All are.")


@check("COL-13", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def has_bands_of_l2a(node: Node) -> Verdict:
    """SENTINEL2_L2A has the bands and angles that it has everywhere"""
    if not any(
        {document.get("id"), document.get("common_name")} & {"SENTINEL2_L2A"} for document in documents(node).values()
    ):
        return not_applicable("No collection is SENTINEL2_L2A.")
    return by_rules(node, "COL-13", "It has.")


@check("COL-14", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def summarises_common_properties(node: Node) -> Verdict:
    """Properties that many collections share, such as eo:cloud_cover, have their common names"""
    return by_rules(node, "COL-14", "All are in the summaries.")


@check("COL-15", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def marks_experiments(node: Node) -> Verdict:
    """Experimental collections are marked as version 1.2.0 of the STAC extension version says"""
    return by_rules(node, "COL-15", "All that are experimental say so.")


def _is_open(document: Mapping[str, Any]) -> bool:
    intervals: Iterable[Any] = document["extent"]["temporal"]["interval"]
    return any(isinstance(interval, list) and interval[1:] == [None] for interval in intervals)
