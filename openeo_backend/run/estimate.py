"""How large a run will be, found out without reading pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import dask

from openeo_backend.cube import Cube
from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.graph.nodes import Graph
from openeo_backend.processes.environment import Saved
from openeo_backend.run.journal import Meter

#: Beginnings of the names of processes that compute at once, run foreign code, or change something elsewhere.
EFFECTS = ("run_", "export_", "fit_", "save_ml_model")

#: Bytes of a number written as text.
TEXT_BYTES = 12

#: Formats that write numbers as text.
TEXTS = frozenset({"csv", "json", "geojson", "covjson"})

#: Bytes of a result that is no cube.
SMALL_BYTES = 1000


def refuse_effects(graph: Graph) -> None:
    """:raises OpenEOError: EstimateComplexity for a graph that does more than load and derive."""
    graphs = [graph]
    while graphs:
        for node in graphs.pop():
            if node.process.startswith(EFFECTS):
                message = (
                    f"A job that runs '{node.process}' is not estimated: how much it computes is not known before."
                )
                raise OpenEOError("EstimateComplexity", message, path=(NodeRef(node.id, node.process),))
            graphs += [reference for reference in node.references() if isinstance(reference, Graph)]


@contextmanager
def without_pixels() -> Iterator[None]:
    """Within, whatever computes a cube raises EstimateComplexity."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise OpenEOError("EstimateComplexity", "The size of what follows depends on the pixels, which are not read.")

    with dask.config.set(scheduler=refuse):
        yield


def size_of(saved: Iterable[Saved], meter: Meter) -> dict[str, Any]:
    """The items and samples that are read, and the bytes that are written, not compressed."""
    results = list(saved)
    cubes = [result.value for result in results if isinstance(result.value, Cube)]
    return {
        "items": len({item for cube in cubes for item in cube.provenance.items}),
        "samples": meter.samples,
        "bytes": sum(_bytes(result) for result in results),
    }


def _bytes(result: Saved) -> int:
    if not isinstance(result.value, Cube):
        return SMALL_BYTES
    data = result.value.data
    each = TEXT_BYTES if result.format.lower() in TEXTS else data.dtype.itemsize
    return int(data.size) * each
