"""The rules on documents of collections: one sound document, and one fault at a time."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openeo_backend.federation.collection_rules import is_spdx, problems

DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
VERSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"

SOUND = {
    "stac_version": "1.0.0",
    "type": "Collection",
    "id": "ACME_SKYBIRD_L2A",
    "title": "Skybird surface reflectance",
    "description": "Surface reflectance of the Skybird mission over Belgium, 2020 to 2022 only.",
    "keywords": ["reflectance"],
    "license": "CC-BY-4.0",
    "stac_extensions": [DATACUBE, EO],
    "providers": [
        {"name": "Acme Space", "roles": ["producer"]},
        {"name": "Our node", "roles": ["host"], "url": "https://node.example.org"},
    ],
    "extent": {
        "spatial": {"bbox": [[2.5, 49.5, 6.4, 51.5]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    },
    "cube:dimensions": {
        "x": {"type": "spatial", "axis": "x", "extent": [2.5, 6.4]},
        "y": {"type": "spatial", "axis": "y", "extent": [49.5, 51.5], "step": None},
        "t": {"type": "temporal", "extent": ["2020-01-01T00:00:00Z", None]},
        "bands": {"type": "bands", "values": ["B1", "B2"]},
    },
    "summaries": {
        "platform": ["skybird-1"],
        "gsd": [10],
        "eo:cloud_cover": {"minimum": 0, "maximum": 100, "min": 0, "max": 100},
        "eo:bands": [{"name": "B1", "common_name": "red", "center_wavelength": 0.66}, {"name": "B2"}],
    },
    "links": [{"rel": "about", "href": "https://acme.example.org/skybird"}],
}


def ids(document, title=None):
    return {problem.id for problem in problems(document, title)}


def faulty(path, value):
    document = copy.deepcopy(SOUND)
    place = document
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_a_sound_document_lacks_nothing():
    assert problems(SOUND, "Our node") == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["stac_version"], "0.8.1", {"API-303"}),
        (["stac_version"], 1, {"API-303"}),
        (["extent"], ..., {"API-307", "API-321", "COL-4"}),
        (["extent", "temporal", "interval"], [["2020-01-01", None]], {"API-307", "API-321", "COL-4"}),
        (["extent", "spatial", "bbox"], [[1, 2, 3]], {"API-307", "API-321", "COL-4"}),
        (["extent", "temporal", "interval"], [[None, None]], {"API-310"}),
        (["license"], "proprietary", {"API-308"}),
        (["license"], "various", {"API-308"}),
        (["license"], ["CC-BY-4.0"], {"API-307", "API-321", "COL-4", "MERGE-LICENSE"}),
        (["title"], ..., {"API-309"}),
        (["keywords"], [], {"API-309"}),
        (["experimental"], "yes", {"API-311", "API-325", "COL-4"}),
        (["experimental"], True, {"API-311", "API-325", "COL-4", "COL-0b"}),
        (["deprecated"], True, {"API-311", "API-325", "COL-4", "COL-8"}),
        (["sci:doi"], None, {"API-313", "API-325", "COL-4"}),
        (["summaries", "gsd"], None, {"API-313", "COL-5", "MERGE-SUMMARIES"}),
        (["cube:dimensions"], ..., {"API-321", "COL-11"}),
        (["summaries"], {}, {"API-321", "MERGE-BANDS"}),
        (["id"], "skybird-l2a", {"API-324", "COL-12"}),
        (["summaries", "sar:instrument_mode"], ["IW"], {"API-325", "COL-4", "COL-14"}),
        (["stac_extensions"], [DATACUBE], {"API-325", "COL-4"}),
        (["stac_extensions"], [EO], {"API-325", "COL-4", "COL-11"}),
        (["providers"], [{"name": "Acme Space", "roles": ["producer"]}], {"API-327", "COL-1"}),
        (["providers", 1, "url"], ..., {"API-327"}),
        (["providers", 0, "roles"], ["licensor"], {"COL-1"}),
        (["providers", 1, "name"], "Somebody else", {"API-327"}),
        (["links"], [], {"COL-5"}),
        (["description"], "Images.", {"COL-2"}),
        (["cube:dimensions", "x", "extent"], ..., {"COL-11"}),
        (["cube:dimensions", "bands"], ..., {"COL-11"}),
        (["summaries", "eo:cloud_cover"], ..., {"COL-14"}),
        (["summaries", "eo:cloud_cover"], {"minimum": 0, "maximum": 100}, {"MERGE-SUMMARIES"}),
        (["summaries", "gsd"], 10, {"MERGE-SUMMARIES"}),
        (["summaries", "gsd"], [], {"API-321", "COL-5"}),
        (["summaries", "federation:backends"], ["a"], {"MERGE-FEDERATION"}),
        (["summaries", "eo:bands", 0, "common_name"], "rededge071", {"MERGE-BANDS"}),
        (["summaries", "eo:bands", 0, "center_wavelength"], "0.66", {"MERGE-BANDS"}),
        (["summaries", "eo:bands", 0, "name"], ..., {"MERGE-BANDS"}),
        (["summaries", "eo:bands"], ..., {"MERGE-BANDS"}),
        (["cube:dimensions", "bands", "values"], ["B2", "B1"], {"MERGE-BANDS"}),
        (["id"], "SENTINEL_2_L2A", {"COL-6"}),
        (["common_name"], "SENTINEL2_L2A", {"COL-13"}),
    ],
)
def test_each_fault_is_told_and_nothing_else(path, value, expected):
    assert ids(faulty(path, value), "Our node") == expected


def test_a_dimension_of_another_name_is_lost_in_merging():
    document = copy.deepcopy(SOUND)
    document["cube:dimensions"]["time"] = document["cube:dimensions"].pop("t")
    assert ids(document) == {"MERGE-DIMENSIONS"}


def test_flags_ask_for_the_extension_that_defines_them():
    old = VERSION.replace("v1.2.0", "v1.0.0")
    assert ids({**SOUND, "experimental": True, "stac_extensions": [DATACUBE, EO, old]}) == {"COL-15", "COL-0b"}
    successor = {"rel": "successor-version", "href": "https://node.example.org/collections/NEW"}
    links = [*SOUND["links"], successor]
    sound = {**SOUND, "deprecated": True, "links": links, "stac_extensions": [DATACUBE, EO, VERSION]}
    assert ids(sound) == set()


def test_experimental_collections_are_exempt_from_what_the_federation_asks_of_collections():
    document = {**SOUND, "experimental": True, "stac_extensions": [DATACUBE, EO, VERSION], "providers": []}
    levels = {problem.id: problem.level for problem in problems(document)}
    assert levels == {"COL-0b": "recommended", "COL-1": "recommended", "API-327": "required"}


@pytest.mark.parametrize(
    ("license", "expected"),
    [("CC-BY-4.0", True), ("Apache-2.0 OR MIT", True), ("proprietary", False), ("other", False), ("", False)],
)
def test_licences_of_spdx(license, expected):
    assert is_spdx(license) is expected


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "a", "https://x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "axis", "values", "name", "roles", "x", "rel", "href"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({}, optional={name: ANY for name in (*SOUND, "experimental", "deprecated", "common_name")})
)
def test_whatever_a_document_holds_is_told_not_raised(changes):
    assert all(problem.message for problem in problems({**SOUND, **changes}, "Our node") if changes)
