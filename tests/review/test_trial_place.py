"""Where a trial looks at data, from metadata of all kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review import graphs
from openeo_backend.federation.review.place import DAYS, choose, parsed
from openeo_backend.observe.clock import now


class Listed:
    """A back-end with collections, and a declaration."""

    def __init__(self, *collections: dict[str, Any], **trial: Any) -> None:
        self.collections = list(collections)
        self.trial = trial

    def collection(self, id: str) -> dict[str, Any]:
        return next(entry for entry in self.collections if entry["id"] == id)

    def declares(self, section: str, name: str) -> Any:
        return self.trial.get(name)


def collection(id: str, box: list[float], interval: list[str | None], **members: Any) -> dict[str, Any]:
    dimensions = {
        "x": {"type": "spatial", "axis": "x"},
        "y": {"type": "spatial", "axis": "y"},
        "t": {"type": "temporal"},
        "bands": {"type": "bands", "values": ["B01", "B02", "B03", "B04"]},
    }
    extent = {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}}
    return {"id": id, "extent": extent, "cube:dimensions": dimensions, **members}


SMALL = collection("SMALL", [11.0, 48.0, 11.2, 48.1], ["2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z"])
EARTH = collection("EARTH", [-180, -90, 180, 90], ["2015-06-27T00:00:00Z", None], summaries={"gsd": [10, 20, 60]})


def test_the_middle_of_a_small_collection_at_the_end_of_its_time() -> None:
    place = choose(Listed(SMALL))  # type: ignore[arg-type]
    west, south, east, north = place.box
    assert (west + east) / 2 == pytest.approx(11.1)
    assert (south + north) / 2 == pytest.approx(48.05)
    assert (north - south) * 111_320 == pytest.approx(480, rel=0.01), "48 pixels of 10 m"
    assert place.interval == ("2024-11-21T00:00:00Z", "2024-12-31T00:00:01Z")
    assert place.bands == ("B01", "B02", "B03")


def test_land_and_data_that_have_arrived_where_a_collection_covers_the_earth() -> None:
    place = choose(Listed(EARTH))  # type: ignore[arg-type]
    assert place.box[0] == pytest.approx(5.05, abs=0.1), "not the ocean at 0, 0"
    start, end = (parsed(text) for text in place.interval)
    assert start is not None
    assert end is not None
    assert timedelta(days=89) < now() - end < timedelta(days=92)
    assert end - start == timedelta(days=DAYS, seconds=1)


def test_bands_with_the_common_names_of_colours_come_first() -> None:
    names = [
        {"name": "B01"},
        *({"name": f"B0{n}", "common_name": c} for n, c in ((2, "blue"), (3, "green"), (4, "red"))),
    ]
    place = choose(Listed({**SMALL, "summaries": {"eo:bands": names}}))  # type: ignore[arg-type]
    assert place.bands == ("B02", "B03", "B04")


def test_collections_of_the_federation_come_first() -> None:
    ours = {**SMALL, "id": "AAA"}
    place = choose(Listed(ours, {**SMALL, "id": "S2", "common_name": "SENTINEL2_L2A"}))  # type: ignore[arg-type]
    assert place.collection == "S2"


def test_what_is_declared_wins() -> None:
    box = {"west": 1, "south": 2, "east": 3, "north": 4}
    declared = {
        "collection": "EARTH",
        "spatial_extent": box,
        "temporal_extent": ["2020-01-01", "2020-02-01"],
        "bands": ["B04"],
    }
    place = choose(Listed(SMALL, EARTH, **declared))  # type: ignore[arg-type]
    assert (place.collection, place.box, place.interval, place.bands) == (
        "EARTH", (1, 2, 3, 4), ("2020-01-01", "2020-02-01"), ("B04",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "X"},
        {"id": "X", "cube:dimensions": None, "extent": None},
        {**SMALL, "id": "X", "extent": {"spatial": {"bbox": [[None, None, None, None]]}}},
        {**SMALL, "id": "X", "cube:dimensions": {"x": None}},
        {
            **SMALL,
            "id": "X",
            "cube:dimensions": {"x": {"type": "spatial", "step": "wide"}},
            "extent": {"spatial": {"bbox": []}},
        },
    ],
)
def test_collections_that_tell_nothing_are_passed_over(broken: dict[str, Any]) -> None:
    assert choose(Listed(broken, SMALL)).collection == "SMALL"  # type: ignore[arg-type]
    with pytest.raises(OpenEOError, match="CollectionNotFound|No collection"):
        choose(Listed(broken))  # type: ignore[arg-type]


def test_a_single_date_has_an_end_after_it() -> None:
    single = collection("MAP", [11.0, 48.0, 11.2, 48.1], ["2021-01-01T00:00:00Z", "2021-01-01T00:00:00Z"])
    assert choose(Listed(single)).interval == ("2021-01-01T00:00:00Z", "2021-01-01T00:00:01Z")  # type: ignore[arg-type]


def test_a_wider_place_has_the_same_middle() -> None:
    place = choose(Listed(SMALL))  # type: ignore[arg-type]
    wide = place.wider(4, 365)
    assert wide.box[2] - wide.box[0] == pytest.approx(4 * (place.box[2] - place.box[0]))
    assert wide.box[0] + wide.box[2] == pytest.approx(place.box[0] + place.box[2])
    assert parsed(wide.interval[0]) == datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_chains_give_each_process_the_one_before() -> None:
    graph = graphs.chain(("load_collection", {"id": "X"}), ("ndvi", {}), graphs.save("GTiff"))
    assert graph["ndvi2"]["arguments"] == {"data": {"from_node": "load_collection1"}}
    assert [name for name, node in graph.items() if node.get("result")] == ["save_result3"]
