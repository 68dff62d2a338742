"""Results of jobs as input: from inside, over HTTP, and by others without our code."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import odc.stac
import pystac
import pytest
import requests

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.jobs.input import OwnResults
from openeo_backend.processes.environment import Env
from openeo_backend.run.engine import Engine

LOAD = {"id": "SCENES", "spatial_extent": None, "temporal_extent": None}
DAYS = ("2023-04-02", "2023-04-12", "2023-04-25")
DATES = np.array(DAYS, dtype="datetime64[ns]")


def graph(format: str, options: dict | None = None, **between) -> dict:
    nodes = {"load": {"process_id": "load_collection", "arguments": LOAD}, **between}
    last = list(nodes)[-1]
    arguments = {"data": {"from_node": last}, "format": format, "options": options or {}}
    return {**nodes, "save": {"process_id": "save_result", "arguments": arguments, "result": True}}


def env(user: str | None = "ada", folder: Path | None = None) -> Env:
    return Env(log=lambda level, message, **more: None, user=user, folder=folder)


def loader(site):
    return Engine.open(site.backend.settings, OwnResults(site.backend.settings)).catalog


def canonical(site, job: str) -> str:
    document = requests.get(f"{site.url}/jobs/{job}/results", headers=site.headers(), timeout=30).json()
    assert "code" not in document, document
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


@pytest.mark.parametrize("format", ["GTiff", "netCDF"])
def test_floats_on_any_grid_come_back_bit_by_bit(sites, catalog, format):
    """Reflectances with missing values in longitude and latitude, as the graph has them before they are written."""
    half = {"process_id": "multiply", "arguments": {"x": {"from_parameter": "x"}, "y": 0.0001}, "result": True}
    scale = {"data": {"from_node": "load"}, "process": {"process_graph": {"half": half}}}
    warp = {"data": {"from_node": "scale"}, "projection": 4326, "resolution": 0.00017}
    nodes = graph(
        format,
        scale={"process_id": "apply", "arguments": scale},
        warp={"process_id": "resample_spatial", "arguments": warp},
    )
    site = sites("a", str(catalog))
    engine = Engine.open(site.backend.settings)
    kept = {"load": nodes["load"], "scale": nodes["scale"], "warp": {**nodes["warp"], "result": True}}
    plan, _ = engine.plan({"process_graph": kept}, given={})
    surroundings = Env(log=lambda level, message, **more: None, collections=engine.catalog)
    written = evaluate(plan.graph, engine.processes, Scope(), surroundings)
    found = loader(site).load_result(site.job(nodes), LoadRequest(), env())
    assert found.data.dtype == written.data.dtype == np.float32
    expected = written.data.transpose("t", "bands", "y", "x").values
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(found.data.values, expected)
    assert found.crs == written.crs
    for name in ("t", "bands"):
        np.testing.assert_array_equal(found.data[name].values, written.data[name].values)
    for name in ("x", "y"):  # files hold origin and step, of which coordinates are computed: to the last digit or so
        np.testing.assert_allclose(found.data[name].values, written.data[name].values, rtol=0, atol=1e-9 * 0.00017)


def test_a_graph_loads_an_earlier_result_in_a_child(sites, catalog, values):
    site = sites("a", str(catalog))
    job = site.job(graph("GTiff"))
    load = {"process_id": "load_result", "arguments": {"id": job, "bands": ["B08"]}}
    first = {
        "process_id": "reduce_dimension",
        "arguments": {
            "data": {"from_node": "load"},
            "dimension": "t",
            "reducer": {
                "process_graph": {
                    "last": {"process_id": "last", "arguments": {"data": {"from_parameter": "data"}}, "result": True}
                }
            },
        },
    }
    save = {"data": {"from_node": "last"}, "format": "JSON"}
    nodes = {"load": load, "last": first, "save": {"process_id": "save_result", "arguments": save, "result": True}}
    second = site.job(nodes, runner=site.backend.runner)
    document = requests.get(f"{site.url}/jobs/{second}/results", headers=site.headers(), timeout=30).json()
    (asset,) = document["assets"].values()
    found = requests.get(asset["href"], timeout=30).json()
    last = np.where(values["B08"] == 0, 0, values["B08"])
    numbers = [value for row in np.ravel(found["data"] if isinstance(found, dict) else found) for value in [row]]
    valid = [value for value in numbers if value is not None]
    assert len(numbers) == last[0].size
    assert set(valid) <= set(np.ravel(last).tolist())
    inputs = [link["href"] for link in document["links"] if link["rel"] == "derived_from"]
    assert inputs == [f"http://127.0.0.1:8080/openeo/1.2/jobs/{job}/results"]


def test_dates_and_bands_of_a_result_are_chosen(sites, catalog, values):
    site = sites("a", str(catalog))
    job = site.job(graph("netCDF"))
    request = LoadRequest(temporal_extent=["2023-04-12", "2023-04-25"], bands=("B08",))
    cube = loader(site).load_result(job, request, env())
    np.testing.assert_array_equal(cube.data.values[:, 0], values["B08"][1:2])
    assert cube.data["t"].values.tolist() == DATES[1:2].tolist()
    with pytest.raises(OpenEOError, match="has no band 'B99'"):
        loader(site).load_result(job, LoadRequest(bands=("B99",)), env())


def test_jobs_of_others_need_their_signed_link(sites, catalog, values):
    site = sites("a", str(catalog))
    job = site.job(graph("GTiff"))
    found = loader(site)
    for address in (job, f"{site.url}/jobs/{job}/results"):
        for user in ("bob", None):
            with pytest.raises(OpenEOError) as refused:
                found.load_result(address, LoadRequest(), env(user))
            assert refused.value.code == "JobNotFound"
    signed = canonical(site, job)
    assert_same(found.load_url(signed, LoadRequest(), env("bob")), values)
    with pytest.raises(OpenEOError) as altered:
        found.load_url(signed[:-1] + ("0" if signed[-1] != "0" else "1"), LoadRequest(), env("bob"))
    assert altered.value.code == "PermissionsInsufficient"


def test_one_item_of_a_result_is_one_date(sites, catalog, values):
    site = sites("a", str(catalog))
    job = site.job(graph("GTiff"))
    document = requests.get(canonical(site, job), timeout=30).json()
    items = [link["href"] for link in document["links"] if link["rel"] == "item"]
    cube = loader(site).load_url(items[1], LoadRequest(), env("bob"))
    assert cube.data["t"].values.tolist() == DATES[1:2].tolist()
    np.testing.assert_array_equal(cube.data.values[0], np.stack([values["B04"][1], values["B08"][1]]))


def test_what_is_not_there_is_told(sites, catalog):
    site = sites("a", str(catalog))
    unfinished = site.backend.store.jobs.create("ada", {"process_graph": graph("GTiff")})
    with pytest.raises(OpenEOError) as waiting:
        loader(site).load_result(unfinished.id, LoadRequest(), env())
    assert waiting.value.code == "JobNotFinished"
    with pytest.raises(OpenEOError) as unknown:
        loader(site).load_result("j-" + "0" * 32, LoadRequest(), env())
    assert unknown.value.code == "JobNotFound"


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")  # of odc-geo
def test_others_read_results_without_our_code(sites, catalog, values):
    site = sites("a", str(catalog))
    job = site.job(graph("GTiff"))
    collection = pystac.Collection.from_dict(requests.get(canonical(site, job), timeout=30).json())
    items = [
        pystac.Item.from_dict(requests.get(link.href, timeout=30).json())
        for link in collection.links
        if link.rel == "item"
    ]
    found = odc.stac.load(items, chunks={})
    assert sorted(found.data_vars) == ["B04", "B08"]
    for name, planes in values.items():
        np.testing.assert_array_equal(found[name].values, planes)
    np.testing.assert_array_equal(found["time"].values.astype("datetime64[ns]"), DATES)
    np.testing.assert_array_equal(found["x"].values, 600_005 + 10.0 * np.arange(planes.shape[2]))
    np.testing.assert_array_equal(found["y"].values, 5_699_990 - 20.0 * np.arange(planes.shape[1]))
    assert all(urlsplit(asset.href).query for item in items for asset in item.assets.values())


@pytest.mark.parametrize("format", ["GTiff", "netCDF"])
def test_results_kept_in_s3_are_copied_for_the_run(sites, catalog, values, tmp_path, monkeypatch, format):
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    store = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    store.start()
    try:
        endpoint = "http://{}:{}".format(*store.get_host_and_port())
        account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        for name, value in {**account, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="results")
        site = sites("a", str(catalog), store={"files": "s3://results/of-a"})
        job = site.job(graph(format))
        assert_same(loader(site).load_result(job, LoadRequest(), env(folder=tmp_path)), values)
        assert not (tmp_path / "a" / "files").exists()
        usage = site.backend.store.jobs.get("ada", job).usage
        assert usage["network"] == usage["storage"]  # nothing came over the network, the results went over it
        assert usage["network"]["value"] > 0
    finally:
        store.stop()
