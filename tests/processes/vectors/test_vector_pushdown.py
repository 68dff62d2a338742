"""What aggregations and polygons say about the loads before them, and how their results are computed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import shapely
from odc.geo.crs import CRS
from vector_support import callback, geojson, place, raster

from openeo_backend.cube.extent import parse_surroundings
from openeo_backend.formats.tables import collect
from openeo_backend.graph.parse import parse
from openeo_backend.graph.pushdown import hints
from openeo_backend.processes.registry import Registry

Call = Callable[..., Any]

POINTS = geojson([shapely.Point(3, 50), shapely.LineString([(4, 51), (5, 52)])], epsg=None)
BOX = {"west": 3, "south": 50, "east": 4, "north": 51}


@pytest.mark.parametrize(
    ("process", "arguments"),
    [
        ("aggregate_spatial", {"geometries": POINTS, "reducer": callback("mean")}),
        ("apply_polygon", {"geometries": POINTS, "process": callback("filter_bbox", extent=BOX)}),
        ("chunk_polygon", {"chunks": POINTS, "process": callback("filter_bbox", extent=BOX)}),
    ],
)
def test_geometries_narrow_the_load_and_later_filters_do_not(
    vector_registry: Registry, process: str, arguments: dict[str, Any]
) -> None:
    graph = parse(
        {
            "load": {"process_id": "load_collection", "arguments": {"id": "S2"}},
            "zones": {"process_id": process, "arguments": {"data": {"from_node": "load"}, **arguments}},
            "box": {
                "process_id": "filter_bbox",
                "arguments": {"data": {"from_node": "zones"}, "extent": BOX},
                "result": True,
            },
        }
    )
    assert hints(graph, vector_registry, ["load_collection"])["load"].spatial == (POINTS,)


def test_surroundings_of_any_geometries(call: Call) -> None:
    area = parse_surroundings(POINTS)
    assert area is not None
    assert area.bounds(CRS("EPSG:4326")) == (3, 50, 5, 52)
    cube = call("load_geojson", data=geojson([shapely.Point(*place(3, 4)), shapely.Polygon(), None]))
    area = parse_surroundings(cube)
    assert area is not None
    x, y = place(3, 4)
    assert area.bounds(CRS("EPSG:32631")) == (x, y, x, y)
    assert parse_surroundings(geojson([])) is None
    assert parse_surroundings(None) is None
    area = parse_surroundings(BOX)
    assert area is not None
    assert area.bounds(CRS("EPSG:4326")) == (3, 50, 4, 51)


def test_writers_read_several_blocks_at_once(call: Call) -> None:
    together = threading.Barrier(2, timeout=20)

    def wait(block: np.ndarray) -> np.ndarray:
        together.wait()
        return block

    cube = raster(np.ones((20, 40), "float32"), chunks=(20, 20))
    lazy = da.map_blocks(wait, cube.data.data, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    box = geojson([shapely.box(*place(0, 20), *place(40, 0))])
    zones = call(
        "aggregate_spatial",
        data=cube.patch(data=cube.data.copy(data=lazy)),
        geometries=box,
        reducer=callback("sum"),
    )
    assert collect(zones, "CSV", lambda done, planned: None).tolist() == [800.0]


def test_threads_share_geometries(call: Call) -> None:
    """All blocks meet the same polygon, and centres on its edge, at the same time: this once ended the process."""
    polygon = shapely.Polygon([place(x + 0.5, y + 0.5) for x, y in [(0, 0), (60, 0), (60, 60), (30, 30), (0, 60)]])
    for _ in range(20):
        zones = call(
            "aggregate_spatial",
            data=raster(np.ones((64, 64), "float32"), chunks=(8, 8)),
            geometries=geojson([polygon, polygon.boundary]),
            reducer=callback("sum"),
        )
        total = zones.data.compute(scheduler="threads", num_workers=8).values
        assert total[0] == shapely.intersects_xy(polygon, *np.meshgrid(*(zones_axes()))).sum()
        assert total[1] > 200


def zones_axes() -> tuple[np.ndarray, np.ndarray]:
    cube = raster(np.ones((64, 64)))
    return cube.labels("x"), cube.labels("y")
