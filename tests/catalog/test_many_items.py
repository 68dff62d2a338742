"""Planning loads of very many items, and searches that are asked again."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox

from openeo_backend.catalog import bands, grid
from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.searches import Found, Searches, uncollected
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
