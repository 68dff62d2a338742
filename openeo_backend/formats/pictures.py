"""Raster cubes as pictures: channels of 8 or 16 bits and what is missing in them. Used by PNG and JPEG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from openeo_backend.errors import OpenEOError
from openeo_backend.formats.asset import Asset, AssetBand, Progress
from openeo_backend.formats.blocks import WINDOW, stream
from openeo_backend.formats.images import Images, arrange, image_dimensions, unsuitable
from openeo_backend.formats.names import bbox, describe_dimensions, instant, suffixes
from openeo_backend.formats.statistics import Statistics, measure


@dataclass(frozen=True)
class PicturePart:
    """A window of one picture."""

    image: int
    top: int
    left: int
    channels: np.ndarray
    """(channels, rows, columns) of uint8 or uint16."""
    valid: np.ndarray
    """False where the pixel is missing in every band, or transparent by the colours chosen."""
    statistics: list[Statistics]
    """Of the cube's bands, as they are in the picture (before colours are given)."""


@dataclass(frozen=True)
class _Paint:
    """Makes windows parts of pictures where they are computed: all it needs for that, without the cube."""

    dtype: np.dtype
    scale: tuple[float, float] | None
    colours: Mapping[int, tuple[int, int, int, int]] | None
    nodata: int | None

    def __call__(self, values: np.ndarray, place: tuple[slice, ...]) -> list[PicturePart]:
        flat = values.reshape(len(values), -1, *values.shape[-2:])
        return [
            self._convert(planes, place[0].start + index, place[-2].start, place[-1].start)
            for index, planes in enumerate(flat)
        ]

    def _convert(self, planes: np.ndarray, image: int, top: int, left: int) -> PicturePart:
        nodata = self.nodata
        missing = np.isnan(planes) if planes.dtype.kind == "f" else planes == (np.nan if nodata is None else nodata)
        highest = np.iinfo(self.dtype).max
        if self.scale is not None:
            low, high = self.scale
            planes = (planes.astype("float64") - low) / ((high - low) or 1.0) * highest
        holed = bool(missing.any())
        if planes.dtype.kind == "f":
            planes = np.rint(np.nan_to_num(planes, nan=0, posinf=highest, neginf=0) if holed else planes)
        channels = planes if planes.dtype == self.dtype else np.clip(planes, 0, highest).astype(self.dtype)
        statistics = []
        for band, absent in zip(channels, missing, strict=True):
            found = measure(band[~absent] if holed else band, None)
            found.pixels = band.size
            statistics.append(found)
        valid = ~missing.all(axis=0) if holed else np.ones(missing.shape[1:], bool)
        if self.colours is not None:
            channels, valid = self._colour(channels[0], valid)
        return PicturePart(image, top, left, channels, valid, statistics)

    def _colour(self, values: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert self.colours is not None
        table = np.zeros((4, np.iinfo(self.dtype).max + 1), "u1")
        for number, colour in self.colours.items():
            if 0 <= number < table.shape[1]:
                table[:, number] = colour
        painted = table[:, values]
        painted[3][~valid] = 0
        return painted, painted[3] > 0


@dataclass(frozen=True)
class Pictures:
    """One picture per temporal label of a cube with one, three or four bands."""

    images: Images
    dtype: np.dtype
    scale: tuple[float, float] | None
    colours: Mapping[int, tuple[int, int, int, int]] | None

    @property
    def channels(self) -> int:
        return 4 if self.colours else len(self.images.planes)

    @property
    def can_miss(self) -> bool:
        """Whether pixels may be missing."""
        return self.images.array.dtype.kind == "f" or self.images.cube.nodata is not None or self.colours is not None

    def parts(self, progress: Progress) -> Iterator[PicturePart]:
        """All windows of all pictures, computed once, row by row."""
        array = self.images.array
        whole = {axis: -1 for axis in range(1, array.ndim - 2)}
        if not isinstance(array, da.Array):
            array = da.from_array(array, chunks={0: 1, **whole, array.ndim - 2: WINDOW, array.ndim - 1: WINDOW})
        if any(array.numblocks[axis] > 1 for axis in whole):
            array = array.rechunk(whole)

        paint = _Paint(self.dtype, self.scale, self.colours, self.images.cube.nodata)
        for block in stream(array, paint, progress, sources=self.images.sources):
            yield from block.result

    def names(self, stem: str, extension: str) -> list[str]:
        """A file name per picture."""
        times = self.images.times
        return [f"{stem}{extension}"] if times is None else [f"{stem}_{end}{extension}" for end in suffixes(times)]

    def describe(self, paths: list[Path], statistics: list[list[Statistics]], media_type: str) -> list[Asset]:
        """The assets of the written pictures."""
        cube = self.images.cube
        box, dimensions = cube.derived("place", lambda: (bbox(cube), describe_dimensions(cube)))
        assets = []
        for index, path in enumerate(paths):
            label = None if self.images.times is None else self.images.times[index]
            when = instant(label) if isinstance(label, np.datetime64) else None
            assets.append(
                Asset(
                    path=path,
                    media_type=media_type,
                    title=path.stem,
                    bands=tuple(self._band(i, found) for i, found in enumerate(statistics[index])),
                    geobox=self.images.geobox,
                    bbox=box,
                    start=when,
                    end=when,
                    dimensions=image_dimensions(self.images, index, dimensions),
                )
            )
        return assets

    def _band(self, index: int, found: Statistics) -> AssetBand:
        plane = self.images.planes[index]
        some = found.count > 0
        return AssetBand(
            name=plane.name,
            data_type=str(self.dtype),
            minimum=found.minimum if some else None,
            maximum=found.maximum if some else None,
            mean=found.mean if some else None,
            stddev=found.stddev if some else None,
            valid_percent=found.valid_percent,
            common_name=plane.band.common_name,
        )


def prepare(
    value: Any, options: Mapping[str, Any], format_name: str, *, deep: bool, bands: tuple[int, ...]
) -> Pictures:
    """The pictures of a cube, values still lazy.

    :param deep: whether integers of more than 8 bits may become 16 bits.
    :raises OpenEOError: FormatUnsuitable for a number of bands not in `bands`.
    """
    images = arrange(value, {}, format_name)
    count = len(images.planes)
    colours = read_colormap(options["colormap"]) if options.get("colormap") else None
    if count not in bands or (colours and count != 1):
        wanted = "1 band with a colormap" if colours else f"{', '.join(map(str, bands[:-1]))} or {bands[-1]} bands"
        raise unsuitable(
            format_name,
            f"a picture has {wanted}, the data have {count} ({', '.join(plane.name for plane in images.planes[:10])})",
            "Choose bands with filter_bands or reduce them, or use GTiff or netCDF.",
        )
    scale = tuple(options["scale"]) if options.get("scale") else None
    dtype = images.cube.data.dtype
    wide = deep and dtype.kind in "iu" and dtype.itemsize > 1 and scale is None
    return Pictures(images, np.dtype("u2" if wide else "u1"), scale, colours)


def read_colormap(colours: Mapping[str, Any]) -> dict[int, tuple[int, int, int, int]]:
    """Colours by value: lists of red, green, blue, alpha from 0 to 1, or one number 0xRRGGBBAA.

    :raises OpenEOError: ProcessParameterInvalid for values that are no whole numbers.
    """
    out = {}
    for key, colour in colours.items():
        try:
            value = int(float(key))
        except (ValueError, OverflowError):
            message = f"The option colormap has a colour for '{key[:80]}', which is no number."
            raise OpenEOError("ProcessParameterInvalid", message) from None
        if isinstance(colour, int | float):
            red, green, blue, alpha = ((int(colour) >> shift) & 255 for shift in (24, 16, 8, 0))
        else:
            red, green, blue, alpha = (round(float(part) * 255) for part in colour)
        out[value] = (red, green, blue, alpha)
    return out
