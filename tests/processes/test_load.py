"""load_collection and load_stac as process graphs call them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import xarray as xr

from openeo_backend.cube import Cube, Dimension
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Callback, Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry


@dataclass
class Recorder:
    """A catalog that notes what it is asked for."""

    calls: list[tuple[str, str, Any, str]] = field(default_factory=list)

    def _cube(self) -> Cube:
        return Cube(xr.DataArray(np.zeros(1), dims=("t",), coords={"t": [0]}), (Dimension("t", "other"),))

    def load(self, id: str, request: Any, env: Env) -> Cube:
        self.calls.append(("load", id, request, env.node))
        return self._cube()

    def load_url(self, url: str, request: Any, env: Env) -> Cube:
        self.calls.append(("load_url", url, request, env.node))
        return self._cube()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined()


def run(registry: Registry, catalog: Recorder | None, process: str, **arguments: Any) -> Any:
    graph = parse({"load1": {"process_id": process, "arguments": arguments, "result": True}})
    env = Env(log=lambda *args, **more: None, collections=catalog)
    return evaluate(graph, registry, Scope(), env)


def test_load_collection_hands_its_arguments_on(registry):
    catalog = Recorder()
    box = {"west": 1, "south": 2, "east": 3, "north": 4}
    low = {"process_id": "lte", "arguments": {"x": {"from_parameter": "value"}, "y": 30}, "result": True}
    run(
        registry,
        catalog,
        "load_collection",
        id="TEST",
        spatial_extent=box,
        temporal_extent=["2023-01-01", None],
        bands=["B04"],
        properties={"eo:cloud_cover": {"process_graph": {"low": low}}},
    )
    kind, id, request, node = catalog.calls[0]
    assert (kind, id, node) == ("load", "TEST", "load1")
    assert request.spatial_extent == box
    assert list(request.temporal_extent) == ["2023-01-01", None]
    assert request.bands == ("B04",)
    condition = request.properties["eo:cloud_cover"]
    assert isinstance(condition, Callback)
    assert condition(value=30) is True
    assert condition(value=31) is False


def test_missing_arguments_set_no_limit(registry):
    catalog = Recorder()
    run(registry, catalog, "load_collection", id="TEST", spatial_extent=None, temporal_extent=None)
    request = catalog.calls[0][2]
    assert (request.spatial_extent, request.temporal_extent, request.bands) == (None, None, None)
    assert not request.properties


def test_load_stac_loads_the_address(registry):
    catalog = Recorder()
    run(registry, catalog, "load_stac", url="https://example.org/item.json", bands=["B04"])
    kind, url, request, _ = catalog.calls[0]
    assert (kind, url, request.bands) == ("load_url", "https://example.org/item.json", ("B04",))


def test_an_empty_list_of_bands_is_refused(registry):
    with pytest.raises(OpenEOError) as failure:
        run(registry, Recorder(), "load_collection", id="TEST", bands=[])
    assert failure.value.code == "ProcessParameterInvalid"
    assert failure.value.path[-1].node_id == "load1"


def test_without_a_catalog(registry):
    with pytest.raises(OpenEOError) as failure:
        run(registry, None, "load_collection", id="TEST")
    assert failure.value.code == "FeatureUnsupported"
