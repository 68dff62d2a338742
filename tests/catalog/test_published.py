"""Collections as the operator publishes them: other ids, changed metadata, flags, the host."""

from __future__ import annotations

import json

import numpy as np
import pytest

from openeo_backend.catalog.describe import host
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError

BASE = "https://stac-extensions.github.io"


@pytest.fixture
def one(archive):
    archive.add("A", {"B04": np.full((4, 4), 7, "uint16")}, properties={"platform": "bird-1", "eo:cloud_cover": 5.5})
    return archive


def test_a_collection_is_published_under_another_id(one, env):
    catalog = one.open(collections={"TEST": {"id": "ACME_BIRD_L2A", "title": "Birds"}})
    assert catalog.ids() == ["ACME_BIRD_L2A"]
    found = catalog.collection("ACME_BIRD_L2A")
    assert (found["id"], found["title"]) == ("ACME_BIRD_L2A", "Birds")
    cube = catalog.load("ACME_BIRD_L2A", LoadRequest(), env)
    assert int(cube.data.max()) == 7
    assert cube.provenance.collections == ("ACME_BIRD_L2A",)
    assert cube.provenance.items == ("collections/ACME_BIRD_L2A/items/A",)
    with pytest.raises(OpenEOError) as failure:
        catalog.collection("TEST")
    assert failure.value.code == "CollectionNotFound"


def test_metadata_are_merged_objects_by_member_and_all_else_whole(one):
    one.collection["providers"] = [{"name": "Old", "roles": ["producer"]}]
    one.collection["summaries"] = {"constellation": ["birds"], "gsd": [10], "mission": ["x"]}
    changes = {
        "providers": [{"name": "New", "roles": ["producer"]}],
        "summaries": {"gsd": [20], "mission": None, "processing:level": ["L2A"]},
        "sci:doi": "10.1/x",
    }
    found = one.open(collections={"TEST": {"metadata": changes}}).collection("TEST")
    assert found["providers"] == [{"name": "New", "roles": ["producer"]}]
    assert found["summaries"]["constellation"] == ["birds"]
    assert found["summaries"]["gsd"] == [20]
    assert found["summaries"]["processing:level"] == ["L2A"]
    assert "mission" not in found["summaries"]
    families = {uri.removeprefix(BASE).split("/")[1] for uri in found["stac_extensions"]}
    assert {"scientific", "processing", "eo", "raster", "datacube"} <= families


def test_changed_metadata_hold_for_loading_too(one, env):
    item = {"type": "image/tiff", "roles": ["data"], "eo:bands": [{"name": "B04", "common_name": "red"}]}
    catalog = one.open(collections={"TEST": {"metadata": {"item_assets": {"B04": item}, "license": "MIT"}}})
    assert catalog.collection("TEST")["summaries"]["eo:bands"][0]["common_name"] == "red"
    cube = catalog.load("TEST", LoadRequest(bands=("red",)), env)
    assert list(cube.labels("bands")) == ["B04"]
    assert cube.provenance.licenses == ("MIT",)


def test_flags_terms_and_successor(one):
    settings = {
        "common_name": "BIRDS",
        "experimental": True,
        "deprecated": True,
        "successor": "https://node.example.org/collections/NEW",
        "commercial": True,
        "terms": "https://acme.example.org/terms",
    }
    one.collection["links"].append({"rel": "license", "href": "https://old.example.org/"})
    found = one.open(collections={"TEST": settings}).collection("TEST")
    assert (found["common_name"], found["experimental"], found["deprecated"]) == ("BIRDS", True, True)
    assert found["order:status"] == "orderable"
    assert f"{BASE}/version/v1.2.0/schema.json" in found["stac_extensions"]
    assert any("/order/" in uri for uri in found["stac_extensions"])
    links = {link["rel"]: link["href"] for link in found["links"]}
    assert links == {"license": settings["terms"], "successor-version": settings["successor"]}


def test_an_older_version_extension_gives_way_to_the_one_with_the_flag(one):
    one.collection |= {"stac_extensions": [f"{BASE}/version/v1.0.0/schema.json"], "experimental": False}
    listed = one.open().collection("TEST")["stac_extensions"]
    assert [uri for uri in listed if "/version/" in uri] == [f"{BASE}/version/v1.2.0/schema.json"]


def test_the_host_is_this_back_end_whoever_hosts_the_source(one):
    one.collection["providers"] = [
        {"name": "Maker", "roles": ["producer", "host"], "url": "https://maker.example.org"},
        {"name": "Mirror", "roles": ["host"]},
        {"name": "", "roles": ["licensor"]},
    ]
    found = host(one.open().collection("TEST"), "Our node", "https://node.example.org")
    assert found["providers"] == [
        {"name": "Maker", "url": "https://maker.example.org", "roles": ["producer"]},
        {"name": "Mirror"},
        {"name": "Our node", "roles": ["host"], "url": "https://node.example.org"},
    ]


def test_summaries_are_lists_and_ranges_only(one):
    one.collection["summaries"] = {
        "gsd": 10,
        "platform": {"type": "string", "enum": ["a", "b"]},
        "mission": {"type": "string", "const": "m"},
        "view:off_nadir": {"type": "number", "minimum": 0},
        "eo:cloud_cover": {"minimum": 0, "maximum": 100},
        "empty": [],
        "instruments": ["i", None],
        "nothing": None,
        "federation:backends": ["x"],
    }
    found = one.open().collection("TEST")["summaries"]
    assert (found["gsd"], found["platform"], found["mission"], found["instruments"]) == ([10], ["a", "b"], ["m"], ["i"])
    cover = found["eo:cloud_cover"]
    assert (cover["minimum"], cover["maximum"], cover["min"], cover["max"]) == (0, 100, 0, 100)
    for name in ("view:off_nadir", "empty", "nothing", "federation:backends"):
        assert name not in found
    assert all(isinstance(value, list) or {"min", "max"} <= set(value) for value in found.values())


def test_common_names_that_nobody_agreed_on_are_left_out(one):
    bands = [{"name": "B04", "common_name": "rededge071"}]
    one.collection["item_assets"] = {"B04": {"type": "image/tiff", "eo:bands": bands}}
    found = one.open().collection("TEST")["summaries"]
    assert found["eo:bands"] == [{"name": "B04"}]
    assert found["bands"][0]["eo:common_name"] == "rededge071"


def test_dimensions_are_those_of_loaded_cubes(one):
    one.collection["cube:dimensions"] = {
        "x": {"type": "spatial", "axis": "x", "extent": [-180, 180]},
        "y": {
            "type": "spatial",
            "axis": "y",
            "extent": [5_000_000, 6_000_000],
            "reference_system": 32631,
            "step": None,
        },
        "z": {"type": "spatial", "axis": "z", "extent": [0, 1]},
        "other": {"type": "geometry", "bbox": [0, 0, 1, 1]},
    }
    found = one.open().collection("TEST")["cube:dimensions"]
    assert set(found) == {"x", "y", "t", "bands"}
    assert 2 < found["x"]["extent"][0] < found["x"]["extent"][1] < 6
    assert found["y"] == {"type": "spatial", "axis": "y", "extent": [5_000_000, 6_000_000], "reference_system": 32631}


def test_nothing_of_this_machine_is_told(one):
    one.collection["assets"] = {
        "here": {"href": "/data/secret.png"},
        "near": {"href": "./thumb.png"},
        "there": {"href": "https://maker.example.org/thumb.png"},
    }
    one.collection["links"].append({"rel": "license", "href": "./LICENSE"})
    found = one.open().collection("TEST")
    assert set(found["assets"]) == {"there"}
    assert str(one.folder) not in json.dumps(found)
    assert found["links"] == []
