"""Collections: the list, the documents, and what the federation asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from openeo_backend.federation.collection_rules import HARMONISED, problems
from openeo_backend.federation.problem import Problem, objects, relations
from openeo_backend.federation.review.check import (
    AGGREGATOR,
    FEDERATION_API,
    FEDERATION_COLLECTIONS,
    OPENEO_API_PROFILE,
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
from openeo_backend.federation.review.checks.processes import paged, unpaged
from openeo_backend.federation.review.node import Node, decoded

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

#: Collections whose documents are looked at; of more, the first ones.
_MOST = 60

_QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"


@check("API-300", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_collections(node: Node) -> Verdict:
    """GET /collections answers with arrays of collections and links"""
    document = node.get_document("/collections")
    wrong = [name for name in ("collections", "links") if not isinstance(document.get(name), list)]
    return judged([f"`{name}` is no array" for name in wrong], f"{len(node.collections)} collections are listed.")


@check("API-301", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_collections_to_all(node: Node) -> Verdict:
    """GET /collections works without a token"""
    status = node.get("/collections").status
    return judged([] if status == 200 else [f"It answers with {status}"], "It answers.", expected="200")


@check("API-303", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def collections_have_stac_version(node: Node) -> Verdict:
    """Collections are of STAC 0.9.0 or later"""
    return _by_rules(node, "API-303", "All are.", expected="0.9.0 or later, preferably 1.0.0")


@check("API-304", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def conforms_to_stac_api(node: Node) -> Verdict:
    """Collections are served as the STAC API - Collections says"""
    wanted = "https://api.stacspec.org/v1.0.0/collections"
    classes = node.get_document("/").get("conformsTo")
    if not isinstance(classes, list):
        classes = node.get_document("/conformance").get("conformsTo") or ()
    problems = [] if wanted in classes else [f"{wanted} is not among the conformance classes"]
    links = {str(link.get("rel")) for link in objects(node.get_document("/collections").get("links"))}
    problems += [f"/collections has no link `{rel}`" for rel in ("self", "root") if rel not in links]
    return judged(problems, "They are.")


@check("API-305", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def pages_of_collections(node: Node) -> Verdict:
    """GET /collections answers a limit with a page and a link to the next, or with all"""
    return paged(node, "/collections", "collections")


@check("API-306", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_all_collections(node: Node) -> Verdict:
    """All collections are listed where no limit is asked for"""
    return unpaged(node, "/collections", "collections")


@check("API-307", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def listed_collections_are_stac(node: Node) -> Verdict:
    """Collections in the list have what STAC requires"""
    required = ("stac_version", "id", "description", "license", "extent", "links")
    wrong = [
        f"{entry.get('id')}: {name} is missing" for entry in node.collections for name in required if name not in entry
    ]
    wrong += [
        f"{entry.get('id')}: {problem.message}"
        for entry in node.collections
        for problem in problems(entry)
        if problem.id == "API-307"
    ]
    return judged(wrong, f"All {len(node.collections)} have it.", expected=", ".join(required))


@check("API-308", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def links_licences(node: Node) -> Verdict:
    """Licences that SPDX does not name are linked"""
    return _by_rules(node, "API-308", "All are.")


@check("API-309", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def titles_collections(node: Node) -> Verdict:
    """Every collection has a title and keywords"""
    return _by_rules(node, "API-309", "All have both.")


@check("API-311", profile="LP", kind="anonymous", source=FEDERATION_API)
def flags_collections(node: Node) -> Verdict:
    """Experimental and deprecated collections are marked, with the STAC extension version"""
    return _by_rules(node, "API-311", "Flags are used as the extension says.")


@check("API-313", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def collections_have_no_nulls(node: Node) -> Verdict:
    """Missing members of collections are left out, not null"""
    return _by_rules(node, "API-313", "None is null.")


@check("API-320", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def serves_each_collection(node: Node) -> Verdict:
    """Every listed collection has a document of its own"""
    wrong = []
    for id in _ids(node):
        reply = node.get(f"/collections/{id}")
        document = decoded(reply)
        if reply.status != 200 or not isinstance(document, dict):
            wrong.append(f"/collections/{id} answers with {reply.status}")
        elif document.get("id") != id:
            wrong.append(f"/collections/{id} has the id {document.get('id')!r}")
    return judged(wrong, "All have.", expected="200 and the same id")


@check("API-321", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def collections_are_stac(node: Node) -> Verdict:
    """Collections are valid STAC with cube:dimensions and summaries"""
    return _by_rules(node, "API-321", "All are.")


@check("API-322", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def serves_collections_to_all(node: Node) -> Verdict:
    """GET /collections/{id} works without a token"""
    refused = [id for id in _ids(node) if node.get(f"/collections/{id}").status in (401, 403)]
    return judged([f"/collections/{id} needs a token" for id in refused], "It does.", expected="200")


@check("API-324", profile="LP", kind="anonymous", source=FEDERATION_API)
def names_collections(node: Node) -> Verdict:
    """Ids of collections follow the federation's convention, or a common name says what they are"""
    return _by_rules(node, "API-324", "All do.", expected="capitals and digits parted by _")


@check("API-325", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_extensions(node: Node) -> Verdict:
    """Collections list all STAC extensions that they use"""
    return _by_rules(node, "API-325", "All do.")


@check("API-327", profile="LP", kind="anonymous", source=FEDERATION_API)
def names_hosts(node: Node) -> Verdict:
    """Every collection names the back-end as the provider that hosts it"""
    return _by_rules(node, "API-327", "All do.", expected="a provider with the role host, named as the back-end")


@check("API-330", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def has_queryables(node: Node) -> Verdict:
    """Queryables are JSON Schemas"""
    wrong = []
    for id in _ids(node):
        reply = node.get(f"/collections/{id}/queryables")
        schema = decoded(reply)
        if reply.status != 200 or not isinstance(schema, dict) or "$schema" not in schema:
            wrong.append(f"those of {id} are no JSON Schema ({reply.status})")
            continue
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            wrong.append(f"those of {id} are not valid: {error.message[:100]}")
    return judged(wrong, "They are.")


@check("COL-0a", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def complements_the_federation(node: Node) -> Verdict:
    """Collections add to what the federation has: no id is taken, but those of harmonised datasets"""
    known = node.declares("federation", "collections")
    taken = (set(map(str, known)) if isinstance(known, list) else set(_FEDERATED)) - set(HARMONISED)
    found = [f"{id} is there already" for id in _ids(node) if id in taken]
    if found and known is None:
        return warned(
            f"As far as this list goes: {listed(found)}.",
            expected="other data; name the ids of the federation in [federation] collections to compare with them",
        )
    return judged(found, "No id is taken.", expected="other data, or a harmonised id")


@check("COL-0b", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def collections_are_stable(node: Node) -> Verdict:
    """There are collections that are not experimental: only those are considered"""
    documents = _documents(node)
    stable = [id for id, document in documents.items() if document.get("experimental") is not True]
    if not stable:
        return failed("No collection is stable.", expected="collections without `experimental: true`")
    rest = sorted(set(documents) - set(stable))
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
    return _by_rules(node, "COL-1", "All collections name both.")


@check("COL-2", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def tells_limits(node: Node) -> Verdict:
    """Description and extents state what is missing of the original collection"""
    found = _by_rules(node, "COL-2", "Extents and descriptions are there.")
    limitations = node.declares("collections", "limitations")
    if found.status == "pass" and limitations:
        return declared(f"The provider says: {limitations}")
    return found


@check("COL-3", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS)
def follows_missions(node: Node) -> Verdict:
    """Where the time has no end, 99 % of the new items come within 48 hours"""
    going = [id for id, document in _documents(node).items() if _is_open(document)]
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
    return _by_rules(node, "COL-4", "All are.")


@check("COL-5", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def collections_are_rich(node: Node) -> Verdict:
    """Collections tell platform, instrument, resolution, and how to cite them"""
    return _by_rules(node, "COL-5", "All do.")


@check("COL-6", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def harmonises_names(node: Node) -> Verdict:
    """Datasets that the federation has harmonised have its ids or common names"""
    return _by_rules(node, "COL-6", "Nothing looks like one that has not.", expected=", ".join(HARMONISED))


@check("COL-7", profile="LP", kind="declared", source=FEDERATION_COLLECTIONS)
def collections_are_constant(node: Node) -> Verdict:
    """Ids, dimensions and bands are those of the report before"""
    before = node.declares("previous", "metadata", "collections")
    if not isinstance(before, Mapping):
        return not_applicable("Not declared: report in [previous], an earlier JSON report to compare with.")
    now = {id: shape(document) for id, document in _documents(node).items()}
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
    return _by_rules(node, "COL-8", "No deprecated collection lacks a successor.")


@check("COL-10", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def flags_commercial_data(node: Node) -> Verdict:
    """Data that must be ordered, or that the provider calls commercial, are marked by the STAC extension order"""
    named = node.declares("collections", "commercial")
    wrong = []
    seen = False
    for id, document in _documents(node).items():
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
    return _by_rules(node, "COL-11", "All are.")


@check("COL-12", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def spells_ids(node: Node) -> Verdict:
    """Ids are capitals and digits parted by _: provider, platform, level, version, resolution ..."""
    return _by_rules(node, "COL-12", "All are.")


@check("COL-13", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def has_bands_of_l2a(node: Node) -> Verdict:
    """SENTINEL2_L2A has the bands and angles that it has everywhere"""
    if not any({document.get("id"), document.get("common_name")} & {"SENTINEL2_L2A"} for document in _of(node)):
        return not_applicable("No collection is SENTINEL2_L2A.")
    return _by_rules(node, "COL-13", "It has.")


@check("COL-14", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS, level="recommended")
def summarises_common_properties(node: Node) -> Verdict:
    """Properties that many collections share, such as eo:cloud_cover, have their common names"""
    return _by_rules(node, "COL-14", "All are in the summaries.")


@check("COL-15", profile="LP", kind="anonymous", source=FEDERATION_COLLECTIONS)
def marks_experiments(node: Node) -> Verdict:
    """Experimental collections are marked as version 1.2.0 of the STAC extension version says"""
    return _by_rules(node, "COL-15", "All that are experimental say so.")


@check("MERGE-LICENSE", profile="LP", kind="anonymous", source=AGGREGATOR)
def licences_merge(node: Node) -> Verdict:
    """Licences are texts: a list removes the collection for everybody"""
    return _by_rules(node, "MERGE-LICENSE", "All are.")


@check("MERGE-DIMENSIONS", profile="LP", kind="anonymous", source=AGGREGATOR, level="recommended")
def dimensions_merge(node: Node) -> Verdict:
    """Dimensions are called x, y, t and bands: others vanish in merging"""
    return _by_rules(node, "MERGE-DIMENSIONS", "All are.")


@check("MERGE-SUMMARIES", profile="LP", kind="anonymous", source=AGGREGATOR)
def summaries_merge(node: Node) -> Verdict:
    """Summaries are lists, or ranges with min and max: one other loses all of a collection"""
    return _by_rules(node, "MERGE-SUMMARIES", "All are.")


@check("MERGE-BANDS", profile="LP", kind="anonymous", source=AGGREGATOR)
def bands_merge(node: Node) -> Verdict:
    """eo:bands have agreed common names, and the order of the dimension"""
    return _by_rules(node, "MERGE-BANDS", "All have.")


@check("MERGE-FEDERATION", profile="LP", kind="anonymous", source=AGGREGATOR, level="recommended")
def leaves_federation_alone(node: Node) -> Verdict:
    """Collections do not set federation:backends: the aggregator does"""
    return _by_rules(node, "MERGE-FEDERATION", "None does.")


@check("MERGE-QUERYABLES", profile="LP", kind="anonymous", source=AGGREGATOR)
def queryables_pass(node: Node) -> Verdict:
    """Queryables are neither compressed nor redirected: the aggregator copies all headers"""
    id = next(iter(_ids(node)), None)
    if id is None:
        return not_applicable("There are no collections.")
    path = f"/collections/{id}/queryables"
    reply = node.get(path, headers={"Accept-Encoding": "gzip, deflate, br"})
    wrong = []
    if reply.headers.get("content-encoding", "identity") != "identity":
        wrong.append(f"they come with Content-Encoding {reply.headers['content-encoding']}")
    if not reply.url.endswith(path):
        wrong.append(f"they are redirected to {reply.url}")
    return judged(wrong, "They are not.")


def shape(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What must not change of a collection: the names of its dimensions, and its bands."""
    dimensions = document.get("cube:dimensions")
    dimensions = dimensions if isinstance(dimensions, Mapping) else {}
    bands = [d.get("values") for d in dimensions.values() if isinstance(d, Mapping) and d.get("type") == "bands"]
    return {"dimensions": sorted(map(str, dimensions)), "bands": [b for b in (bands or [None])[0] or ()]}


def _by_rules(node: Node, id: str, holds: str, *, expected: str | None = None) -> Verdict:
    """The verdict of the rules for collections that have the id of the requirement."""
    documents = _documents(node)
    if not documents:
        return not_applicable("There are no collections.")
    title = node.get_document("/").get("title")
    found: dict[str, list[Problem]] = node.once(
        "problems of collections",
        lambda: {name: problems(doc, title if isinstance(title, str) else None) for name, doc in documents.items()},
    )
    hit = [(name, problem) for name, all in found.items() for problem in all if problem.id == id]
    node.begin()
    for name in dict.fromkeys(name for name, _ in hit) or [next(iter(documents))]:
        node.get(f"/collections/{name}")
    severe = [f"{name}: {problem.message}" for name, problem in hit if problem.level == "required"]
    if severe:
        return failed(listed(severe), expected=expected or next(p.hint for _, p in hit if p.level == "required"))
    if hit:
        return warned(listed([f"{name}: {problem.message}" for name, problem in hit]), expected=hit[0][1].hint)
    return passed(holds)


def _ids(node: Node) -> list[str]:
    return [str(entry["id"]) for entry in node.collections if isinstance(entry.get("id"), str)][:_MOST]


def _documents(node: Node) -> dict[str, dict[str, Any]]:
    """The documents of collections by id; where one cannot be had, the entry of the list."""
    found: dict[str, dict[str, Any]] = {}
    for entry in node.collections:
        id = entry.get("id")
        if isinstance(id, str) and len(found) < _MOST:
            document = decoded(node.get(f"/collections/{id}"))
            found[id] = document if isinstance(document, dict) and "id" in document else entry
    return found


def _of(node: Node) -> Iterator[dict[str, Any]]:
    yield from _documents(node).values()


def _is_open(document: Mapping[str, Any]) -> bool:
    intervals: Iterable[Any] = document["extent"]["temporal"]["interval"]
    return any(isinstance(interval, list) and interval[1:] == [None] for interval in intervals)
