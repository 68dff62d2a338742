"""Processes on 10,000 x 10,000 pixels that are made when needed: memory stays that of some blocks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

SIZE = 10_000

#: Megabytes that a process may need beyond what imports take; the raster alone has 400.
BOUND = 300

COMMON = f"""
import resource
import dask, dask.array as da, numpy as np, xarray as xr
from odc.geo.crs import CRS
from openeo_backend.cube import Cube, Dimension
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

SIZE = {SIZE}

def block(block_info=None):
    (low_y, high_y), (low_x, high_x) = block_info[None]["array-location"]
    rows, columns = np.ogrid[low_y:high_y, low_x:high_x]
    return (rows % 1000 + columns * 0).astype("float32")

values = da.map_blocks(block, chunks=((500,) * 20, (500,) * 20), dtype="float32", meta=np.empty((0, 0), "float32"))
coords = {{"y": 5_700_000 - (np.arange(SIZE) + 0.5) * 10, "x": 500_000 + (np.arange(SIZE) + 0.5) * 10}}
dimensions = (Dimension("y", "spatial", "y", -10.0), Dimension("x", "spatial", "x", 10.0))
cube = Cube(xr.DataArray(values, coords, ("y", "x")), dimensions, CRS("EPSG:32631"))

def call(process, **arguments):
    graph = {{"only": {{"process_id": process, "arguments": {{"data": {{"from_parameter": "cube"}}, **arguments}}}}}}
    return evaluate(parse(graph), registry, Scope({{"cube": cube}}), Env(log=lambda level, message, **_: None))

def polygon(*places):
    ring = [[500_000 + x * 10, 5_700_000 - y * 10] for x, y in places]
    crs = {{"type": "name", "properties": {{"name": "urn:ogc:def:crs:EPSG::32631"}}}}
    feature = {{"type": "Feature", "properties": {{}}, "geometry": {{"type": "Polygon", "coordinates": [ring]}}}}
    return {{"type": "FeatureCollection", "crs": crs, "features": [feature]}}

ALL = polygon((0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE), (0, 0))
HALF = polygon((0, 0), (SIZE, 0), (0, SIZE), (0, 0))
registry = Registry.predefined()
dask.config.set(scheduler="threads", num_workers=2)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with dask.config.set(scheduler="synchronous"):
    cube.data[:1000, :1000].mean().compute()
before = peak()
"""


def measure(script: str) -> tuple[float, float]:
    """The value that a script finds, and by how many megabytes memory grew, in a process of its own."""
    program = f"{COMMON}\n{textwrap.dedent(script)}\nimport json\nprint(json.dumps([float(found), peak() - before]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    value, growth = json.loads(done.stdout)
    return value, growth


CASES = {
    "aggregate_spatial": (
        """
        reducer = {"process_graph": {"m": {"process_id": "mean", "arguments": {"data": {"from_parameter": "data"}}}}}
        found = call("aggregate_spatial", geometries=ALL, reducer=reducer).data.compute().values.ravel()[0]
        """,
        499.5,
    ),
    "aggregate_spatial-median": (
        """
        reducer = {"process_graph": {"m": {"process_id": "median", "arguments": {"data": {"from_parameter": "data"}}}}}
        part = polygon((0, 0), (1000, 0), (1000, 4000), (0, 4000), (0, 0))
        found = call("aggregate_spatial", geometries=part, reducer=reducer).data.compute().values.ravel()[0]
        """,
        499.5,
    ),
    "mask_polygon": (
        """
        found = call("mask_polygon", mask=HALF).data.notnull().sum().compute()
        """,
        # pixel centres on the diagonal count: there are SIZE of them
        SIZE * (SIZE + 1) / 2,
    ),
    "apply_kernel": (
        """
        result = call("apply_kernel", kernel=[[1, 1, 1], [1, 1, 1], [1, 1, 1]], factor=1 / 9, border="replicate")
        found = result.data.sum(dtype="float64").compute() / SIZE**2
        """,
        # every thousandth row differs from its neighbours, the first and last from what lies beyond
        499.5,
    ),
    "resample_spatial": (
        """
        found = call("resample_spatial", resolution=40, method="average").data.mean(dtype="float64").compute()
        """,
        499.5,
    ),
    "resample_spatial-projection": (
        """
        found = call("resample_spatial", projection=3035, resolution=20, method="bilinear").data.max().compute()
        """,
        999.0,
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_memory_stays_bounded_on_large_rasters(case: str) -> None:
    script, expected = CASES[case]
    found, growth = measure(script)
    assert found == pytest.approx(expected, rel=5e-4)
    assert growth < BOUND
