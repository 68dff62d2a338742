"""`/collections/{id}/items` over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from scenes import write_scenes
from stac_schemas import validator
from werkzeug.test import TestResponse

from openeo_backend import settings as settings_module
from openeo_backend.api.app import create_app
from openeo_backend.backend import Backend
from openeo_backend.catalog.catalog import Catalog

DAYS = tuple(f"2023-04-{day:02d}" for day in range(1, 13))
ITEMS = "/openeo/1.2/collections/SCENES/items"


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("items")
    values = {"B04": np.full((len(DAYS), 4, 5), 7, "uint16")}
    catalog = write_scenes(folder / "scenes", values, days=DAYS)
    data = folder / "data"
    data.mkdir()
    shutil.copy(migrated_sqlite, data / "openeo.sqlite")
    overrides = {"data_dir": str(data), "catalog": {"sources": [str(catalog)]}}
    opened = Backend.open(settings_module.read(overrides=overrides))
    yield opened
    opened.close()


@pytest.fixture
def items(backend: Backend) -> FlaskClient:
    return create_app(backend).test_client()


def ids(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.text
    assert response.content_type == "application/geo+json"
    body: Any = response.json
    return [feature["id"] for feature in body["features"]]


def test_pages_lead_through_all_items(items: FlaskClient) -> None:
    url: str | None = f"{ITEMS}?limit=5&datetime=2023-04-01T00:00:00Z/.."
    pages = []
    while url:
        response = items.get(url)
        pages.append(ids(response))
        body: Any = response.json
        assert (body["numberMatched"], body["numberReturned"]) == (len(DAYS), len(pages[-1]))
        url = next((link["href"] for link in body["links"] if link["rel"] == "next"), None)
    assert pages == [list(DAYS[:5]), list(DAYS[5:10]), list(DAYS[10:])]


def test_ten_items_are_on_a_page_by_default(items: FlaskClient) -> None:
    assert ids(items.get(ITEMS)) == list(DAYS[:10])


@pytest.mark.parametrize(
    ("datetime", "expected"),
    [
        ("2023-04-02T10:50:00Z", ["2023-04-02"]),
        ("2023-04-02T10:50:00Z/2023-04-03T10:50:00Z", ["2023-04-02", "2023-04-03"]),
        ("../2023-04-02T00:00:00Z", ["2023-04-01"]),
        ("2023-04-12T00:00:00Z/..", ["2023-04-12"]),
        ("2024-01-01T00:00:00Z/..", []),
    ],
)
def test_times(items: FlaskClient, datetime: str, expected: list[str]) -> None:
    assert ids(items.get(ITEMS, query_string={"datetime": datetime})) == expected


@pytest.mark.parametrize(
    ("bbox", "count"),
    [("4,51,5,52", 10), ("4,51,-10,5,52,10", 10), ("14,51,15,52", 0), ("170,-80,-170,80", 0), ("5,-80,4.5,80", 10)],
)
def test_areas(items: FlaskClient, bbox: str, count: int) -> None:
    """The items lie at 4.44 degrees east; boxes whose west lies east of their east cross the antimeridian."""
    assert len(ids(items.get(ITEMS, query_string={"bbox": bbox}))) == count


@pytest.mark.parametrize(
    "query",
    [
        {"bbox": "1,2,3"},
        {"bbox": "a,b,c,d"},
        {"bbox": "1,2,inf,4"},
        {"bbox": "1,50,2,40"},
        {"datetime": "yesterday"},
        {"datetime": "../.."},
        {"datetime": "2024-01-02T00:00:00Z/2024-01-01T00:00:00Z"},
        {"limit": "0"},
        {"limit": "many"},
        {"token": "x"},
    ],
)
def test_wrong_parameters_are_refused(items: FlaskClient, query: dict[str, str]) -> None:
    response = items.get(ITEMS, query_string=query)
    body: Any = response.json
    assert (response.status_code, body["code"]) == (400, "RequestInvalid")


def test_an_item_is_valid_stac_and_leads_back(items: FlaskClient, shared: Path, backend: Backend) -> None:
    response = items.get(f"{ITEMS}/2023-04-03")
    item: Any = response.json
    validator(shared)(item)
    assert response.content_type == "application/geo+json"
    assert item["properties"]["datetime"] == "2023-04-03T10:50:00Z"
    assert item["assets"] == {}
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert items.get(links["self"]).json == item
    collection: Any = items.get(links["collection"]).json
    (listing,) = (link["href"] for link in collection["links"] if link["rel"] == "items")
    assert listing == f"{links['collection']}/items"


def test_unknown_items_and_collections(items: FlaskClient) -> None:
    for path, code in ((f"{ITEMS}/none", "NotFound"), ("/openeo/1.2/collections/NONE/items", "CollectionNotFound")):
        response = items.get(path)
        body: Any = response.json
        assert (response.status_code, body["code"]) == (404, code)


def test_items_of_an_api_are_listed_there(items: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    there = "https://stac.example.org/collections/SCENES/items"
    monkeypatch.setattr(Catalog, "items_elsewhere", lambda self, id: there)
    listed = items.get(ITEMS, query_string={"limit": "3", "bbox": "4,51,5,52", "foo": "bar"})
    assert (listed.status_code, listed.location) == (302, f"{there}?limit=3&bbox=4%2C51%2C5%2C52")
    assert items.get(f"{ITEMS}/a b").location == f"{there}/a%20b"


def test_endpoints_and_conformance_tell_of_items(items: FlaskClient) -> None:
    body: Any = items.get("/openeo/1.2/").json
    paths = {endpoint["path"]: endpoint["methods"] for endpoint in body["endpoints"]}
    assert paths["/collections/{collection_id}/items"] == ["GET"]
    assert paths["/collections/{collection_id}/items/{item_id}"] == ["GET"]
    assert "https://api.stacspec.org/v1.0.0/ogcapi-features" in body["conformsTo"]
