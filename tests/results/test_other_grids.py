"""Results on other grids than their inputs' come back bit by bit, over HTTP, and for others without our code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
import requests

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.jobs.input import OwnResults
from openeo_backend.processes.environment import Env
from openeo_backend.run.engine import Engine

LOAD = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None}
#: Reference systems, with a size of pixels in each.
GRIDS = [(32631, 15.0), (3035, 20.0), (3857, 25.0), (4326, 0.0002)]


def graph(code: int, resolution: float, format: str) -> dict[str, Any]:
    warp = {"data": {"from_node": "load"}, "projection": code, "resolution": resolution, "method": "near"}
    return {
        "load": {"process_id": "load_collection", "arguments": LOAD},
        "warp": {"process_id": "resample_spatial", "arguments": warp},
        "save": {
            "process_id": "save_result",
            "arguments": {"data": {"from_node": "warp"}, "format": format},
            "result": True,
        },
    }


def env() -> Env:
    return Env(log=lambda level, message, **more: None, user="bob")


def written(site: Any, nodes: dict[str, Any]) -> Cube:
    """The cube as the graph has it before it is written."""
    engine = Engine.open(site.backend.settings)
    kept = {"load": nodes["load"], "warp": {**nodes["warp"], "result": True}}
    plan, problems = engine.plan({"process_graph": kept}, given={})
    assert plan is not None, problems
    surroundings = Env(log=lambda level, message, **more: None, collections=engine.catalog)
    return evaluate(plan.graph, engine.processes, Scope(), surroundings)


def canonical(site: Any, job: str) -> str:
    document = requests.get(f"{site.url}/jobs/{job}/results", headers=site.headers(), timeout=30).json()
    assert "code" not in document, document
    return next(link["href"] for link in document["links"] if link["rel"] == "canonical")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")  # of odc-geo
def test_integers_with_gaps_in_any_reference_system(sites: Any, catalog: Path) -> None:
    """Over HTTP by the signed link, at a back-end that knows nothing of the job; GeoTIFFs by odc.stac, too."""
    site, elsewhere = sites("a", str(catalog)), sites("b")
    away = Engine.open(elsewhere.backend.settings, OwnResults(elsewhere.backend.settings)).catalog
    for code, resolution in GRIDS:
        expected = written(site, graph(code, resolution, "GTiff"))
        values = expected.data.transpose("t", "bands", "y", "x").values
        assert values.dtype == np.uint16
        assert (values == 0).any()
        assert values.any()
        for format in ("GTiff", "netCDF", "Zarr"):
            signed = canonical(site, site.job(graph(code, resolution, format)))
            found = away.load_url(signed, LoadRequest(), env())
            assert found.crs is not None
            assert (found.crs.epsg, found.nodata, found.data.dtype) == (code, 0, np.uint16)
            np.testing.assert_array_equal(found.data.transpose("t", "bands", "y", "x").values, values)
            for name in ("t", "bands"):
                np.testing.assert_array_equal(found.data[name].values, expected.data[name].values)
            for name in ("x", "y"):  # files hold origin and step, of which coordinates are computed
                np.testing.assert_allclose(
                    found.data[name].values, expected.data[name].values, rtol=0, atol=1e-9 * resolution
                )
            if format == "GTiff":
                _read_by_others(signed, code, values)


def _read_by_others(signed: str, code: int, values: np.ndarray) -> None:
    collection = pystac.Collection.from_dict(requests.get(signed, timeout=30).json())
    addresses = [link.href for link in collection.links if link.rel == "item"]
    items = [pystac.Item.from_dict(requests.get(address, timeout=30).json()) for address in addresses]
    found = odc.stac.load(items, chunks={})
    assert found.odc.crs is not None
    assert found.odc.crs.epsg == code
    for index, name in enumerate(("B04", "B08")):
        np.testing.assert_array_equal(found[name].values, values[:, index])
        assert found[name].nodata == 0
