"""Results as STAC: valid, complete, and readable by others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pystac
import pytest
from stac_schemas import Validate, validator

from openeo_backend.run import results
from openeo_backend.store.jobs import Job

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PROCESS = {"process_graph": {"load": {"process_id": "load_collection", "arguments": {"id": "S2"}, "result": True}}}
CUBE = {
    "x": {"type": "spatial", "axis": "x", "extent": [600000.0, 600200.0], "reference_system": 32631},
    "y": {"type": "spatial", "axis": "y", "extent": [5600000.0, 5600100.0], "reference_system": 32631},
    "bands": {"type": "bands", "values": ["B04", "B08"]},
}


def raster(name: str, day: str, bbox: list[float]) -> dict[str, Any]:
    band = {"data_type": "float32", "nodata": "nan", "minimum": 0.5, "maximum": 2.0, "mean": 1.0, "stddev": 0.25}
    return {
        "name": name,
        "node": "save",
        "media_type": COG,
        "title": f"NDVI {day}",
        "roles": ["data"],
        "size": 1000,
        "checksum": "1220" + "ab" * 32,
        "bands": [
            {"name": "B04", "common_name": "red", "unit": "1", "scale": 0.1, "offset": -1.0, **band},
            {"name": "B08", **band, "valid_percent": 90.0},
        ],
        "proj": {
            "code": "EPSG:32631",
            "shape": [10, 20],
            "transform": [10.0, 0.0, 600000.0, 0.0, -10.0, 5600100.0],
            "bbox": [600000.0, 5600000.0, 600200.0, 5600100.0],
        },
        "bbox": bbox,
        "start": f"{day}T00:00:00Z",
        "end": f"{day}T00:00:00Z",
        "dimensions": {
            **CUBE,
            "t": {"type": "temporal", "values": [f"{day}T00:00:00Z"], "extent": [f"{day}T00:00:00Z"] * 2},
        },
    }


FILES = [
    raster("ndvi_2024-05-01.tif", "2024-05-01", [4.0, 50.0, 4.1, 50.1]),
    raster("ndvi_2024-05-11.tif", "2024-05-11", [4.05, 50.05, 4.2, 50.2]),
    {
        "name": "table.json",
        "media_type": "application/json",
        "roles": ["data"],
        "size": 7,
        "checksum": "cd" * 32,
    },
    {
        "name": "preview.png",
        "media_type": "image/png",
        "roles": ["thumbnail"],
        "size": 9,
        "checksum": "1220" + "ef" * 32,
        "bbox": [4.0, 50.0, 4.1, 50.1],
        "start": "2024-05-01T00:00:00Z",
        "end": "2024-05-01T00:00:00Z",
    },
]
PROVENANCE = {
    "items": ["https://stac.example/items/a", "https://stac.example/items/b"],
    "licenses": ["CC-BY-4.0"],
    "providers": [{"name": "ESA", "roles": ["producer", "host"], "url": "https://esa.int"}],
    "notes": ["Clouds were masked."],
}


def job(files: list[dict[str, Any]] | None = None, status: str = "finished", **members: Any) -> Job:
    result = None if files is None else results.describe(files, members.pop("provenance", PROVENANCE))
    values: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__) | {
        "id": "j-1",
        "user_id": "ada",
        "process": PROCESS,
        "log_level": "info",
        "options": {},
        "status": status,
        "progress": 100.0,
        "created": NOW,
        "updated": NOW,
        "finished": NOW,
        "attempt": 1,
        "result_attempt": 1,
        "result": json.loads(json.dumps(result)),
    }
    return Job(**{**values, **members})


LINKS = results.Links(
    canonical="https://oeo.example/results/j-1?signature=c",
    expires=NOW,
    file=lambda name: f"https://oeo.example/files/{name}?signature=f",
    item=lambda id: f"https://oeo.example/items/{id}?signature=i",
)


@pytest.fixture(scope="module")
def validate(shared: Path) -> Validate:
    return validator(shared)


@pytest.mark.parametrize("files", [FILES, FILES[:1], FILES[2:3], [], None])
@pytest.mark.parametrize("status", ["finished", "running", "error", "canceled"])
def test_documents_are_valid(validate: Validate, files: list[dict[str, Any]] | None, status: str) -> None:
    made = job(files, status)
    validate(results.collection(made, LINKS))
    validate(results.feature(made, LINKS))
    for id in results.items(made):
        item = results.item(made, id, LINKS)
        assert item is not None
        validate(item)


def test_the_validation_of_these_tests_can_fail(validate: Validate) -> None:
    document = results.collection(job(FILES), LINKS)
    document["cube:dimensions"]["x"]["type"] = 5
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_the_collection_has_all_assets_but_pictures_on_top() -> None:
    document = results.collection(job(FILES, title="NDVI"), LINKS)
    assert list(document["assets"]) == ["ndvi_2024-05-01.tif", "ndvi_2024-05-11.tif", "table.json"]
    assert document["title"] == "NDVI"
    assert document["extent"]["spatial"]["bbox"] == [[4.0, 50.0, 4.2, 50.2]]
    assert document["extent"]["temporal"]["interval"] == [["2024-05-01T00:00:00Z", "2024-05-11T00:00:00Z"]]
    assert document["cube:dimensions"]["t"]["values"] == ["2024-05-01T00:00:00Z", "2024-05-11T00:00:00Z"]
    assert document["cube:dimensions"]["t"]["extent"] == ["2024-05-01T00:00:00Z", "2024-05-11T00:00:00Z"]
    assert document["license"] == "CC-BY-4.0"
    assert [provider["name"] for provider in document["providers"]] == ["ESA", "openEO back-end"]
    assert document["providers"][0]["roles"] == ["producer"]
    assert document["providers"][1]["processing:expression"] == {"format": "openeo", "expression": PROCESS}
    assert document["processing:expression"] == {"format": "openeo", "expression": PROCESS}
    assert document["openeo:status"] == "finished"
    assert document["expires"] == "2026-11-22T12:00:00Z"
    links: dict[str, list[str]] = {}
    for link in document["links"]:
        links.setdefault(link["rel"], []).append(link["href"])
    assert links["canonical"] == ["https://oeo.example/results/j-1?signature=c"]
    assert links["preview"] == ["https://oeo.example/files/preview.png?signature=f"]
    assert links["derived_from"] == PROVENANCE["items"]
    assert len(links["item"]) == 2


def test_paths_of_this_machine_are_not_told() -> None:
    local = {**PROVENANCE, "items": ["/srv/archive/a.json", "file:///srv/archive/b.json", "https://stac.example/c"]}
    found = job(result=results.describe([], local))
    links = results.collection(found, LINKS)["links"]
    assert [link["href"] for link in links if link["rel"] == "derived_from"] == ["https://stac.example/c"]


def test_inputs_in_files_of_this_machine_are_linked_where_the_api_shows_them() -> None:
    items = ["collections/A/items/one", "https://stac.example/b", "/data/c.json", "file:///data/d.json"]
    made = job(FILES, provenance={**PROVENANCE, "items": items})
    links = replace(LINKS, input=lambda path: f"https://oeo.example/{path}")
    expected = ["https://oeo.example/collections/A/items/one", "https://stac.example/b"]
    feature = results.feature(made, links)
    item = results.item(made, "j-1_2024-05-11", links)
    for document in (results.collection(made, links), feature, item):
        assert document is not None
        assert [link["href"] for link in document["links"] if link["rel"] == "derived_from"] == expected
    unknown = results.collection(made, LINKS)["links"]
    assert [link["href"] for link in unknown if link["rel"] == "derived_from"] == expected[1:]


def test_an_asset_says_all_about_its_file() -> None:
    asset = results.collection(job(FILES), LINKS)["assets"]["ndvi_2024-05-01.tif"]
    assert asset["href"] == "https://oeo.example/files/ndvi_2024-05-01.tif?signature=f"
    assert asset["type"] == COG
    assert asset["file:size"] == 1000
    assert asset["file:checksum"] == "1220" + "ab" * 32
    assert asset["proj:code"] == "EPSG:32631"
    assert asset["proj:shape"] == [10, 20]
    assert asset["proj:bbox"] == [600000.0, 5600000.0, 600200.0, 5600100.0]
    statistics = {"minimum": 0.5, "maximum": 2.0, "mean": 1.0, "stddev": 0.25}
    assert asset["bands"][0] == {
        "name": "B04",
        "data_type": "float32",
        "nodata": "nan",
        "statistics": statistics,
        "unit": "1",
        "eo:common_name": "red",
        "raster:scale": 0.1,
        "raster:offset": -1.0,
    }
    assert asset["eo:bands"] == [{"name": "B04", "common_name": "red"}, {"name": "B08"}]
    assert asset["raster:bands"][1]["statistics"] == {**statistics, "valid_percent": 90.0}
    assert results.collection(job(FILES), LINKS)["assets"]["table.json"]["file:checksum"] == "1220" + "cd" * 32


def test_each_time_step_is_an_item() -> None:
    made = job(FILES)
    assert list(results.items(made)) == ["j-1_2024-05-01", "j-1_2024-05-11"]
    item = results.item(made, "j-1_2024-05-11", LINKS)
    assert item is not None
    assert item["properties"]["datetime"] == "2024-05-11T00:00:00Z"
    assert item["bbox"] == [4.05, 50.05, 4.2, 50.2]
    # The same key in each item, else readers do not see one time series in them.
    assert list(item["assets"]) == ["save"]
    assert item["assets"]["save"]["href"] == "https://oeo.example/files/ndvi_2024-05-11.tif?signature=f"
    assert item["properties"]["proj:code"] == "EPSG:32631"
    assert results.item(made, "j-1_2024-06-11", LINKS) is None


def test_a_file_over_a_period_has_no_single_instant() -> None:
    file = {**FILES[0], "end": "2024-05-31T00:00:00Z"}
    made = job([file])
    (id,) = results.items(made)
    item = results.item(made, id, LINKS)
    assert item is not None
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] == "2024-05-01T00:00:00Z"
    assert item["properties"]["end_datetime"] == "2024-05-31T00:00:00Z"


@pytest.mark.parametrize(
    ("licenses", "said"), [([], "proprietary"), (["CC0-1.0", "CC0-1.0"], "CC0-1.0"), (["CC0-1.0", "MIT"], "various")]
)
def test_the_licence_is_that_of_the_inputs(licenses: list[str], said: str) -> None:
    assert results.collection(job(FILES, provenance={"licenses": licenses}), LINKS)["license"] == said


def test_unfinished_jobs_have_a_status_and_a_canonical_link_only() -> None:
    for status, said in (
        ("created", "running"),
        ("queued", "running"),
        ("running", "running"),
        ("canceled", "canceled"),
    ):
        document = results.collection(job(None, status), LINKS)
        assert document["openeo:status"] == said
        assert document["assets"] == {}
        assert [link["rel"] for link in document["links"]] == ["canonical"]


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        results.describe([FILES[0], FILES[0]], {})


def test_the_jobs_own_document_tells_what_a_federation_needs() -> None:
    extras = results.extras(job(FILES))
    assert extras["bbox"] == [4.0, 50.0, 4.2, 50.2]
    assert extras["geometry"]["coordinates"][0][0] == [4.0, 50.0]
    assert (extras["start_datetime"], extras["end_datetime"]) == ("2024-05-01T00:00:00Z", "2024-05-11T00:00:00Z")
    assert extras["epsg"] == 32631
    assert extras["proj_shape"] == [10, 20]
    assert extras["proj_bbox"] == [600000.0, 5600000.0, 600200.0, 5600100.0]
    assert results.extras(job(None)) == {}


def test_pystac_reads_them() -> None:
    made = job(FILES)
    collection = pystac.Collection.from_dict(results.collection(made, LINKS))
    asset = collection.assets["ndvi_2024-05-01.tif"]
    assert asset.extra_fields["bands"][0]["name"] == "B04"
    assert asset.extra_fields["bands"][0]["statistics"]["maximum"] == 2.0
    item = pystac.Item.from_dict(results.item(made, "j-1_2024-05-01", LINKS) or {})
    assert item.datetime == datetime(2024, 5, 1, tzinfo=UTC)
    assert item.assets["save"].extra_fields["proj:code"] == "EPSG:32631"
