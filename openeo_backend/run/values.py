"""Lazy values of the nodes of a graph, kept for the next time that it is evaluated. They hold no pixels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask._task_spec import DataNode, Task
from dask.highlevelgraph import MaterializedLayer

from openeo_backend.cube import Cube
from openeo_backend.graph.evaluate import Keep
from openeo_backend.graph.nodes import Graph, Node
from openeo_backend.processes.registry import Registry

#: Most values of a cube, tasks of its graph, and bytes of constants in them, up to which it is kept.
_MOST_SIZE, _MOST_TASKS, _MOST_BYTES = 2**20, 256, 2**16


class Values:
    """What nodes gave for the values of other nodes, the very same objects as this time.

    Kept are lazy cubes of processes that look at nothing but their arguments, and read no pixels meanwhile. Loads, and
    all that tells, saves or reaches something, are called each time.
    """

    def __init__(self) -> None:
        self._under: Hashable = None
        self._known: dict[str, tuple[Mapping[str, Any], Cube]] = {}

    def under(self, conditions: Hashable, processes: Registry, reads: Callable[[], int]) -> Keep:
        """What evaluates nodes with the values kept, of which those made under other conditions are forgotten.

        :param conditions: what else decides on blocks: threads, memory.
        :param reads: how often pixels were read so far.
        """
        if conditions != self._under:
            self._under, self._known = conditions, {}
        return partial(self._value, processes, reads)

    def _value(
        self,
        processes: Registry,
        reads: Callable[[], int],
        node: Node,
        inputs: Mapping[str, Any],
        call: Callable[[], Any],
    ) -> Any:
        known = self._known.get(node.id)
        if known is not None and all(inputs[id] is value for id, value in known[0].items()):
            return known[1]
        before = reads()
        value = call()
        self._known.pop(node.id, None)
        if inputs and reads() == before and _is_pure(node, processes) and _is_small(value):
            self._known[node.id] = (inputs, value)
        return value


def _is_pure(node: Node, processes: Registry) -> bool:
    """Whether the value of a node follows from its arguments alone, callbacks included."""
    nodes = [node]
    while nodes:
        one = nodes.pop()
        if one.process not in processes or processes[one.process].wants_env:
            return False
        nodes += [inner for graph in one.references() if isinstance(graph, Graph) for inner in graph]
    return True


def _is_small(value: Any) -> bool:
    """Whether a value is a lazy cube that takes little memory."""
    if not isinstance(value, Cube) or not isinstance(value.data.data, da.Array) or value.data.size > _MOST_SIZE:
        return False
    layers = value.data.data.dask.layers.values()
    if not all(isinstance(layer, MaterializedLayer) for layer in layers) or sum(map(len, layers)) > _MOST_TASKS:
        return False
    constants = (constant for layer in layers for task in layer.values() for constant in _constants(task))
    return sum(constant.nbytes for constant in constants) <= _MOST_BYTES


def _constants(task: Any) -> list[np.ndarray]:
    """The arrays in a task."""
    if isinstance(task, Task):
        held = [*task.args, *task.kwargs.values()]
    else:
        held = [task.value if isinstance(task, DataNode) else task]
    return [one for one in held if isinstance(one, np.ndarray)]
