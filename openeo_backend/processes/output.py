"""Saving results and looking at values on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from openeo_backend.cube import Cube
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.registry import find
from openeo_backend.graph.effects import Effect
from openeo_backend.processes.environment import Env, Saved, StacResource
from openeo_backend.processes.registry import process


@process("save_result", effect=Effect())
def save_result(data: Any, format: str, options: Mapping[str, Any] | None = None, *, env: Env) -> StacResource:
    """Hand `data` to the writer of a format; what is returned can be changed and exported as STAC.

    :raises OpenEOError: FormatUnsuitable for an unknown format; DataCubeEmpty for a cube without pixels.
    """
    found = find(format)
    if found.write is None:
        raise OpenEOError("FormatUnsuitable", f"Files of the format '{found.name}' can be read but not written.")
    if isinstance(data, Cube) and data.data.size == 0:
        shape = ", ".join(f"{name}: {size}" for name, size in data.data.sizes.items())
        raise OpenEOError("DataCubeEmpty", f"The data cube contains no values ({shape}).")
    saved = Saved(data, found.name, dict(options or {}), env.node)
    env.saved.append(saved)
    return StacResource(saved)


@process("inspect", effect=Effect())
def inspect(data: Any, message: str = "", code: str = "User", level: str = "info", *, env: Env) -> Any:
    """Write a summary of `data` to the log and return it unchanged.

    Cubes are described by their dimensions, never computed.
    """
    if level not in ("error", "warning", "info", "debug"):
        raise OpenEOError("ProcessParameterInvalid", f"'{level}' is not a log level.", hint="Use info.")
    env.log(level, message or "Inspected.", data=_summary(data), code=code)  # type: ignore[arg-type]
    return data


def _summary(data: Any) -> Any:
    if isinstance(data, Cube):
        return {"type": "datacube", "dimensions": [_dimension(data, d.name) for d in data.dimensions]}
    if isinstance(data, PixelArray):
        return {"type": "array", "length": len(data), "labels": [str(label) for label in data.labels or ()]}
    if isinstance(data, np.ndarray):
        return {"type": "pixels", "dtype": str(data.dtype), "shape": list(data.shape)}
    if data is None or isinstance(data, str | bool | int | float | list | dict):
        return data
    return {"type": type(data).__name__}


def _dimension(cube: Cube, name: str) -> dict[str, Any]:
    labels = cube.labels(name)
    shown = [str(label) for label in (labels if len(labels) <= 10 else [*labels[:3], "...", *labels[-3:]])]
    return {"name": name, "type": cube.dimension(name).type, "size": len(labels), "labels": shown}
