"""What a published result says about where it comes from, of a job that ran, and the items that it leads to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import requests
from scenes import DAYS, write_scenes
from sites import Site, open_sites
from stac_schemas import Validate, validator

from openeo_backend import __version__

EXTENTS = {"spatial_extent": None, "temporal_extent": ["2023-04-01", "2023-04-20"]}
GRAPH = {
    "load": {"process_id": "load_collection", "arguments": {"id": "BIRDS_L2A", **EXTENTS}},
    "save": {
        "process_id": "save_result",
        "arguments": {"data": {"from_node": "load"}, "format": "GTiff"},
        "result": True,
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("traced")
    source = write_scenes(folder / "scenes", {"B04": np.full((3, 23, 31), 7, "uint16")})
    document = json.loads(source.read_text())
    document["providers"] = [{"name": "Maker", "roles": ["producer"], "url": "https://maker.example.org"}]
    source.write_text(json.dumps(document))
    with open_sites(folder) as make:
        collections = {"SCENES": {"id": "BIRDS_L2A"}}
        yield make("traced", catalog={"sources": [str(source)], "collections": collections})


@pytest.fixture(scope="module")
def document(site: Site) -> dict[str, Any]:
    job = site.job(GRAPH)
    found: dict[str, Any] = requests.get(f"{site.url}/jobs/{job}/results", headers=site.headers(), timeout=30).json()
    return found


def derived(document: dict[str, Any]) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == "derived_from"]


def test_every_input_item_is_linked_and_there(site: Site, document: dict[str, Any], shared: Path) -> None:
    validate: Validate = validator(shared)
    items = [requests.get(href, timeout=30).json() for href in derived(document)]
    assert [item["id"] for item in items] == list(DAYS[:2])
    for item in items:
        validate(item)
        assert item["collection"] == "BIRDS_L2A"
        collection = next(link["href"] for link in item["links"] if link["rel"] == "collection")
        assert requests.get(collection, timeout=30).json()["id"] == "BIRDS_L2A"


def test_items_of_the_result_link_their_inputs_too(document: dict[str, Any]) -> None:
    hrefs = [link["href"] for link in document["links"] if link["rel"] == "item"]
    assert len(hrefs) == 2
    for href in hrefs:
        assert derived(requests.get(href, timeout=30).json()) == derived(document)


def test_the_graph_and_the_software_are_named(document: dict[str, Any]) -> None:
    assert document["processing:expression"] == {"format": "openeo", "expression": {"process_graph": GRAPH}}
    software = document["processing:software"]
    assert software["openeo-backend"] == __version__
    assert software["numpy"] == np.__version__
    assert {"Python", "rasterio", "GDAL", "xarray", "dask"} <= set(software)
    item = requests.get(next(link["href"] for link in document["links"] if link["rel"] == "item"), timeout=30).json()
    assert item["properties"]["processing:software"] == software
    for told in (document, item):
        assert any("/processing/v1.2.0/" in uri for uri in told["stac_extensions"])


def test_checksums_are_those_of_the_files(document: dict[str, Any]) -> None:
    for asset in document["assets"].values():
        content = requests.get(asset["href"], timeout=30).content
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
        assert asset["file:size"] == len(content)


def test_times_of_making_and_of_the_data(document: dict[str, Any]) -> None:
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
    for name in ("created", "updated", "expires"):
        assert stamp.fullmatch(document[name])
    moments = [datetime.fromisoformat(document[name]) for name in ("created", "updated", "expires")]
    assert moments == sorted(moments)
    assert document["extent"]["temporal"]["interval"] == [["2023-04-02T00:00:00Z", "2023-04-12T00:00:00Z"]]
    item = requests.get(next(link["href"] for link in document["links"] if link["rel"] == "item"), timeout=30).json()
    made = datetime.fromisoformat(item["properties"]["processing:datetime"])
    assert moments[0] <= made <= moments[2]


def test_licence_and_providers_are_inherited(site: Site, document: dict[str, Any]) -> None:
    assert document["license"] == "CC0-1.0"
    roles = {provider["name"]: provider["roles"] for provider in document["providers"]}
    assert roles["Maker"] == ["producer"]
    own = next(provider for provider in document["providers"] if "processor" in provider["roles"])
    assert own["name"] == site.backend.settings.server.title
    assert own["url"].startswith("http://127.0.0.1")


def test_pystac_reads_result_and_items(document: dict[str, Any]) -> None:
    collection = pystac.Collection.from_dict(document)
    assert collection.assets
    for href in derived(document):
        item = pystac.Item.from_dict(requests.get(href, timeout=30).json())
        assert item.datetime is not None
