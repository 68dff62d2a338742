"""Calling a callback for each element of an openEO array."""

from __future__ import annotations

from typing import Any

import numpy as np

from openeo_backend.cube.pixels import LabeledList, PixelArray, as_pixels, elements, labels_of
from openeo_backend.graph.callback import Callback
from openeo_backend.graph.nodes import FromParameter, Graph


def each(array: PixelArray | list[Any], callback: Callback, context: Any) -> PixelArray | list[Any]:
    """The values that `callback(x=, index=, label=, context=)` gives for the elements, in order, with their labels.

    A PixelArray is handed over at once, `x` having the shape (elements, *pixels), where that is the same: if the
    callback asks for neither index nor label and has no callbacks in it, whose elements would get into the way of
    these. The result is a PixelArray if any value is pixels.

    :raises OpenEOError: ProcessParameterInvalid where a callback over pixels returns arrays.
    """
    labels = labels_of(array)
    if isinstance(array, PixelArray):
        shape = array.values.shape
        if not uses(callback.graph, {"index", "label"}) and not _nests(callback.graph):
            value = callback(x=array.values, index=None, label=None, context=context)
            shape = np.broadcast_shapes(shape, np.shape(value))
            return PixelArray(as_pixels(value, shape), labels)
        items: list[Any] = [array[index] for index in range(len(array))]
    else:
        items = list(array)
    results = [
        callback(x=item, index=index, label=labels[index] if labels else None, context=context)
        for index, item in enumerate(items)
    ]
    if isinstance(array, PixelArray):
        shape = np.broadcast_shapes(array.values.shape[1:], *(np.shape(value) for value in results))
        return elements(LabeledList([as_pixels(value, shape) for value in results], labels or range(len(results))))
    return elements(LabeledList(results, labels) if labels else results)


def uses(graph: Graph, names: set[str]) -> bool:
    """Whether a graph or a callback inside it refers to a parameter of one of these names."""
    for node in graph:
        for reference in node.references():
            if isinstance(reference, FromParameter) and reference.name in names:
                return True
            if isinstance(reference, Graph) and uses(reference, names):
                return True
    return False


def _nests(graph: Graph) -> bool:
    return any(isinstance(reference, Graph) for node in graph for reference in node.references())
