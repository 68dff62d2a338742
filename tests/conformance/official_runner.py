"""Our runner for the official process test cases: evaluates them in this process, through our evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from odc.geo.crs import CRS

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.labels import coordinate, instant, labels_json
from openeo_backend.cube.pixels import LabeledList, missing, nullify
from openeo_backend.cube.storage import Storage
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry


class CallbackJSON(dict[str, Any]):
    """A process graph given as an argument, to be parsed with the call."""


class Runner:
    """What the suite asks of a runner (its class `ProcessTestRunner`), for this back-end."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.messages: list[str] = []

    def list_processes(self) -> list[Mapping[str, Any]]:
        return [self.registry[id].spec for id in self.registry.ids()]

    def is_json_only(self) -> bool:
        return False

    def get_nodata_value(self) -> None:
        return None

    def execute(self, id: str, arguments: dict[str, Any]) -> Any:
        """The value of one call. Failures are raised as classes named like their error code, as the suite compares.

        Processes leave their arguments as they are: a graph that is kept has them the next time, too.
        """
        given = {
            name: value if value is None or isinstance(value, CallbackJSON) else {"from_parameter": name}
            for name, value in arguments.items()
        }
        graph = parse({"call": {"process_id": id, "arguments": given, "result": True}})
        env = Env(log=lambda level, message, **_: self.messages.append(f"{level}: {message}"))
        sent = deepcopy({name: value for name, value in arguments.items() if type(value) in (list, dict)})
        try:
            return evaluate(graph, self.registry, Scope(arguments), env)
        except OpenEOError as error:
            raise type(error.code, (Exception,), {})(str(error)) from error
        finally:
            assert all(arguments[name] == value for name, value in sent.items())

    # -- from the notation of the cases to our values -------------------------------------------------------

    def encode_data(self, data: Any) -> Any:
        return data

    def encode_process_graph(
        self, process: dict[str, Any], parent_process_id: str | None = None, parent_parameter: str | None = None
    ) -> CallbackJSON:
        return CallbackJSON(process)

    def encode_labeled_array(self, data: dict[str, Any]) -> LabeledList:
        values = [None if is_nodata(pair["value"]) else pair["value"] for pair in data["data"]]
        return LabeledList(values, [pair["key"] for pair in data["data"]])

    def encode_datacube(self, data: dict[str, Any]) -> Cube:
        given = {name: data["dimensions"][name] for name in data["order"]}
        coords = {name: coordinate(entry["values"], entry["type"]) for name, entry in given.items()}
        shape = tuple(len(labels) for labels in coords.values())
        values = np.full(shape, np.nan) if data["data"] is None else np.array(data["data"]).reshape(shape)
        chunks = tuple(-1 if index < len(shape) - 1 else max(1, -(-size // 2)) for index, size in enumerate(shape))
        systems = [entry["reference_system"] for entry in given.values() if "reference_system" in entry]
        nodata = data.get("nodata")
        return Cube(
            xr.DataArray(dask.array.from_array(values, chunks=chunks), coords, tuple(given)),
            tuple(dimension(name, entry) for name, entry in given.items()),
            crs=CRS(systems[0]) if systems else None,
            nodata=nodata if values.dtype.kind in "iu" and isinstance(nodata, int) else None,
        )

    # -- and back -------------------------------------------------------------------------------------------

    def decode_data(self, data: Any, expected: Any) -> Any:
        if isinstance(data, Cube):
            return cube_json(data, expected)
        if isinstance(data, LabeledList):
            pairs = [{"key": key, "value": value} for key, value in zip(data.labels, data, strict=True)]
            return {"type": "labeled-array", "data": pairs}
        return data


def is_nodata(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "nodata"


def dimension(name: str, entry: Mapping[str, Any]) -> Dimension:
    step = None
    if entry["type"] == "spatial" and len(entry["values"]) > 1:
        step = entry["values"][1] - entry["values"][0]
    return Dimension(name, entry["type"], axis=entry.get("axis"), step=step)


def cube_json(cube: Cube, expected: Any) -> dict[str, Any]:
    """A cube in the notation of the cases.

    What has several notations is written as expected: missing values with the no-data value, dates as the same
    instant, and a cube without dimensions and value as an empty list.
    """
    nodata = expected.get("nodata", np.nan) if isinstance(expected, dict) else np.nan
    opened = Storage.of(cube).open(cube.data.values)
    values = nullify(np.ma.getdata(opened).astype(object), missing(opened))
    values = np.where(np.equal(values, None), nodata, values)
    dimensions = {}
    for entry in cube.dimensions:
        described: dict[str, Any] = {"type": entry.type, "values": written(cube, entry, expected)}
        if entry.axis:
            described["axis"] = entry.axis
        if entry.type == "spatial" and cube.crs is not None:
            described["reference_system"] = str(cube.crs)
        dimensions[entry.name] = described
    empty = not cube.dimensions and missing(opened) is not None
    data = [] if empty else values.tolist()
    return {"type": "datacube", "order": list(cube.names), "dimensions": dimensions, "data": data}


def written(cube: Cube, dimension: Dimension, expected: Any) -> list[Any]:
    labels = labels_json(cube.labels(dimension.name))
    try:
        wanted = expected["dimensions"][dimension.name]["values"]
    except (KeyError, TypeError):
        return labels
    if dimension.type != "temporal" or len(wanted) != len(labels):
        return labels
    same = [
        instant(label) is not None and instant(label) == instant(want)
        for label, want in zip(labels, wanted, strict=True)
    ]
    return [want if equal else label for label, want, equal in zip(labels, wanted, same, strict=True)]
