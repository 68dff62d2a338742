"""How the pixels of two results differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr

#: Pixels left out around the image of c, whose edge depends on what lies outside.
EDGE = 16


def planes(path: Path) -> tuple[np.ndarray, Any]:
    """All planes of a result as float32 with NaN for no data, and the transform of the raster."""
    if path.suffix != ".nc":
        with rasterio.open(path) as raster:
            values = raster.read().astype(np.float32)
            masks = raster.read_masks()
            values[masks == 0] = np.nan
            return values, raster.transform
    with xr.open_dataset(path, decode_times=False, mask_and_scale=False) as file:
        grids = {str(n): np.asarray(v.values) for n, v in file.data_vars.items() if v.ndim >= 2}
        named = [values if values.ndim == 3 else values[np.newaxis] for _, values in sorted(grids.items())]
        return np.concatenate(named).astype(np.float32), None


def difference(path: Path, reference: Path, name: str) -> str:
    """How far the pixels of a result are from those of a reference, in words.

    For c the two are laid over each other where their grids meet; grids that are shifted by parts of a pixel are told.
    """
    (one, here), (two, there) = planes(path), planes(reference)
    if name == "d":
        return _classes(one, two)
    if name == "c":
        shift = ((there.c - here.c) / here.a, (there.f - here.f) / here.e)
        if max(abs(each - round(each)) for each in shift) > 1e-6 or here.a != there.a:
            return "on another grid"
        one, two = _common(one, two, round(shift[0]), round(shift[1]))
    if one.shape != two.shape:
        return f"of another shape: {one.shape}, not {two.shape}"
    gaps = int(np.count_nonzero(np.isnan(one) != np.isnan(two)))
    apart = np.abs(one - two)
    apart = apart[~np.isnan(apart)]
    missing = f", {gaps} gaps differ" if gaps else ""
    if not apart.any():
        return "equal" + missing
    half, most = np.percentile(apart, [50, 99.9])
    top = float(apart.max())
    if half == most == 0 or top < 1e-6:
        return f"largest difference {top:.2g}{missing}"
    return f"differences: median {half:.2g}, 99.9 % {most:.2g}, largest {top:.2g}{missing}"


def _classes(one: np.ndarray, two: np.ndarray) -> str:
    if one.shape != two.shape:
        return f"of another shape: {one.shape}, not {two.shape}"
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    return "equal" if same.all() else f"{100 * same.mean():.4g} % of classes equal"


def _common(one: np.ndarray, two: np.ndarray, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts that two images share, of which the second begins `x`, `y` pixels after the first; without edges."""
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(one.shape[1], two.shape[1] + y), min(one.shape[2], two.shape[2] + x)
    rows, columns = slice(top + EDGE, bottom - EDGE), slice(left + EDGE, right - EDGE)
    moved = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
    return one[:, rows, columns], two[(slice(None), *moved)]
