"""The official Python client, against a server as it is in use: every step that a user's notebook takes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pandas as pd
import pytest
import rasterio
import requests
import xarray as xr
from openeo.extra.job_management import MultiBackendJobManager, create_job_db
from openeo.rest import JobFailedException, OpenEoApiError
from openeo.rest.job import BatchJob


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.fixture(scope="module")
def finished(connection: openeo.Connection, extent: dict[str, Any]) -> BatchJob:
    """A job with a file per date."""
    cube = connection.load_collection("SENTINEL2_L2A", extent, ["2025-05-01", "2025-07-01"], ["B04", "B08"])
    job = cube.ndvi(nir="B08", red="B04").create_job(out_format="GTiff", title="Three dates")
    return job.start_and_wait(print=lambda text: None, max_poll_interval=0.5, connection_retry_interval=1)


def test_it_sees_what_is_there(connection: openeo.Connection) -> None:
    assert set(connection.list_collection_ids()) == {
        "SENTINEL2_L2A",
        "SENTINEL1_GRD",
        "COPERNICUS_30",
        "ESA_WORLDCOVER_10M_2021_V2",
    }
    bands = connection.describe_collection("SENTINEL2_L2A")["cube:dimensions"]["bands"]["values"]
    assert {"B02", "B04", "B08", "SCL"} <= set(bands)
    assert connection.describe_account()["user_id"] == "ada"
    assert {"ndvi", "reduce_dimension", "save_result"} <= {p["id"] for p in connection.list_processes()}
    assert {"GTiff", "netCDF", "PNG", "JSON"} <= set(connection.list_file_formats()["output"])


def test_a_mistake_is_told_before_it_is_sent(connection: openeo.Connection, extent: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="B99"):
        connection.load_collection("SENTINEL2_L2A", extent, bands=["B99"]).ndvi(nir="B99", red="B04")


def test_validation_names_the_node(connection: openeo.Connection, ndvi: openeo.DataCube) -> None:
    graph = ndvi.flat_graph()
    assert connection.validate_process_graph(graph) == []
    graph["ndvi1"]["arguments"]["nir"] = 8
    graph["reducedimension1"]["process_id"] = "reduce_everything"
    told = connection.validate_process_graph(graph)
    assert [problem["code"] for problem in told] == ["ProcessParameterInvalid", "ProcessUnsupported"]
    assert "ndvi1" in told[0]["message"]
    assert "reducedimension1" in told[1]["message"]


def test_numbers_come_back_as_numbers(connection: openeo.Connection) -> None:
    assert connection.execute(connection.datacube_from_process("add", x=3, y=5)) == 8


def test_geotiff_has_the_pixels_of_the_files(ndvi: openeo.DataCube, expected_ndvi: Any, tmp_path: Path) -> None:
    ndvi.download(tmp_path / "ndvi.tif")
    np.testing.assert_allclose(pixels(tmp_path / "ndvi.tif"), expected_ndvi, rtol=1e-6)


def test_netcdf_has_the_pixels_of_the_files(ndvi: openeo.DataCube, expected_ndvi: Any, tmp_path: Path) -> None:
    ndvi.download(tmp_path / "ndvi.nc")
    with xr.open_dataset(tmp_path / "ndvi.nc", engine="h5netcdf") as data:
        (name,) = (name for name in data.data_vars if data[name].ndim >= 2)
        np.testing.assert_allclose(data[name].squeeze().to_numpy(), expected_ndvi, rtol=1e-6)


def test_png_is_scaled_as_asked(ndvi: openeo.DataCube, expected_ndvi: Any, tmp_path: Path) -> None:
    ndvi.linear_scale_range(-1, 1, 0, 255).download(tmp_path / "ndvi.png")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        found = pixels(tmp_path / "ndvi.png")
    np.testing.assert_allclose(found, (expected_ndvi + 1) / 2 * 255, atol=0.51)


def test_a_graph_without_save_result_is_a_geotiff(
    connection: openeo.Connection, ndvi: openeo.DataCube, expected_ndvi: Any, tmp_path: Path
) -> None:
    connection.download(ndvi.flat_graph(), tmp_path / "default", validate=False)
    np.testing.assert_allclose(pixels(tmp_path / "default"), expected_ndvi, rtol=1e-6)


def test_an_error_names_node_and_reason(connection: openeo.Connection, ndvi: openeo.DataCube) -> None:
    graph = ndvi.flat_graph()
    graph["ndvi1"]["arguments"]["nir"] = "B99"
    with pytest.raises(OpenEoApiError, match=r"'ndvi1'.*'B99'.*Available: B04, B08") as told:
        connection.execute(graph, validate=False)
    assert told.value.http_status_code == 400


def test_a_job_goes_from_creation_to_files(finished: BatchJob, tmp_path: Path) -> None:
    description = finished.describe()
    assert description["status"] == "finished"
    assert description["progress"] == 100
    assert description["usage"]["input_pixel"] == {"value": pytest.approx(96 * 96 * 2 * 3 / 1e6), "unit": "mega-pixel"}
    messages = [entry["message"] for entry in finished.logs()]
    assert any("EPSG:32632" in message and "96 x 96 pixels" in message for message in messages)
    assert finished.logs(level="error") == []
    paths = finished.get_results().download_files(tmp_path, include_stac_metadata=True)
    names = sorted(path.name for path in paths)
    dates = ("2025-05-01", "2025-05-11", "2025-06-10")
    assert names == ["Three-dates_" + date + ".tif" for date in dates] + ["job-results.json"]
    assert all(pixels(path).shape == (96, 96) for path in paths if path.suffix == ".tif")


def test_a_finished_job_tells_times_and_usage_as_clients_show_them(finished: BatchJob) -> None:
    job = finished.describe()
    times = [job[name] for name in ("created", "queued", "started", "updated", "unpublished")]
    assert all(time.endswith("Z") for time in times)
    assert times == sorted(times)
    kept = datetime.fromisoformat(job["unpublished"]) - datetime.fromisoformat(job["updated"])
    assert abs(kept - timedelta(days=90)) < timedelta(seconds=2)
    units = {name: metric["unit"] for name, metric in job["usage"].items()}
    assert units == {
        "cpu": "cpu-seconds",
        "memory": "mb-seconds",
        "max_memory": "mb",
        "duration": "seconds",
        "network": "b",
        "storage": "b",
        "input_pixel": "mega-pixel",
    }
    assert job["usage"]["network"]["value"] == 0  # the archive is a folder
    sizes = [asset.metadata["file:size"] for asset in finished.get_results().get_assets()]
    assert job["usage"]["storage"]["value"] > sum(sizes) > 0  # pictures count, too


def test_results_of_local_files_lead_to_their_items(connection: openeo.Connection, finished: BatchJob) -> None:
    links = finished.get_results().get_metadata()["links"]
    sources = [link["href"] for link in links if link["rel"] == "derived_from"]
    items = [requests.get(source, timeout=10).json() for source in sources]
    assert items
    assert {item["collection"] for item in items} == {"SENTINEL2_L2A"}
    assert all("/SENTINEL2_L2A/items/" in source for source in sources)


def test_sync_and_batch_agree(ndvi: openeo.DataCube, tmp_path: Path) -> None:
    ndvi.download(tmp_path / "sync.tif")
    ndvi.execute_batch(
        tmp_path / "batch.tif", print=lambda text: None, max_poll_interval=0.5, connection_retry_interval=1
    )
    with rasterio.open(tmp_path / "sync.tif") as sync, rasterio.open(tmp_path / "batch.tif") as batch:
        assert sync.profile == batch.profile | {"nodata": sync.profile["nodata"]}
        assert sync.tags(1) == batch.tags(1)
        np.testing.assert_array_equal(sync.read(), batch.read())


def test_a_download_resumes_where_it_was_cut(finished: BatchJob) -> None:
    asset = finished.get_results().get_assets()[0]
    head = requests.head(asset.href, timeout=10)
    whole = requests.get(asset.href, timeout=10).content
    assert head.status_code == 200
    assert head.headers["Accept-Ranges"] == "bytes"
    assert int(head.headers["Content-Length"]) == len(whole) == asset.metadata["file:size"]
    middle = len(whole) // 2
    rest = requests.get(asset.href, headers={"Range": f"bytes={middle}-"}, timeout=10)
    assert (rest.status_code, rest.headers["Content-Range"]) == (206, f"bytes {middle}-{len(whole) - 1}/{len(whole)}")
    assert whole[:middle] + rest.content == whole
    assert requests.get(asset.href, headers={"Range": f"bytes={len(whole)}-"}, timeout=10).status_code == 416


def test_the_client_downloads_in_ranges(finished: BatchJob, tmp_path: Path) -> None:
    asset = finished.get_results().get_assets()[0]
    path = asset.download(tmp_path / "asset.tif", chunk_size=1000, range_size=5000)
    assert path.read_bytes() == requests.get(asset.href, timeout=10).content


def test_metadata_of_results_lets_the_client_go_on(
    connection: openeo.Connection, extent: dict[str, Any], tmp_path: Path
) -> None:
    cube = connection.load_collection("SENTINEL2_L2A", extent, ["2025-05-01", "2025-06-01"], ["B08", "B04"])
    job = cube.max_time().create_job(out_format="GTiff", title="Two bands")
    job.start_and_wait(print=lambda text: None, max_poll_interval=0.5, connection_retry_interval=1)
    again = connection.load_stac_from_job(job.job_id)
    assert again.metadata.band_names == ["B08", "B04"]
    document = job.get_results().get_metadata()
    assert document["assets"]["Two-bands.tif"]["proj:code"] == "EPSG:32632"
    assert all(link["href"].startswith("http") for link in document["links"])
    with rasterio.open(BytesIO(requests.get(document["assets"]["Two-bands.tif"]["href"], timeout=10).content)) as file:
        saved = file.read(2)
    red = tmp_path / "red.tif"
    again.filter_bands(["B04"]).download(red)
    np.testing.assert_array_equal(pixels(red), saved)


def test_a_failed_job_explains_itself(
    connection: openeo.Connection, ndvi: openeo.DataCube, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = ndvi.flat_graph()
    graph["ndvi1"]["arguments"]["nir"] = "B99"
    job = connection.create_job(graph, title="Fails", validate=False)
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.5, connection_retry_interval=1)
    (entry,) = job.logs(level="error")
    assert "'B99'" in entry["message"]
    assert entry["path"][0] == {"node_id": "ndvi1", "process_id": "ndvi"}
    assert "'B99'" in capsys.readouterr().out  # the client prints it
    with pytest.raises(OpenEoApiError, match="'B99'") as told:
        job.get_results().get_metadata()
    assert told.value.http_status_code == 424


def test_jobs_are_listed_and_deleted(connection: openeo.Connection, ndvi: openeo.DataCube) -> None:
    job = ndvi.create_job(title="Short-lived")
    assert job.job_id in {listed["id"] for listed in connection.list_jobs()}
    job.delete()
    assert job.job_id not in {listed["id"] for listed in connection.list_jobs()}
    with pytest.raises(OpenEoApiError, match="JobNotFound"):
        job.describe()


def test_a_job_manager_works_through_its_table(
    connection: openeo.Connection, ndvi: openeo.DataCube, tmp_path: Path
) -> None:
    def start(row: pd.Series, connection: openeo.Connection, **_: Any) -> BatchJob:
        graph = ndvi.save_result("GTiff").flat_graph()
        graph["loadcollection1"]["arguments"]["temporal_extent"] = [row["start"], row["end"]]
        return connection.create_job(graph, title=row["start"], validate=False)

    manager = MultiBackendJobManager(poll_sleep=1, root_dir=tmp_path)
    manager.add_backend("here", connection=connection, parallel_jobs=2)
    table = pd.DataFrame({"start": ["2025-05-01", "2025-06-01"], "end": ["2025-06-01", "2025-07-01"]})
    database = create_job_db(tmp_path / "jobs.csv", table)
    manager.run_jobs(job_db=database, start_job=start)
    ended = database.read()
    assert list(ended["status"]) == ["finished", "finished"]
    assert (ended["cpu"].str.endswith("cpu-seconds")).all()
    files = sorted(path.name for path in tmp_path.glob("job_*/*.tif"))
    assert files == ["2025-05-01.tif", "2025-06-01.tif"]
    for path in tmp_path.glob("job_*/*.json"):
        json.loads(path.read_text(encoding="utf-8"))
