"""STAC from outside (T24): whatever its members are, it is loaded, left out or refused by an error of our own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.documents import Documents
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.settings import CatalogSettings, SettingsError

URL = "https://stac.example.org"
RING = [[4.0, 51.0], [4.1, 51.0], [4.1, 51.1], [4.0, 51.1], [4.0, 51.0]]
BAND = {"name": "B04", "common_name": "red", "center_wavelength": 0.66}
RASTER = {"data_type": "uint16", "nodata": 0, "scale": 0.1, "offset": 0, "unit": "1"}
ASSET = {
    "href": f"{URL}/a.tif",
    "type": "image/tiff; application=geotiff",
    "roles": ["data"],
    "proj:shape": [20, 30],
    "proj:transform": [10, 0, 600000, 0, -10, 5700000],
    "eo:bands": [BAND],
    "raster:bands": [RASTER],
    "bands": [{"name": "B04", "data_type": "uint16"}],
}
AXIS = {"type": "spatial", "axis": "x", "extent": [4, 5]}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
    "id": "I",
    "collection": "C",
    "geometry": {"type": "Polygon", "coordinates": [RING]},
    "bbox": [4, 51, 4.1, 51.1],
    "properties": {
        "datetime": "2023-04-02T10:50:00Z",
        "proj:code": "EPSG:32631",
        "platform": "sentinel-2a",
        "eo:cloud_cover": 3.5,
        "s2:processing_baseline": "05.00",
        "created": "2023-04-03T00:00:00Z",
        "cube:dimensions": {"x": AXIS},
    },
    "links": [{"rel": "self", "href": f"{URL}/item"}, {"rel": "collection", "href": f"{URL}/collection"}],
    "assets": {"B04": ASSET},
}
COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
    "id": "C",
    "title": "T",
    "description": "D",
    "license": "MIT",
    "keywords": ["k"],
    "providers": [{"name": "P", "roles": ["producer"], "url": f"{URL}/"}],
    "extent": {
        "spatial": {"bbox": [[4, 51, 5, 52]]},
        "temporal": {"interval": [["2023-01-01T00:00:00Z", None]]},
    },
    "summaries": {"platform": ["a"], "eo:bands": [BAND], "eo:cloud_cover": {"minimum": 0, "maximum": 100}},
    "item_assets": {"B04": {"type": "image/tiff", "roles": ["data"], "eo:bands": [BAND], "raster:bands": [RASTER]}},
    "cube:dimensions": {"x": AXIS, "bands": {"type": "bands", "values": ["B04"]}},
    "crs": ["http://www.opengis.net/def/crs/EPSG/0/32631"],
    "assets": {"thumb": {"href": f"{URL}/t.png"}},
    "links": [{"rel": "item", "href": f"{URL}/item"}, {"rel": "license", "href": f"{URL}/l"}],
}
CATALOG = {
    "type": "Catalog",
    "stac_version": "1.0.0",
    "id": "cat",
    "description": "d",
    "links": [{"rel": "child", "href": f"{URL}/collection"}],
}
PAGE = {"type": "FeatureCollection", "features": [ITEM], "links": [{"rel": "next", "href": f"{URL}/page2"}]}
SOUND = {
    f"{URL}/item": ITEM,
    f"{URL}/collection": COLLECTION,
    f"{URL}/catalog": CATALOG,
    f"{URL}/page": PAGE,
    f"{URL}/page2": {"type": "FeatureCollection", "features": [], "links": []},
}

ABSENT = object()
DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
WRONG = [ABSENT, None, True, -1.5, 10**400, float("nan"), "text", "", [], [None], {}, {"a": 1}, [{"a": [{}]}], DEEP]


class Shelf:
    """Documents by URL, in place of the door."""

    traffic = None

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self.documents = documents
        self.read = 0

    def json(self, url: str) -> Any:
        self.read += 1
        if url in self.documents:
            return self.documents[url]
        raise OpenEOError("UrlNotReachable", f"There is no {url}.")

    def post_json(self, url: str, body: Any) -> Any:
        return self.json(url)

    def check(self, url: str) -> None:
        """All addresses may be read."""

    def tunnel(self) -> str:
        raise OpenEOError("UrlNotReachable", "No file is read here.")

    def request(self, method: str, url: str, **members: Any) -> Any:
        raise OpenEOError("UrlNotAllowed", "No file is read here.")


class Surroundings:
    hint = LoadHints()
    options: Mapping[str, Any] = {}
    user = None

    def log(self, level: str, message: str) -> None:
        """Nobody listens."""

    def scratch(self) -> Path:
        raise AssertionError("no load here needs a folder")


def load(documents: Mapping[str, Any], url: str) -> Any:
    shelf: Any = Shelf(documents)
    env: Any = Surroundings()
    return Catalog([], CatalogSettings(), shelf).load_url(url, LoadRequest(), env)


def publish(documents: Mapping[str, Any], url: str) -> list[dict[str, Any]]:
    shelf: Any = Shelf(documents)
    catalog = Catalog([url], CatalogSettings(), shelf)
    found = catalog.collections()
    json.dumps([found, [catalog.queryables(id) for id in catalog.ids()]])
    return found


def refusal(action: Callable[..., Any], *arguments: Any) -> OpenEOError | SettingsError | None:
    """The error of our own with which something ended; any other error goes through."""
    try:
        action(*arguments)
    except (OpenEOError, SettingsError) as error:
        return error
    return None


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*place, key))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    found = copy.deepcopy(document)
    parent = found
    for key in place[:-1]:
        parent = parent[key]
    if value is ABSENT:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return found


@pytest.mark.parametrize("name", ["item", "collection", "catalog", "page"])
def test_sound_documents_are_loaded(name: str) -> None:
    assert load(SOUND, f"{URL}/{name}").data.shape == (1, 1, 20, 30)


@pytest.mark.parametrize("name", ["item", "collection", "catalog", "page"])
def test_wrong_types_in_all_members(name: str) -> None:
    """Also where the document is read on the way to another one, and where the operator publishes it."""
    url = f"{URL}/{name}"
    starts = {"item": ["item"], "collection": ["collection", "item"], "catalog": ["catalog"], "page": ["page"]}[name]
    tried = refused = 0
    for place in places(SOUND[url]):
        for value in WRONG if place else WRONG[1:]:
            documents = {**SOUND, url: changed(SOUND[url], place, value)}
            for start in starts:
                error = refusal(load, documents, f"{URL}/{start}")
                tried, refused = tried + 1, refused + (error is not None)
                assert len(str(error)) < 1000
            if name in ("collection", "catalog"):
                assert "\n" not in str(refusal(publish, documents, f"{URL}/catalog"))
    assert 0 < refused < tried


@pytest.mark.parametrize(
    "transform", [[0] * 6, [10, 0, 0, 0, 0, 0], [10, 1, 0, 10, 1, 0], [1e-200, 0, 0, 0, 1e-200, 0]]
)
def test_grids_without_area(transform: list[float]) -> None:
    """As if there were none: the file tells its own, which nobody reads here."""
    item = changed(ITEM, ("assets", "B04", "proj:transform"), transform)
    assert refusal(load, {**SOUND, f"{URL}/item": item}, f"{URL}/item") is not None


@pytest.mark.parametrize("type", [None, "Catalog", "x"])
def test_wrong_types_in_a_collection_that_names_no_type(type: str | None) -> None:
    """It may be read as one all the same."""
    url = f"{URL}/collection"
    untyped = {**COLLECTION, "type": type}
    for place in places(untyped):
        for value in ({"x": None}, {"x": {"type": ["spatial"]}}, 5, [5]):
            documents = {**SOUND, url: changed(untyped, place, value) if place else untyped}
            for start in ("collection", "item"):
                refusal(load, documents, f"{URL}/{start}")


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("assets", "B04", "proj:shape"), ["a", "b"], "assets.B04.proj:shape.0: not a number of pixels"),
        (("geometry", "coordinates"), [[["x", "y"]]], "geometry.coordinates: not coordinates"),
        (("properties", "datetime"), 5, "properties.datetime: not a text"),
        (("links", 0, "href"), None, "links.0.href: missing"),
        (("assets", "B04"), None, "assets.B04: not an object"),
        (("properties", "x"), DEEP, "nested more than"),
    ],
)
def test_errors_name_the_document_and_the_member(place: tuple[Any, ...], value: Any, told: str) -> None:
    with pytest.raises(OpenEOError) as failure:
        load({**SOUND, f"{URL}/item": changed(ITEM, place, value)}, f"{URL}/item")
    assert failure.value.code == "FileContentInvalid"
    assert f"{URL}/item" in failure.value.message
    assert told in failure.value.message


@pytest.mark.parametrize("second", [{"features": True}, {"type": "Catalog", "features": [None]}, {}])
def test_a_page_that_is_none(second: dict[str, Any]) -> None:
    with pytest.raises(OpenEOError) as failure:
        load({**SOUND, f"{URL}/page2": second}, f"{URL}/page")
    assert failure.value.code == "FileContentInvalid"
    assert f"{URL}/page2" in failure.value.message


@pytest.mark.parametrize("dimensions", [{"x": None}, {"x": {"type": ["spatial"]}}, 5])
@pytest.mark.parametrize("inside", [False, True])
def test_dimensions_that_a_page_tells(dimensions: Any, inside: bool) -> None:
    told = {"cube:dimensions": dimensions}
    with pytest.raises(OpenEOError) as failure:
        load({**SOUND, f"{URL}/page": {**PAGE, **({"properties": told} if inside else told)}}, f"{URL}/page")
    assert failure.value.code == "FileContentInvalid"


@pytest.mark.parametrize("name", ["1" * 5000, "bool", "S5", "i4,i4", "float9", "datetime64", "(2,2)f4", "object"])
def test_data_types_that_are_none_of_pixels(name: str) -> None:
    """As if it was left out: files tell theirs."""
    places = [("assets", "B04", member, 0, "data_type") for member in ("raster:bands", "bands")]
    item = changed(changed(ITEM, places[0], name), places[1], name)
    error = refusal(load, {**SOUND, f"{URL}/item": item}, f"{URL}/item")
    assert error is not None
    assert "No file is read here" in str(error)


def test_a_reference_system_that_does_not_exist() -> None:
    item = changed(ITEM, ("properties", "proj:code"), "EPSG:<script>")
    with pytest.raises(OpenEOError) as failure:
        load({**SOUND, f"{URL}/item": item}, f"{URL}/item")
    assert failure.value.code == "FileContentInvalid"
    assert "'I'" in failure.value.message


CIRCLES: dict[str, dict[str, Any]] = {
    "catalogs below each other": {
        "a": {**CATALOG, "links": [{"rel": "child", "href": f"{URL}/b"}]},
        "b": {**CATALOG, "links": [{"rel": "child", "href": f"{URL}/a"}, {"rel": "child", "href": f"{URL}/b"}]},
    },
    "pages after each other": {
        "a": {**PAGE, "links": [{"rel": "next", "href": f"{URL}/b"}]},
        "b": {**PAGE, "links": [{"rel": "next", "href": f"{URL}/a"}]},
    },
    "a list of items that is its own collection": {
        "a": {**COLLECTION, "links": [{"rel": "items", "href": f"{URL}/a/items"}]},
        "a/items": {**PAGE, "links": [{"rel": "collection", "href": f"{URL}/a/items"}]},
    },
    "a collection that is its own item": {"a": {**COLLECTION, "links": [{"rel": "item", "href": f"{URL}/a"}]}},
    "an item that is its own collection": {"a": {**ITEM, "links": [{"rel": "collection", "href": f"{URL}/a"}]}},
    "an API that is its own search": {
        "a": {**CATALOG, "links": [{"rel": "search", "href": f"{URL}/a"}, {"rel": "data", "href": f"{URL}/a"}]}
    },
}


@pytest.mark.parametrize("what", CIRCLES)
def test_circles_end(what: str) -> None:
    documents = {**SOUND, **{f"{URL}/{name}": document for name, document in CIRCLES[what].items()}}
    shelf: Any = Shelf(documents)
    env: Any = Surroundings()
    for name in CIRCLES[what]:
        refusal(Catalog([], CatalogSettings(), shelf).load_url, f"{URL}/{name}", LoadRequest(), env)
    assert shelf.read < 50


@pytest.mark.parametrize("shape", [[1, 2 * 10**9], [10**12, 1], [10**7, 10**7]])
def test_t24_grids_with_more_pixels_than_any_has(shape: list[int]) -> None:
    """Each row and column has a coordinate, which are made before anything is read."""
    asset = {**ITEM["assets"]["B04"], "proj:shape": shape}
    documents = {**SOUND, f"{URL}/item": {**ITEM, "assets": {"B04": asset}}}
    error = refusal(load, documents, f"{URL}/item")
    assert getattr(error, "code", "") in ("ProcessGraphComplexity", "FileContentInvalid")


def test_markup_stays_text() -> None:
    markup = '<img src=x onerror="alert(1)">'
    collection = {**COLLECTION, "title": markup, "description": markup, "keywords": [markup, 5, None]}
    (found,) = publish({**SOUND, f"{URL}/collection": collection}, f"{URL}/catalog")
    assert (found["title"], found["keywords"]) == (markup, [markup])


def test_links_and_urls_that_are_no_addresses_are_left_out() -> None:
    script = "javascript:alert(1)"
    collection = {
        **COLLECTION,
        "links": [*COLLECTION["links"], {"rel": "about", "href": script}],
        "providers": [{"name": "P", "roles": ["producer", "king"], "url": script}],
        "assets": {"thumb": {"href": script}},
    }
    (found,) = publish({**SOUND, f"{URL}/collection": collection}, f"{URL}/catalog")
    assert script not in json.dumps(found)
    assert found["providers"] == [{"name": "P", "roles": ["producer"]}]


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b'{"type": "Catalog", "x": ' + b"9" * 5000 + b"}", b"\xff", b""]
)
def test_files_that_are_no_documents(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "catalog.json"
    file.write_bytes(content)
    door: Any = Shelf({})
    with pytest.raises(OpenEOError) as failure:
        Documents(door, tmp_path).read(str(file))
    assert failure.value.code == "FileContentInvalid"
    with pytest.raises(SettingsError) as told:
        Catalog([str(file)], CatalogSettings(), door)
    assert "\n" not in str(told.value)


def test_one_bad_collection_of_an_api_does_not_hide_the_others() -> None:
    api = {
        **CATALOG,
        "links": [{"rel": "search", "href": f"{URL}/search"}, {"rel": "data", "href": f"{URL}/collections"}],
    }
    good = {**COLLECTION, "links": []}
    listed = {"collections": [{**good, "id": "BAD", "extent": 5}, "text", good], "links": []}
    page = {"type": "FeatureCollection", "features": [], "links": []}
    documents = {f"{URL}/api": api, f"{URL}/collections": listed, f"{URL}/search": page}

    class Search(Shelf):
        def json(self, url: str) -> Any:
            return super().json(url.split("?")[0])

    shelf: Any = Search(documents)
    catalog = Catalog([f"{URL}/api"], CatalogSettings(), shelf)
    assert [collection["id"] for collection in catalog.collections()] == ["C"]
