"""Arrays with labels, made quickly: small requests would spend a large part of their time in xarray's own way."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasIndex


def labelled(
    values: Any,
    names: Sequence[str],
    labels: Mapping[str, np.ndarray],
    source: xr.DataArray | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """`xr.DataArray(values, dims=names, coords=labels)`, with the labels of `source` on dimensions without an entry.

    :raises ValueError: where the labels are more or fewer than the values.
    """
    coords: dict[Hashable, xr.Variable] = {}
    indexes: dict[Hashable, Any] = {}
    for name in names:
        known = None if name in labels or source is None else source.coords.variables.get(name)
        index = source.xindexes.get(name) if source is not None and known is not None else None
        if known is None or known.attrs or index is None:
            made = labels[name] if source is None or name in labels else source[name].values
            known, index = _coordinate(name, made)
        else:
            known = known.copy(deep=False)
        coords[name], indexes[name] = known, index
    shape = tuple(coords[name].size for name in names)
    if values.shape != shape:
        raise ValueError(f"labels of the shape {shape} do not fit values of the shape {values.shape}")
    variable = xr.Variable(names, values, dict(attrs or {}), fastpath=True)
    # as xarray does it inside
    return xr.DataArray(variable, coords, name=getattr(values, "name", None), indexes=indexes, fastpath=True)


def _coordinate(name: str, labels: np.ndarray) -> tuple[xr.Variable, Any]:
    """A coordinate with its index."""
    if labels.dtype.kind not in "iufMU" or labels.dtype == "float16":
        fresh = xr.Coordinates({name: (name, labels)})
        return fresh.variables[name], fresh.xindexes[name]
    index = PandasIndex(pd.Index(labels, name=name), name, coord_dtype=labels.dtype)
    return index.create_variables()[name], index
