"""Whatever a job made, its documents are valid STAC, and lead to each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from stac_schemas import Validate, validator

from openeo_backend.run.request import Outcome

LOAD: dict[str, Any] = {
    "process_id": "load_collection",
    "arguments": {"id": "SCENES", "spatial_extent": None, "temporal_extent": None},
}
RED = {**LOAD, "arguments": {**LOAD["arguments"], "bands": ["B04"]}}
POINTS = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Point", "coordinates": [x, 51.43]}}
        for name, x in (("a", 4.4396), ("b", 4.4404))
    ],
}
CALLBACK = {
    "process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}, "result": True}}
}
MEAN = {
    "process_id": "aggregate_spatial",
    "arguments": {"data": {"from_node": "load"}, "geometries": POINTS, "reducer": CALLBACK},
}
LATEST = {
    "process_id": "reduce_dimension",
    "arguments": {"data": {"from_node": "load"}, "dimension": "t", "reducer": CALLBACK},
}
WARPED = {"process_id": "resample_spatial", "arguments": {"data": {"from_node": "load"}, "projection": 3035}}


def save(source: str, format: str, **options: Any) -> dict[str, Any]:
    arguments = {"data": {"from_node": source}, "format": format, "options": options}
    return {"process_id": "save_result", "arguments": arguments, "result": True}


GRAPHS = {
    "a file per date": {"load": LOAD, "save": save("load", "GTiff")},
    "a file per date and band": {"load": LOAD, "save": save("load", "GTiff", separate_asset_per_band=True)},
    "one file without dates": {"load": LOAD, "mean": LATEST, "save": save("mean", "GTiff")},
    "one netCDF with all dates": {"load": LOAD, "save": save("load", "netCDF")},
    "one Zarr": {"load": LOAD, "save": save("load", "Zarr")},
    "pictures": {"load": RED, "mean": LATEST, "save": save("mean", "PNG")},
    "JSON of series at points": {"load": LOAD, "mean": MEAN, "save": save("mean", "JSON")},
    "CSV": {"load": LOAD, "mean": MEAN, "save": save("mean", "CSV")},
    "GeoJSON": {"load": LOAD, "mean": MEAN, "save": save("mean", "GeoJSON")},
    "Parquet": {"load": LOAD, "mean": MEAN, "save": save("mean", "Parquet")},
    "a number": {"add": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}},
    "several results on several grids": {
        "load": LOAD,
        "mean": LATEST,
        "warp": WARPED,
        "points": MEAN,
        "one": save("mean", "GTiff"),
        "two": {**save("warp", "netCDF"), "result": False},
        "three": {**save("points", "JSON"), "result": False},
    },
}
NAMES = {
    "a file per date": 3,
    "a file per date and band": 6,
    "several results on several grids": 3,
}
ITEMS = {"a file per date": 3, "a file per date and band": 3, "a number": 0}


@pytest.fixture(scope="module")
def validate(shared: Path) -> Validate:
    return validator(shared)


def get(address: str, **headers: str) -> dict[str, Any]:
    answer = requests.get(address, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def links(document: dict[str, Any], rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


@pytest.mark.parametrize("what", GRAPHS)
def test_results_and_all_their_items_are_valid(sites: Any, catalog: Path, validate: Validate, what: str) -> None:
    site = sites("a", str(catalog))
    id = site.job(GRAPHS[what])
    entries = site.backend.store.jobs.logs("ada", id, None, "error")[1].entries
    assert entries == ()
    own = f"{site.url}/jobs/{id}/results"
    document = get(own, **site.headers())
    shared_one = get(links(document, "canonical")[0])
    for each in (document, shared_one):
        validate(each)
        assert each["type"] == "Collection"
        assert len(each["assets"]) == NAMES.get(what, 1)
    validate(get(own, Accept="application/geo+json", **site.headers()))
    items = [get(address) for address in links(document, "item")]
    if what in ITEMS:
        assert len(items) == ITEMS[what]
    hrefs = []
    for address, item in zip(links(document, "item"), items, strict=True):
        validate(item)
        assert links(item, "self") == [address]
        assert item["collection"] == document["id"]
        for rel in ("root", "parent", "collection"):
            assert get(links(item, rel)[0])["id"] == document["id"]
        hrefs += [asset["href"] for asset in item["assets"].values()]
    placed = [asset["href"] for asset in document["assets"].values() if "proj:shape" in asset]
    assert set(placed) <= set(hrefs) <= {asset["href"] for asset in document["assets"].values()}
    for asset in document["assets"].values():
        answer = requests.head(asset["href"], timeout=30)
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(asset["file:size"]))
        assert answer.headers["Content-Type"].startswith(asset["type"].split(";")[0])


@pytest.mark.parametrize("status", ["created", "queued", "error", "canceled"])
def test_partial_results_of_jobs_in_every_state_are_valid(
    sites: Any, catalog: Path, validate: Validate, status: str
) -> None:
    site = sites("a", str(catalog))
    store = site.backend.store
    id = store.jobs.create("ada", {"process_graph": GRAPHS["a number"]}).id

    def stopped(*_: Any) -> Outcome:
        store.jobs.cancel("ada", id)
        return Outcome(cancelled=True)

    def failing(*_: Any) -> Outcome:
        return Outcome(error={"code": "NoDataAvailable", "message": "There are no data in May."})

    if status != "created":
        store.jobs.queue("ada", id)
    if status in ("error", "canceled"):
        from openeo_backend.jobs.worker import Worker

        runner = failing if status == "error" else stopped
        Worker(store, site.backend.objects, runner, site.backend.settings).run_once()
    assert store.jobs.get("ada", id).status == status
    document = get(f"{site.url}/jobs/{id}/results?partial=true", **site.headers())
    validate(document)
    assert document["openeo:status"] == {"created": "running", "queued": "running"}.get(status, status)
    validate(get(links(document, "canonical")[0]))


def test_the_graph_is_in_the_document_as_it_was_sent(sites: Any, catalog: Path) -> None:
    site = sites("a", str(catalog))
    id = site.job(GRAPHS["a file per date"])
    document = get(f"{site.url}/jobs/{id}/results", **site.headers())
    sent = {"format": "openeo", "expression": {"process_graph": GRAPHS["a file per date"]}}
    assert document["processing:expression"] == json.loads(json.dumps(sent))
