"""The one entry to the writers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from openeo_backend.cube.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.asset import Asset, Format, Progress
from openeo_backend.formats.images import grid
from openeo_backend.formats.names import slug
from openeo_backend.formats.options import check_options
from openeo_backend.formats.registry import find


def write_result(
    value: Any,
    format_name: str,
    options: Mapping[str, Any] | None,
    folder: Path,
    stem: str,
    progress: Progress,
    warn: Callable[[str], None] = lambda message: None,
) -> list[Asset]:
    """Writes a value in a format and describes the files; a failure leaves none of its files behind.

    File names begin with `stem` (or the option `filename_prefix`) and differ from all that are in the folder.
    `progress(done, planned)` is called in this thread; what it raises stops the writing. `warn` gets a sentence
    per option that is not known, and one of pictures that look black.

    :raises OpenEOError: FormatUnsuitable (unknown format, or one that cannot hold the value), DataCubeEmpty,
        ProcessParameterInvalid (an option's value).
    """
    format = find(format_name)
    if format.write is None:
        raise OpenEOError("FormatUnsuitable", f"Files of the format {format.name} can be read but not written.")
    chosen = check_options(format, options, warn)
    if isinstance(value, Cube) and not prod(value.data.shape):
        sizes = ", ".join(f"{name}: {size}" for name, size in value.data.sizes.items())
        raise OpenEOError(
            "DataCubeEmpty",
            f"The data cube holds no values ({sizes}).",
            hint="Check the filters before: one of them leaves nothing.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    prefix = chosen.pop("filename_prefix", None)
    # Files are written aside and moved: no name of an earlier result is overwritten, no failure leaves a half file.
    with _aside(folder) as aside:
        assets = format.write(value, aside, slug(str(prefix or stem)), chosen, progress)
        if not chosen.get("scale") and not chosen.get("colormap"):
            _warn_of_black(format, assets, warn)
        return [_move(asset, folder) for asset in assets]


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder that is there meanwhile; it is left empty where all goes well."""
    made = folder / f".writing-{uuid4().hex}"
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        try:
            made.rmdir()
        except OSError:
            rmtree(made, ignore_errors=True)


def _warn_of_black(format: Format, assets: Sequence[Asset], warn: Callable[[str], None]) -> None:
    """Reflectance or an index, written as it is: the commonest surprise with pictures."""
    if not format.media_type.startswith("image/") or format.media_type.startswith("image/tiff"):
        return
    highest = [band.maximum for asset in assets for band in asset.bands if band.maximum is not None]
    if highest and max(highest) <= 1:
        warn(
            f"The {format.name} looks black: no value is above {max(highest):g}, and values become 0-255 as they are. "
            "Scale them with linear_scale_range before, or with the option 'scale' (two numbers that become 0 and 255)."
        )


def _move(asset: Asset, folder: Path) -> Asset:
    """Moves a file into the folder under a name that is free there."""
    name, number = asset.path.name, 1
    extension = ".zarr.zip" if name.endswith(".zarr.zip") else asset.path.suffix
    stem = name.removesuffix(extension)
    while (folder / name).exists():
        number += 1
        name = f"{stem}-{number}{extension}"
    return replace(asset, path=asset.path.rename(folder / name), title=name.removesuffix(extension))


def default_format(value: Any) -> str:
    """The format of results for which a graph names none.

    GTiff for a raster that is one image, netCDF for other rasters, JSON for everything else.
    """
    if not isinstance(value, Cube) or value.axis("x") is None or value.axis("y") is None:
        return "JSON"
    if value.data.dtype.kind not in "biuf":
        return "JSON"
    placed = {"x", "y"}
    images = prod(len(value.labels(d.name)) for d in value.dimensions if d.type != "bands" and d.axis not in placed)
    return "GTiff" if images == 1 and grid(value) is not None else "netCDF"
