"""Building process graphs in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Graph = dict[str, Any]


def node(process: str, /, **arguments: Any) -> Graph:
    return {"process_id": process, "arguments": arguments}


def ref(name: str) -> dict[str, str]:
    return {"from_node": name}


def parameter(name: str) -> dict[str, str]:
    return {"from_parameter": name}


def callback(*nodes: Graph) -> Graph:
    """A callback of nodes named n1, n2 ..., the last of which is the result."""
    named = {f"n{index}": one for index, one in enumerate(nodes, 1)}
    named[f"n{len(nodes)}"] = {**nodes[-1], "result": True}
    return {"process_graph": named}


def over(process: str, /, **more: Any) -> Graph:
    """The callback that is one process on its array."""
    return callback(node(process, data=parameter("data"), **more))


def chain(*nodes: Graph, format: str | None = "GTiff") -> Graph:
    """A process of nodes n1, n2 ... and save_result; without a format the last node's value is the result."""
    all_nodes = [*nodes]
    if format is not None:
        all_nodes.append(node("save_result", data=ref(f"n{len(nodes)}"), format=format))
    return callback(*all_nodes)


def load(id: str, bands: Sequence[str] | None, box: dict[str, Any], **more: Any) -> Graph:
    return node(
        "load_collection",
        id=id,
        spatial_extent=box,
        temporal_extent=["2025-06-01", "2025-08-01"],
        bands=None if bands is None else list(bands),
        **more,
    )
