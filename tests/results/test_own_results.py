"""Results of jobs as input: from inside, over HTTP, and by others without our code."""

from __future__ import annotations

import numpy as np
import pytest
import requests

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.jobs.input import OwnResults
from openeo_backend.processes.environment import Env
from openeo_backend.run.engine import Engine

LOAD = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None}
DATES = np.array(["2023-04-02", "2023-04-12", "2023-04-25"], dtype="datetime64[ns]")


def graph(format: str, options: dict | None = None, **between) -> dict:
    nodes = {"load": {"process_id": "load_collection", "arguments": LOAD}, **between}
    last = list(nodes)[-1]
    arguments = {"data": {"from_node": last}, "format": format, "options": options or {}}
    return {**nodes, "save": {"process_id": "save_result", "arguments": arguments, "result": True}}


def env(user: str | None = "ada", folder=None) -> Env:
    return Env(log=lambda level, message, **more: None, user=user, folder=folder)


def loader(site):
    return Engine.open(site.backend.settings, OwnResults(site.backend.settings)).catalog


def canonical(site, job: str) -> str:
    document = requests.get(f"{site.url}/jobs/{job}/results", headers=site.headers(), timeout=30).json()
    assert "links" in document and not document.get("code"), document
    return next(link["href"] for link in document["links"] if link["rel"] == "canonical")


def assert_same(cube, values):
    assert [str(name) for name in cube.data["bands"].values] == list(values)
    assert cube.data.dtype == np.uint16
    assert cube.nodata == 0
    np.testing.assert_array_equal(cube.data["t"].values, DATES)
    expected = np.stack(list(values.values()), axis=1)
    np.testing.assert_array_equal(cube.data.transpose("t", "bands", "y", "x").values, expected)
    height, width = expected.shape[2:]
    np.testing.assert_array_equal(cube.data["x"].values, 600_005 + 10.0 * np.arange(width))
    np.testing.assert_array_equal(cube.data["y"].values, 5_699_990 - 20.0 * np.arange(height))
    assert cube.crs.epsg == 32631


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GTiff", {}),
        ("GTiff", {"separate_asset_per_band": True}),
        ("netCDF", {}),
        ("netCDF", {"separate_asset_per_band": True}),
        ("Zarr", {}),
    ],
)
def test_results_come_back_bit_by_bit(sites, catalog, values, format, options):
    site = sites("a", str(catalog))
    job = site.job(graph(format, options))
    catalog_of = loader(site)
    signed = canonical(site, job)
    for address in (f"{site.url}/jobs/{job}/results", signed):
        assert_same(catalog_of.load_url(address, LoadRequest(), env()), values)
    assert_same(catalog_of.load_result(job, LoadRequest(), env()), values)
    elsewhere = sites("b")
    assert_same(loader(elsewhere).load_url(signed, LoadRequest(), env()), values)
