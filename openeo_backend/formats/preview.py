"""Small pictures of raster files, from their overviews."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp, Resampling

#: Longest side of a preview in pixels.
SIZE = 512

#: Percentiles of the values that become black and white.
STRETCH = (2.0, 98.0)


def preview(path: Path, size: int = SIZE) -> bytes:
    """A PNG of at most `size` pixels a side of a raster file that GDAL reads (GeoTIFF, PNG, JPEG).

    The first three bands as red, green and blue where there are three or more, else the first as grey, or in its
    colours where it has a colour table. Values are stretched from the 2nd to the 98th percentile of each band,
    except for pictures in bytes that are marked as red, green, blue. Missing pixels are transparent.
    """
    with rasterio.open(path) as source:
        scale = max(*source.shape, 1) / size
        shape = (max(round(source.height / max(scale, 1)), 1), max(round(source.width / max(scale, 1)), 1))
        indexes = [1, 2, 3] if source.count >= 3 else [1]
        values = source.read(indexes, out_shape=(len(indexes), *shape), resampling=Resampling.nearest)
        valid = source.read_masks(indexes, out_shape=values.shape, resampling=Resampling.nearest) > 0
        colours = source.colormap(1) if source.colorinterp[0] == ColorInterp.palette else None
        is_picture = source.colorinterp[0] == ColorInterp.red and values.dtype == np.uint8
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    if colours is not None:
        table = np.zeros((max(colours) + 1, 4), "u1")
        for number, colour in colours.items():
            table[number] = colour
        pixels = table[values[0]]
        pixels[..., 3] = np.where(valid[0], pixels[..., 3], 0)
        return _encode(pixels)
    bands = [
        np.where(mask, band, 0).astype("u1") if is_picture else _stretch(band, mask)
        for band, mask in zip(values, valid, strict=True)
    ]
    alpha = np.where(valid.any(axis=0), 255, 0).astype("u1")
    return _encode(np.stack([*bands, alpha], axis=-1))


def _stretch(band: np.ndarray, valid: np.ndarray) -> np.ndarray:
    if not valid.any():
        return np.zeros(band.shape, "u1")
    low, high = np.percentile(band[valid].astype("f8"), STRETCH)
    if high <= low:
        low, high = float(band[valid].min()), float(band[valid].max())
    if high <= low:
        return np.where(valid, 128, 0).astype("u1")
    scaled = (np.where(valid, band, low).astype("f8") - low) / (high - low) * 255
    return np.clip(np.rint(scaled), 0, 255).astype("u1")


def _encode(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()
