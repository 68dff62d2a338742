"""Which graphs may be computed by a process that goes on for others afterwards."""

from __future__ import annotations

from openeo_backend.graph.nodes import Graph
from openeo_backend.run.engine import Engine

#: Families of processes that only compute: they run nobody's code, and open nothing that users send or name.
_COMPUTING = (
    "apply",
    "arrays",
    "climate",
    "comparison",
    "curves",
    "dates",
    "dimensions",
    "filters",
    "indices",
    "logic",
    "masks",
    "math",
    "merge",
    "neighborhood",
    "output",
    "polygons",
    "reduce",
    "resample",
    "sampling",
    "sequences",
    "statistics",
    "temporal",
    "terrain",
    "text",
    "trigonometry",
    "vectors",
    "zonal",
)

_MODULES = frozenset(f"openeo_backend.processes.{name}" for name in _COMPUTING)


def is_plain(graph: Graph, engine: Engine) -> bool:
    """Whether a graph only loads collections that the operator published and computes with processes of ours.

    All else is for a process of its own: files at addresses that users name, what users wrote or published, models,
    code of others, and what changes something elsewhere.
    """
    graphs = [graph]
    while graphs:
        for node in graphs.pop():
            if node.process == "load_collection":
                if not engine.catalog.is_of_operator(node.arguments.get("id")):
                    return False
            elif engine.processes[node.process].implementation.__module__ not in _MODULES:
                return False
            graphs += [reference for reference in node.references() if isinstance(reference, Graph)]
    return True
