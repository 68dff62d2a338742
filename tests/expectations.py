"""Comparing a result's file with `process_graphs/NAME.expected.json`, with rasterio and xarray only."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from PIL import Image

PROCESS_GRAPHS = Path(__file__).resolve().parent.parent / "process_graphs"


def unmet(name: str, file: Path) -> list[str]:
    """What of the expectations of the example graph `name` its result `file` does not meet, in words."""
    expected = json.loads((PROCESS_GRAPHS / f"{name}.expected.json").read_text(encoding="utf-8"))
    if expected["format"] == "CSV":
        return list(_check_table(expected, file))
    return list(_check_raster(expected, file))


def _check_raster(expected: Mapping[str, Any], file: Path) -> Iterator[str]:
    values, crs, resolution = _read_netcdf(file) if expected["format"] == "netCDF" else _read_image(file, expected)
    shape = dict(zip(expected["dimensions"], values.shape, strict=True))
    for dimension, size in expected["dimensions"].items():
        low, high = size if isinstance(size, list) else (size, size)
        if not low <= shape[dimension] <= high:
            yield f"{dimension} has {shape[dimension]} labels, not {size}"
    if "crs" in expected and crs != expected["crs"]:
        yield f"CRS is {crs}, not {expected['crs']}"
    if "resolution" in expected and not math.isclose(resolution, expected["resolution"], rel_tol=1e-6):
        yield f"resolution is {resolution}, not {expected['resolution']}"
    if "classes" in expected:
        found = {int(value) for value in np.unique(values[np.isfinite(values)])}
        if found != set(expected["classes"]):
            yield f"classes are {sorted(found)}, not {expected['classes']}"
    for entry in expected["statistics"]:
        part = values[next(iter(entry["select"].values()))] if entry["select"] else values
        yield from _check_part(entry, part)


def _check_part(entry: Mapping[str, Any], part: np.ndarray) -> Iterator[str]:
    valid = np.isfinite(part)
    share = float(valid.mean())
    if not entry["valid"][0] <= share <= entry["valid"][1]:
        yield f"{entry['select']}: share of valid pixels {share:.3f} is not in {entry['valid']}"
    if not valid.any():
        return
    mean, low, high = (float(function(part[valid])) for function in (np.mean, np.min, np.max))
    if not entry["mean"][0] <= mean <= entry["mean"][1]:
        yield f"{entry['select']}: mean {mean:.4f} is not in {entry['mean']}"
    if low < entry["minimum"] or high > entry["maximum"]:
        yield f"{entry['select']}: {low:.4f} to {high:.4f} is beyond {entry['minimum']} to {entry['maximum']}"


def _read_netcdf(file: Path) -> tuple[np.ndarray, str, float]:
    with xr.open_dataset(file, decode_times=False) as data:
        (name,) = [key for key, variable in data.data_vars.items() if {"x", "y"} <= set(variable.dims)]
        variable = data[name]
        mapping = data[variable.attrs.get("grid_mapping", variable.encoding.get("grid_mapping"))]
        crs = rasterio.CRS.from_wkt(mapping.attrs["crs_wkt"])
        step = abs(float(data.x[1] - data.x[0]))
        values = variable.transpose("t", "y", "x").to_numpy().astype(float)
    return values, crs.to_string(), step


def _read_image(file: Path, expected: Mapping[str, Any]) -> tuple[np.ndarray, str, float]:
    bands = expected["dimensions"].get("bands")
    if expected["format"] == "PNG":
        picture = np.asarray(Image.open(file).convert("RGBA"), dtype=float)
        values = np.where(picture[..., 3:] > 0, picture[..., :3], np.nan)
        return values.transpose(2, 0, 1), "", 1.0
    with rasterio.open(file) as image:
        values = image.read(list(range(1, bands + 1)) if bands else 1, masked=True).astype(float).filled(np.nan)
        return values, image.crs.to_string() if image.crs else "", abs(image.res[0])


def _check_table(expected: Mapping[str, Any], file: Path) -> Iterator[str]:
    """One row per date and feature, with the columns `date`, `feature_index`, and the value last."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if len(rows) != expected["rows"]:
        yield f"{len(rows)} rows, not {expected['rows']}"
    for row in rows:
        feature = expected["features"][int(float(row["feature_index"]))]
        wanted = expected["means"][feature].get(row["date"][:10])
        text = list(row.values())[-1]
        found = None if text in ("", "nan") else float(text)
        same = found is wanted or (
            found is not None and wanted is not None and abs(found - wanted) <= expected["tolerance"]
        )
        if not same:
            yield f"{feature} on {row['date']}: {found}, not {wanted}"
