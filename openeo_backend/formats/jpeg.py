"""JPEG: small pictures of one or three bands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from PIL import Image

from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import unsuitable
from openeo_backend.formats.pictures import prepare
from openeo_backend.formats.statistics import Statistics

MEDIA_TYPE = "image/jpeg"

#: The encoder holds a whole picture, so its size is bounded.
PIXELS = 50_000_000


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one picture per temporal label with 8 bits per band; missing pixels are black.

    :raises OpenEOError: FormatUnsuitable for other numbers of bands than one and three, and large pictures.
    """
    pictures = prepare(value, options, "JPEG", deep=False, bands=(1, 3))
    count, height, width = pictures.images.shape
    if height * width > PIXELS or max(height, width) > 65_500:
        raise unsuitable("JPEG", f"a picture has at most {PIXELS} pixels, this {height * width}", "Use PNG or GTiff.")
    paths = [folder / name for name in pictures.names(stem, ".jpg")]
    statistics = [[Statistics() for _ in pictures.images.planes] for _ in paths]
    with TemporaryFile(dir=folder) as scratch:
        canvas = np.memmap(scratch, "u1", "w+", shape=(len(paths), height, width, count))
        for part in pictures.parts(progress):
            for total, found in zip(statistics[part.image], part.statistics, strict=True):
                total.add(found)
            rows, columns = part.valid.shape
            place = (part.image, slice(part.top, part.top + rows), slice(part.left, part.left + columns))
            canvas[place] = np.moveaxis(np.where(part.valid, part.channels, 0), 0, -1)
        for path, pixels in zip(paths, canvas, strict=True):
            picture = Image.fromarray(np.asarray(pixels[..., 0] if count == 1 else pixels))
            picture.save(path, quality=int(options.get("quality", 90)))
    return pictures.describe(paths, statistics, MEDIA_TYPE)


FORMAT = Format(
    name="JPEG",
    title="JPEG",
    description="A picture per temporal label with one (grey) or three bands (red, green, blue) of 8 bits, lossy. "
    "Numbers are rounded and clipped to 0-255; scale them before, or with the option scale. Missing pixels are black. "
    "Not georeferenced.",
    gis_data_types=("raster",),
    extension=".jpg",
    media_type=MEDIA_TYPE,
    parameters=schema.JPEG,
    write=write,
)
