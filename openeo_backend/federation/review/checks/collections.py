"""Collections: the list and the documents, as the API and its profiles want them."""

from __future__ import annotations

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from openeo_backend.federation.collection_rules import problems
from openeo_backend.federation.problem import objects
from openeo_backend.federation.review.check import (
    FEDERATION_API,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    failed,
    judged,
    listed,
    warned,
)
from openeo_backend.federation.review.checks.processes import paged, unpaged
from openeo_backend.federation.review.documents import by_rules, ids
from openeo_backend.federation.review.node import Node, decoded


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
    return by_rules(node, "API-303", "All are.", expected="0.9.0 or later, preferably 1.0.0")


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
    expected = ", ".join(required)
    wrong = [
        f"{entry.get('id')}: {name} is missing" for entry in node.collections for name in required if name not in entry
    ]
    if wrong:
        return failed(listed(wrong), expected=expected)
    found = {
        str(entry.get("id")): problem.message.rstrip(".")
        for entry in node.collections
        for problem in problems(entry)
        if problem.id == "API-307"
    }
    if all("'type' is a required property" in message for message in found.values()) and found:
        return warned(f"`type` is missing in {', '.join(found)}: STAC 1.0.0 wants it.", expected='"type": "Collection"')
    good = f"All {len(node.collections)} have it."
    return judged([f"{id}: {message}" for id, message in found.items()], good, expected=expected)


@check("API-308", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def links_licences(node: Node) -> Verdict:
    """Licences that SPDX does not name are linked"""
    return by_rules(node, "API-308", "All are.")


@check("API-309", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def titles_collections(node: Node) -> Verdict:
    """Every collection has a title and keywords"""
    return by_rules(node, "API-309", "All have both.")


@check("API-311", profile="LP", kind="anonymous", source=FEDERATION_API)
def flags_collections(node: Node) -> Verdict:
    """Experimental and deprecated collections are marked, with the STAC extension version"""
    return by_rules(node, "API-311", "Flags are used as the extension says.")


@check("API-313", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def collections_have_no_nulls(node: Node) -> Verdict:
    """Missing members of collections are left out, not null"""
    return by_rules(node, "API-313", "None is null.")


@check("API-320", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def serves_each_collection(node: Node) -> Verdict:
    """Every listed collection has a document of its own"""
    wrong = []
    for id in ids(node):
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
    return by_rules(node, "API-321", "All are.")


@check("API-322", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def serves_collections_to_all(node: Node) -> Verdict:
    """GET /collections/{id} works without a token"""
    refused = [id for id in ids(node) if node.get(f"/collections/{id}").status in (401, 403)]
    return judged([f"/collections/{id} needs a token" for id in refused], "It does.", expected="200")


@check("API-324", profile="LP", kind="anonymous", source=FEDERATION_API)
def names_collections(node: Node) -> Verdict:
    """Ids of collections follow the federation's convention, or a common name says what they are"""
    return by_rules(node, "API-324", "All do.", expected="capitals and digits parted by _")


@check("API-325", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_extensions(node: Node) -> Verdict:
    """Collections list all STAC extensions that they use"""
    return by_rules(node, "API-325", "All do.")


@check("API-327", profile="LP", kind="anonymous", source=FEDERATION_API)
def names_hosts(node: Node) -> Verdict:
    """Every collection names the back-end as the provider that hosts it"""
    return by_rules(node, "API-327", "All do.", expected="a provider with the role host, named as the back-end")


@check("API-330", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="recommended")
def has_queryables(node: Node) -> Verdict:
    """Queryables are JSON Schemas"""
    wrong = []
    for id in ids(node):
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
