"""Planning loads of very many items, and searches that are asked again."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from openeo_backend.catalog import bands, grid
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.features import feature
from openeo_backend.catalog.item import Item, ItemReader
from openeo_backend.catalog.mosaic import label
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.searches import Found, Searches, uncollected
from openeo_backend.catalog.sources import ItemQuery
from openeo_backend.errors import OpenEOError
from openeo_backend.settings import CatalogSettings

ROOT = "https://stac.example"
COUNT = 10_000


def item(number: int) -> dict[str, Any]:
    moment = datetime(2015, 1, 1, 10) + timedelta(hours=9 * number)
    band = {"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": -0.1}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"i{number}",
        "collection": "S2",
        "bbox": [14.9, 47.8, 15.0, 47.9],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[14, 47], [16, 47], [16, 49], [14, 49], [14, 47]]],
        },
        "properties": {
            "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "proj:code": "EPSG:32633",
            "proj:shape": [4096, 4096],
            "proj:transform": [10, 0, 399_960, 0, -10, 5_300_040],
        },
        "assets": {
            name: {
                "href": f"{ROOT}/{number}/{name}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "raster:bands": [band],
            }
            for name in ("B04", "B08")
        },
        "links": [{"rel": "self", "href": f"{ROOT}/items/i{number}"}],
    }


class Api:
    """A STAC API without a network, as the way out to it; counts what is asked."""

    def __init__(self, count: int) -> None:
        self.items = [item(number) for number in range(count)]
        self.searches: list[dict[str, Any]] = []
        self.matched: int | None = None

    def check(self, url: str) -> None:
        assert url.startswith(ROOT)

    def json(self, url: str) -> Any:
        collection = {"type": "Collection", "stac_version": "1.0.0", "id": "S2", "license": "other", "links": []}
        if url == f"{ROOT}/collections":
            return {"collections": [collection | {"description": "", "extent": {}}], "links": []}
        assert url == f"{ROOT}/"
        links = [
            {"rel": "search", "href": f"{ROOT}/search", "method": "POST"},
            {"rel": "data", "href": f"{ROOT}/collections"},
        ]
        return {"type": "Catalog", "id": "api", "description": "", "links": links}

    def post_json(self, url: str, body: Any) -> Any:
        self.searches.append(body)
        start = body.get("token", 0)
        end = start + min(body["limit"], 250)
        page: dict[str, Any] = {"type": "FeatureCollection", "features": self.items[start:end], "links": []}
        if self.matched is not None:
            page["numberMatched"] = self.matched
        if end < len(self.items):
            more = {"rel": "next", "href": url, "method": "POST", "body": {"token": end}, "merge": True}
            page["links"] = [more]
        return page


def request(left: float = 399_960) -> LoadRequest:
    extent = {"west": left, "east": left + 640, "south": 5_299_400, "north": 5_300_040, "crs": 32633}
    return LoadRequest(spatial_extent=extent, temporal_extent=["2010-01-01", "2030-01-01"], bands=("B04", "B08"))


def test_ten_thousand_items_are_planned_with_few_objects_and_searched_once(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(COUNT)
    grids: list[Any] = []

    class Counted(GeoBox):
        def __init__(self, *given: Any) -> None:
            grids.append(given)
            super().__init__(*given)

    monkeypatch.setattr(grid, "GeoBox", Counted)
    grid._grid.cache_clear()
    bands._described.cache_clear()
    catalog = Catalog([f"{ROOT}/"], CatalogSettings(), api)
    cube = catalog.load("S2", request(), env)
    labels = cube.labels("t")
    first, last = api.items[0], api.items[-1]
    assert (str(labels[0])[:10], str(labels[-1])[:10]) == tuple(i["properties"]["datetime"][:10] for i in (first, last))
    assert cube.data.shape == (len({str(label)[:10] for label in labels}), 2, 64, 64)
    assert len(cube.provenance.items) == COUNT
    pages = [body for body in api.searches if body["limit"] == 250]
    assert len(pages) == COUNT / 250
    # one grid for all files, beside the one of the cube; one description for each band
    assert len(grids) <= 4
    assert bands._described.cache_info().misses == 2

    asked = len(api.searches)
    again = catalog.load("S2", request(), env)
    assert len(api.searches) == asked
    np.testing.assert_array_equal(again.labels("t"), labels)


@pytest.mark.parametrize(("seconds", "left", "more"), [(60, 399_960, 0), (60, 400_600, 2), (0, 399_960, 2)])
def test_the_same_search_is_kept_as_long_as_the_settings_say(env: Any, seconds: float, left: float, more: int) -> None:
    api = Api(500)
    catalog = Catalog([f"{ROOT}/"], CatalogSettings(search_kept_seconds=seconds), api)
    catalog.load("S2", request(), env)
    asked = len(api.searches)
    catalog.load("S2", request(left), env)
    assert len(api.searches) == asked + more


def found(*ids: str) -> Found:
    footprint: Any = None
    moment = np.datetime64("2020-01-01", "ns")
    items: Sequence[Item] = [Item(id, "", "", moment, moment, footprint, {}, {}) for id in ids]
    return Found(items, [])


def test_searches_grow_old_and_make_room() -> None:
    now = [0.0]
    searches = Searches(10, 3, lambda: now[0])
    made: list[str] = []

    def get(asked: str, *ids: str) -> list[str]:
        return [i.id for i in searches.get(asked, lambda: made.append(asked) or found(*ids)).items]  # type: ignore[func-returns-value]

    assert get("a", "1", "2") == ["1", "2"]
    assert get("a", "other") == ["1", "2"]
    assert get("b", "3") == ["3"]
    assert made == ["a", "b"]
    get("c", "4")  # four items are more than may be kept
    get("b", "3")
    get("a", "1", "2")
    assert made == ["a", "b", "c", "a"]
    now[0] = 11.0
    get("c", "4")
    assert made[-1] == "c"
    get("large", "1", "2", "3", "4")
    get("large", "1", "2", "3", "4")
    assert made[-2:] == ["large", "large"]


def test_collecting_goes_on_afterwards_also_after_a_failure() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def read(*changes: Mapping[str, Any], collection: Mapping[str, Any] | None = None) -> list[Item]:
    """Items of which the asset B04 differs from the others as told."""
    reader, found = ItemReader(collection or {}), []
    for number, change in enumerate(changes):
        document = item(number)
        document["assets"]["B04"] |= change
        found.append(reader.read(document, f"{ROOT}/items/i{number}"))
    return found


def test_items_whose_assets_say_the_same_share_what_follows() -> None:
    own = {"file:checksum": "1220aa", "file:size": 9}
    one, other, third = read({}, own, {"raster:bands": [{"data_type": "int16"}]})
    assert one.form is other.form
    assert bands.item_bands(one) is bands.item_bands(other)
    assert third.form is not one.form
    assert [bands.item_bands(i)["B04"].dtype for i in (one, other, third)] == ["uint16", "uint16", "int16"]
    assert feature(other, "S2")["assets"]["B04"] == item(1)["assets"]["B04"] | own
    assert dict(one.assets["B04"]) == item(0)["assets"]["B04"]
    assert one.assets["B08"].said is third.assets["B08"].said


def test_items_that_alternate_between_many_forms_are_not_mixed_up() -> None:
    variants = [{"raster:bands": [{"data_type": "int16", "nodata": number}]} for number in range(20)]
    found = read(*variants, *variants)
    assert [bands.item_bands(i)["B04"].nodata for i in found] == [*range(20), *range(20)]


def test_assets_that_only_their_name_tells_apart() -> None:
    one, other = read({"type": None}, {"type": None, "href": f"{ROOT}/0/B04.xml"})
    assert set(bands.item_bands(one)) == {"B04", "B08"}
    assert set(bands.item_bands(other)) == {"B08"}


def test_templates_of_the_collection_fill_in_what_items_leave_out() -> None:
    template = {"B04": {"unit": "K", "raster:bands": [{"data_type": "int8", "offset": 5}]}}
    one, other = read({}, {"raster:bands": None}, collection={"item_assets": template})
    assert (bands.item_bands(one)["B04"].unit, bands.item_bands(one)["B04"].offset) == ("K", -0.1)
    assert bands.item_bands(other)["B04"].dtype is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"href": 7}, "assets.B04.href: not a text"),
        ({"roles": "data"}, "assets.B04.roles: not an array"),
        ({"proj:shape": [1.5, 2]}, "assets.B04.proj:shape.0: not a number of pixels"),
    ],
)
def test_assets_of_pages_are_looked_at(env: Any, change: dict[str, Any], told: str) -> None:
    api = Api(30)
    api.items[20]["assets"]["B04"] |= change
    with pytest.raises(OpenEOError) as refused:
        Catalog([f"{ROOT}/"], CatalogSettings(), api).load("S2", request(), env)
    assert refused.value.code == "FileContentInvalid"
    assert told in refused.value.message


def test_every_offset_of_items_that_are_alike_otherwise_is_kept(env: Any) -> None:
    api = Api(4)
    for number, document in enumerate(api.items):
        document["properties"]["s2:processing_baseline"] = "04.00" if number % 2 else "03.00"
        for asset in document["assets"].values():
            asset["raster:bands"] = [{"data_type": "uint16", "nodata": 0, "scale": 0.0001}]
    catalog = Catalog([f"{ROOT}/"], CatalogSettings(), api)
    items = catalog.items("S2", ItemQuery())
    assert [bands.linear(bands.item_bands(i)["B04"], i)[1] for i in items] == [0.0, -0.1, 0.0, -0.1]
    assert len({i.form for i in items}) == 1


def test_labels_follow_the_sun_at_the_middle_of_items_as_one_by_one() -> None:
    def made(start: str, end: str | None, geometry: BaseGeometry, number: int) -> Item:
        times = {"datetime": start} if end is None else {"start_datetime": start, "end_datetime": end}
        shape = shapely.geometry.mapping(geometry)
        return ItemReader({}).read({"id": str(number), "geometry": shape, "properties": times}, ROOT)

    seam = shapely.MultiPolygon([shapely.box(178, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    items = [
        made("2020-06-01T23:00:00Z", None, shapely.box(29, 0, 31, 1), 0),  # two hours east: the next day
        made("2020-06-01T23:00:00Z", None, shapely.box(-31, 0, -29, 1), 1),
        made("2020-06-01T23:00:00Z", None, seam, 2),  # in the middle at 179.5 degrees east
        made("2020-06-01T00:00:00Z", None, shapely.box(-100, 0, -99, 1), 3),  # a date, not a moment
        made("2020-06-01T12:00:00Z", "2020-06-05T12:00:00Z", shapely.box(170, 0, 171, 1), 4),  # a period
    ]
    days = ["2020-06-02", "2020-06-01", "2020-06-02", "2020-06-01", "2020-06-01"]
    assert label(items, "solar_day").astype("datetime64[D]").astype(str).tolist() == days
    assert set(label(items, "utc_day").astype("datetime64[D]").astype(str)) == {"2020-06-01"}
    assert label(items, "none").tolist() == [i.start.astype("int64") for i in items]


@pytest.mark.parametrize(
    ("told", "pages", "words"), [(10**6, 1, "1,000,000 items"), (None, 9, "More than 2,000 items")]
)
def test_a_million_items_are_refused_page_by_page(env: Any, told: int | None, pages: int, words: str) -> None:
    api = Api(2500)  # of them no more are asked for than it takes to know
    api.matched = told
    with pytest.raises(OpenEOError) as refused:
        Catalog([f"{ROOT}/"], CatalogSettings(max_items=2000), api).load("S2", request(), env)
    assert refused.value.code == "ProcessGraphComplexity"
    assert words in refused.value.message
    assert "2,000" in refused.value.message
    assert len([body for body in api.searches if body["limit"] == 250]) == pages


def test_an_estimate_that_is_somewhat_too_high_refuses_nothing(env: Any) -> None:
    api = Api(30)
    api.matched = 9000
    cube = Catalog([f"{ROOT}/"], CatalogSettings(max_items=2000), api).load("S2", request(), env)
    assert len(cube.provenance.items) == 30
