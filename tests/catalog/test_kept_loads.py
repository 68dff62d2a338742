"""The same load again: what is kept of it, and what makes it anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stac_server import Server

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.latest import Latest
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings

DAYS = LoadRequest(temporal_extent=("2023-04-01", "2023-04-20"), most=1e6)


class Kept:
    """A catalog over an API whose searches are kept for a minute of a clock that tests set."""

    def __init__(self, archive: Any) -> None:
        self.archive, self.server, self.time = archive, Server(archive.folder), 0.0
        host = self.server.url.removeprefix("http://")
        source = f"{self.server.url}/api/"
        self.catalog = Catalog([source], CatalogSettings(), Door(NetSettings(allow=[host]), [source]))
        for clocked in (self.catalog._loads, self.catalog._sources[0].source._searches):  # type: ignore[attr-defined]
            clocked._clock = lambda: self.time

    def load(self, env: Any, request: LoadRequest = DAYS) -> Cube:
        return self.catalog.load("TEST", request, env)


@pytest.fixture
def kept(archive: Any) -> Iterator[Kept]:
    for day in (1, 2):
        archive.add(f"D{day}", {"B1": np.full((8, 8), day, "uint16")}, time=f"2023-04-0{day}T10:50:00Z")
    archive.write()
    found = Kept(archive)
    yield found
    found.server.http.shutdown()
    found.server.http.server_close()


def test_the_same_load_is_the_same_lazy_cube_and_tells_the_same(kept: Kept, env: Any) -> None:
    first, told = kept.load(env), list(env.entries)
    env.entries.clear()
    again = kept.load(env)
    assert again is first
    assert env.entries == told
    assert told
    assert first.is_lazy


def test_pixels_are_read_each_time(kept: Kept, env: Any) -> None:
    kept.load(env).data.values  # noqa: B018
    reads = kept.catalog.reads()
    kept.load(env).data.values  # noqa: B018
    assert kept.catalog.reads() > reads > 0


def test_other_requests_are_other_loads(kept: Kept, env: Any) -> None:
    first = kept.load(env)
    for other in (
        replace(DAYS, temporal_extent=("2023-04-02", "2023-04-20")),
        replace(
            DAYS,
            spatial_extent={"west": 600_000, "east": 600_040, "south": 5_699_960, "north": 5_700_000, "crs": 32631},
        ),
        replace(DAYS, bands=("B1",)),
    ):
        assert kept.load(env, other) is not first
    env.hint = LoadHints(
        margin=1, spatial=({"west": 600_010, "east": 600_020, "south": 5_699_980, "north": 5_699_990, "crs": 32631},)
    )
    assert kept.load(env).data.shape != first.data.shape


def test_the_limit_holds_for_what_is_kept(kept: Kept, env: Any) -> None:
    kept.load(env)
    with pytest.raises(OpenEOError) as caught:
        kept.load(env, replace(DAYS, most=10))
    assert caught.value.code == "ProcessGraphComplexity"


def test_an_item_that_comes_is_seen_when_searches_are_made_anew(kept: Kept, env: Any) -> None:
    assert kept.load(env).data.sizes["t"] == 2
    kept.archive.add("D3", {"B1": np.full((8, 8), 3, "uint16")}, time="2023-04-03T10:50:00Z")
    assert kept.load(env).data.sizes["t"] == 2  # the search is kept
    kept.time = 61
    assert kept.load(env).data.sizes["t"] == 3


def test_an_item_that_goes_or_changes_is_seen_when_searches_are_made_anew(kept: Kept, env: Any) -> None:
    kept.load(env)
    path = kept.archive.folder / "D2" / "item.json"
    item = json.loads(path.read_text())
    item["properties"]["datetime"] = "2023-04-05T10:50:00Z"
    path.write_text(json.dumps(item))
    kept.time = 61
    assert str(kept.load(env).data["t"].values[1])[:10] == "2023-04-05"
    path.unlink()
    kept.time = 122
    assert kept.load(env).data.sizes["t"] == 1


def test_a_load_is_made_anew_though_nothing_changed(kept: Kept, env: Any) -> None:
    first = kept.load(env)
    kept.time = 61
    again = kept.load(env)
    assert again is not first
    np.testing.assert_array_equal(again.data.values, first.data.values)


def test_what_tells_while_it_reads_is_not_kept(kept: Kept, env: Any) -> None:
    env.options = {"soft_errors": True}
    assert kept.load(env) is not kept.load(env)


def test_what_files_decide_on_is_not_kept(archive: Any, env: Any) -> None:
    archive.add("D1", {"B1": np.ones((8, 8), "uint16")}, grid_told=False)
    archive.write()
    catalog = Catalog([str(archive.folder / "collection.json")], CatalogSettings(), Door(NetSettings()))
    assert catalog.load("TEST", LoadRequest(), env) is not catalog.load("TEST", LoadRequest(), env)


def test_nothing_is_kept_where_searches_are_not(archive: Any, env: Any) -> None:
    archive.add("D1", {"B1": np.ones((8, 8), "uint16")})
    archive.write()
    source = str(archive.folder / "collection.json")
    for seconds, same in ((60, True), (0, False)):
        catalog = Catalog([source], CatalogSettings(search_kept_seconds=seconds), Door(NetSettings()))
        assert (catalog.load("TEST", LoadRequest(), env) is catalog.load("TEST", LoadRequest(), env)) is same


def test_the_least_is_found_anew_when_the_sample_is_read_anew(kept: Kept) -> None:
    area = {"west": 600_000, "east": 600_080, "south": 5_699_920, "north": 5_700_000, "crs": 32631}
    request = replace(DAYS, spatial_extent=area)
    first = kept.catalog.least("TEST", request, LoadHints())
    assert first is not None
    assert kept.catalog.least("TEST", request, LoadHints()) is first
    other = replace(request, bands=("B1", "B1"))
    assert kept.catalog.least("TEST", other, LoadHints()) is not first
    source: Any = kept.catalog._sources[0].source
    source._samples.clear()
    assert kept.catalog.least("TEST", request, LoadHints()) is not first


def test_of_too_many_the_one_used_longest_ago_goes() -> None:
    latest = Latest[str](2)
    latest.put(1, "a")
    latest.put(2, "b")
    assert latest.get(1) == "a"
    latest.put(3, "c")
    assert [latest.get(key) for key in (1, 2, 3)] == ["a", None, "c"]
    assert len(latest) == 2
