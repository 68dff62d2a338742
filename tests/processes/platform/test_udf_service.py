"""run_udf_externally against a service that uses the openEO client's own classes of UDF data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
from openeo.udf import StructuredData, UdfData, XarrayDataCube
from werkzeug.wrappers import Request, Response

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.cube import Cube
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry
from openeo_backend.run.services import open_services
from openeo_backend.settings import Settings


def floats(cube: XarrayDataCube) -> xr.DataArray:
    array = cube.get_array()
    return array.copy(data=array.values.astype("float64"))


def double(data: UdfData) -> None:
    arrays = [floats(cube) * data.user_context.get("factor", 2) for cube in data.get_datacube_list()]
    data.set_datacube_list([XarrayDataCube(array) for array in arrays])


def mean(data: UdfData) -> None:
    """The mean of the array of each pixel, not counting missing elements."""
    array = floats(data.get_datacube_list()[0])
    data.set_datacube_list([XarrayDataCube(array.mean("element", skipna=True))])


def smooth(data: UdfData) -> None:
    """Sums of neighbouring elements: one element less."""
    array = floats(data.get_datacube_list()[0])
    sums = array.values[1:] + array.values[:-1]
    data.set_datacube_list([XarrayDataCube(xr.DataArray(sums, dims=("element", "pixel")))])


def largest_band(data: UdfData) -> None:
    array = floats(data.get_datacube_list()[0])
    data.set_datacube_list([XarrayDataCube(array.max("bands", skipna=False))])


def total(data: UdfData) -> None:
    (given,) = data.get_structured_data_list()
    data.set_structured_data_list([StructuredData({"total": sum(given.data)})])


def count(data: UdfData) -> None:
    (features,) = data.get_feature_collection_list()
    data.set_feature_collection_list([])
    data.set_structured_data_list([StructuredData({"areas": [float(a) for a in features.data.area]})])


def wrong_pixels(data: UdfData) -> None:
    data.set_datacube_list([XarrayDataCube(xr.DataArray(np.zeros(1234), dims=("pixel",)))])


def breaks(data: UdfData) -> None:
    raise ZeroDivisionError("there is nothing to divide")


UDFS: dict[str, Callable[[UdfData], None]] = {
    function.__name__: function for function in (double, mean, smooth, largest_band, total, count, wrong_pixels, breaks)
}


@dataclass
class Service:
    """A server with a UDF at each path."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        request = Request(environ)
        body = json.loads(request.get_data(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        self.bodies.append(body)
        data = UdfData.from_dict(body["data"])
        try:
            UDFS[request.path.strip("/")](data)
        except ZeroDivisionError as error:
            detail = {"detail": {"message": str(error), "traceback": "..."}}
            return Response(json.dumps(detail), 400, content_type="application/json")(environ, start)
        answer = json.dumps(data.to_dict(), default=str).replace("NaN", "null")
        return Response(answer, content_type="application/json")(environ, start)


@pytest.fixture
def service(serve) -> Iterator[Service]:
    app = Service()
    with serve(app) as url:
        app.url = url
        yield app


SETTINGS = {"udf": {"externally": True}, "net": {"allow": ["127.0.0.1"]}}
CUBE = {"from_parameter": "cube"}


def udf(service: Service, name: str, data: Any, **context: Any) -> dict[str, Any]:
    arguments = {"data": data, "url": f"{service.url}/{name}", "context": context}
    return {"udf1": {"process_id": "run_udf_externally", "arguments": arguments, "result": True}}


def along(process: str, graph: dict[str, Any], parameter: str, **arguments: Any) -> dict[str, Any]:
    callback = {"process_graph": graph}
    role = "reducer" if process == "reduce_dimension" else "process"
    return {"node1": {"process_id": process, "arguments": {"data": CUBE, role: callback, **arguments}, "result": True}}


def test_single_values_of_a_cube_go_through_the_service(evaluate_with, service, raster):
    nodes = along("apply", udf(service, "double", {"from_parameter": "x"}, factor=3), "x")
    with dask.config.set(scheduler="synchronous"):
        result = evaluate_with(SETTINGS, nodes, cube=raster)
        assert result.is_lazy
        values = result.data.values
    np.testing.assert_array_equal(values, raster.data.values * 3)
    assert values.dtype == np.float32
    # one call to learn the type of results, and one per block
    assert 2 <= len(service.bodies) <= 4


def test_integers_with_missing_values(evaluate_with, service, raster):
    stored = raster.data.copy(data=np.where(np.isnan(raster.data.values), 255, raster.data.values).astype("uint8"))
    cube = Cube(stored, raster.dimensions, raster.crs, nodata=255)
    result = evaluate_with(SETTINGS, along("apply", udf(service, "double", {"from_parameter": "x"}), "x"), cube=cube)
    np.testing.assert_array_equal(Storage.of(result).open(result.data.values), raster.data.values * 2)


def test_arrays_of_a_dimension_are_reduced(evaluate_with, service, raster):
    graph = udf(service, "mean", {"from_parameter": "data"})
    result = evaluate_with(SETTINGS, along("reduce_dimension", graph, "data", dimension="bands"), cube=raster)
    np.testing.assert_allclose(result.data.values, np.nanmean(raster.data.values, axis=0))
    assert service.bodies[-1]["data"]["datacubes"][0]["dimensions"][0] == {
        "name": "element",
        "coordinates": ["B04", "B08"],
    }


def test_arrays_of_another_length_come_back(evaluate_with, service, raster):
    graph = udf(service, "smooth", {"from_parameter": "data"})
    result = evaluate_with(SETTINGS, along("apply_dimension", graph, "data", dimension="x"), cube=raster)
    values = raster.data.values
    np.testing.assert_array_equal(result.data.values, values[..., 1:] + values[..., :-1])
    assert result.names == ("bands", "y", "x")


def test_a_whole_cube_is_sent_and_received_with_its_labels(evaluate_with, service, raster):
    result = evaluate_with(SETTINGS, udf(service, "largest_band", CUBE), cube=raster)
    np.testing.assert_array_equal(result.data.values, raster.data.values.max(axis=0))
    assert result.dimensions == raster.dimensions[1:]
    assert result.geobox == raster.geobox
    sent = service.bodies[0]["data"]
    assert sent["proj"] == {"EPSG": 32633}
    assert sent["datacubes"][0]["data"][1][2][3] is None


def test_values_that_are_no_cubes_are_structured_data(evaluate_with, service):
    assert evaluate_with(SETTINGS, udf(service, "total", [1, 2, 4])) == {"total": 7}


def test_vector_cubes_are_features(evaluate_with, service):
    import geopandas as gpd
    from shapely import box

    from openeo_backend.cube.features import bare_cube

    cube = bare_cube(gpd.GeoSeries([box(0, 0, 1, 1), box(0, 0, 2, 3)], crs="EPSG:4326"))
    assert evaluate_with(SETTINGS, udf(service, "count", CUBE), cube=cube) == {"areas": [1.0, 6.0]}


def test_failures_of_the_udf_are_told(evaluate_with, service):
    with pytest.raises(OpenEOError, match="nothing to divide") as raised:
        evaluate_with(SETTINGS, udf(service, "breaks", [1]))
    assert raised.value.code == "UdfServiceFailed"
    assert raised.value.path[-1].node_id == "udf1"


def test_another_number_of_pixels_is_an_error(evaluate_with, service, raster):
    with pytest.raises(OpenEOError, match="pixels are needed"):
        evaluate_with(SETTINGS, along("apply", udf(service, "wrong_pixels", {"from_parameter": "x"}), "x"), cube=raster)


def test_addresses_that_the_policy_refuses(evaluate_with, service):
    with pytest.raises(OpenEOError) as raised:
        evaluate_with({"udf": {"externally": True}}, udf(service, "total", [1]))
    assert raised.value.code == "UrlNotAllowed"
    assert service.bodies == []


def test_cubes_larger_than_allowed_are_not_sent(evaluate_with, service, raster):
    settings = {**SETTINGS, "net": {"allow": ["127.0.0.1"], "max_file_mb": 0}}
    with pytest.raises(OpenEOError) as raised:
        evaluate_with(settings, udf(service, "largest_band", CUBE), cube=raster)
    assert raised.value.code == "ProcessGraphComplexity"


def test_callbacks_find_the_service_in_other_processes_too(service):
    """Blocks may be computed by the workers of a cluster, under the same address policy."""
    settings = Settings.model_validate(SETTINGS | {"ogcapi": {"servers": {"lab": service.url}}})
    services = open_services(settings, Catalog([], settings.catalog, Door(settings.net)))
    env = Env(lambda *args, **more: None, services=services)
    there = pickle.loads(cloudpickle.dumps(env))
    assert set(there.services) == {"udf.externally"}
    data = {"structured_data_list": [{"data": [1, 2]}]}
    assert there.service("udf.externally").call(f"{service.url}/total", data)["structured_data_list"]
    with pytest.raises(OpenEOError, match="not a public address"):
        there.service("udf.externally").call("http://10.0.0.1/", data)


def test_offered_only_where_configured():
    assert "run_udf_externally" not in Registry.predefined()
    assert "run_udf_externally" in Registry.predefined(lambda name: name == "udf.externally")
