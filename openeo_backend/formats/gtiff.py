"""GeoTIFF: Cloud Optimized GeoTIFFs, one file per date, written in one pass over the pixels."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import rasterio
import rioxarray
import xarray as xr
from rasterio.io import MemoryFile

from openeo_backend.cube import memory
from openeo_backend.cube.cube import Band, Cube
from openeo_backend.cube.dimension import Dimension
from openeo_backend.errors import OpenEOError
from openeo_backend.formats import options as schema
from openeo_backend.formats.asset import Asset, AssetBand, Format, Progress
from openeo_backend.formats.images import (
    Images,
    arrange,
    crop_dimensions,
    describe_band,
    image_dimensions,
    read_crs,
    unsuitable,
)
from openeo_backend.formats.names import bbox, describe_dimensions, geobox_bbox, instant
from openeo_backend.formats.pictures import read_colormap
from openeo_backend.formats.sheets import Cut, Piece, Sheet, encode
from openeo_backend.formats.statistics import Statistics
from openeo_backend.formats.targets import Target, choose_targets
from openeo_backend.formats.tiff import Codec, Level, write_cog
from openeo_backend.formats.tiles import (
    TILE_BUDGET,
    Cutter,
    Pyramid,
    Tile,
    decimate_average,
    decimate_nearest,
)
from openeo_backend.sandbox.blocks import refuse_huge_blocks

MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


def write(value: Any, folder: Path, stem: str, options: Mapping[str, Any], progress: Progress) -> list[Asset]:
    """Writes one file per temporal label (and per band with `separate_asset_per_band`), all bands in each.

    The cube is computed once, window by window; overviews and statistics come from the same windows. Tiles that lie
    in one window are compressed where it is computed, the others here.

    :raises OpenEOError: FormatUnsuitable, see :func:`openeo_backend.formats.images.arrange`.
    """
    images = arrange(value, options, "GTiff")
    _check(images, options)
    codec = choose_codec(images.storage.dtype, options)
    targets = choose_targets(images, folder, stem, options)
    threads = memory.threads()
    with ThreadPoolExecutor(threads, thread_name_prefix="deflate") as pool, TemporaryFile(dir=folder) as spool:
        queue = _Queue(pool, 2 * threads)
        files = [_File(target, images, codec, options, queue, spool, TILE_BUDGET // len(targets)) for target in targets]
        sheets: dict[int, list[Sheet]] = {}
        for index, target in enumerate(targets):
            sheets.setdefault(target.image, []).append(Sheet(index, target, files[index].cutter))
        cut = Cut(sheets, codec, images.storage.nodata)
        for pieces in images.blocks(progress, cut, folder):
            for piece in pieces:
                files[piece.file].add(piece)
        queue.drain()
        box, dimensions = bbox(images.cube), describe_dimensions(images.cube)
        return [file.finish(box, dimensions, pool) for file in files]


class _Queue:
    """Compresses in threads and stores in order, with a bounded number of tiles under way."""

    def __init__(self, pool: ThreadPoolExecutor, limit: int) -> None:
        self.pool, self.limit = pool, limit
        self.pending: deque[tuple[Future[list[bytes]], _File, Tile]] = deque()

    def put(self, file: _File, tile: Tile) -> None:
        self.pending.append((self.pool.submit(encode, file.codec, tile.values), file, tile))
        while self.pending and (len(self.pending) > self.limit or self.pending[0][0].done()):
            self._store()

    def drain(self) -> None:
        while self.pending:
            self._store()

    def _store(self) -> None:
        future, file, tile = self.pending.popleft()
        for plane, data in enumerate(future.result()):
            file.levels[tile.level].add(plane, tile.row, tile.column, data)
        file.pyramid.release(tile)


class _File:
    """One GeoTIFF that grows: a tile pyramid, its compressed tiles in the scratch file, statistics per band."""

    def __init__(
        self,
        target: Target,
        images: Images,
        codec: Codec,
        options: Mapping[str, Any],
        queue: _Queue,
        spool: IO[bytes],
        budget: int,
    ) -> None:
        self.target, self.images, self.codec, self.options = target, images, codec, options
        height, width = target.shape
        tile = int(options.get("tile_size") or (512 if max(height, width) > 512 else 256))
        depth = 0
        while options.get("overviews", "AUTO") != "OFF" and max(height, width) > tile * 2**depth:
            depth += 1
        storage = images.storage
        self.statistics = [Statistics() for _ in target.planes]
        decimate, fill = choose_decimation(images, options), storage.nodata if storage.nodata is not None else 0
        self.cutter = Cutter(height, width, tile, depth, decimate, fill)
        self.pyramid = Pyramid(
            (len(target.planes), height, width),
            storage.dtype,
            tile,
            depth,
            decimate,
            fill,
            partial(queue.put, self),
            target.path.parent,
            budget,
        )
        self.levels = []
        for level in range(depth + 1):
            rows, columns = self.pyramid.dimensions(level)
            self.levels.append(Level(columns, rows, tile, len(target.planes), spool))

    def add(self, piece: Piece) -> None:
        """Takes the tiles of a window, and what is left over of it."""
        for total, found in zip(self.statistics[piece.plane :], piece.statistics, strict=False):
            total.add(found)
        for level, row, column, planes in piece.cuttings.tiles:
            for index, data in enumerate(planes):
                self.levels[level].add(piece.plane + index, row, column, data)
        for rest in piece.cuttings.remnants:
            self.pyramid.paste(rest.top, rest.left, rest.values, rest.level, piece.plane)

    def finish(
        self, box: tuple[float, float, float, float] | None, dimensions: Mapping[str, Any], pool: Executor
    ) -> Asset:
        """Puts the file together from its compressed tiles."""
        target, images = self.target, self.images
        bands = tuple(
            describe_band(images.planes[index], images.storage, stats)
            for index, stats in zip(target.planes, self.statistics, strict=True)
        )
        template = _template(images, target, bands, self.levels[0].tile, self.options)
        with target.path.open("wb") as out:
            write_cog(out, self.levels, self.codec, template, pool)
        label = None if images.times is None else images.times[target.image]
        when = instant(label) if isinstance(label, np.datetime64) else None
        described = image_dimensions(images, target.image, dimensions)
        geobox = target.geobox(images)
        if not target.whole and geobox is not None:
            box = geobox_bbox(geobox)
            described = crop_dimensions(images, geobox, described)
        return Asset(
            path=target.path,
            media_type=MEDIA_TYPE,
            title=target.path.stem,
            bands=bands,
            geobox=geobox,
            bbox=box,
            start=when,
            end=when,
            dimensions=described,
        )


def _template(
    images: Images, target: Target, bands: tuple[AssetBand, ...], tile: int, options: Mapping[str, Any]
) -> bytes:
    """A GeoTIFF of one tile with all tags that the file needs, written by GDAL, which knows every CRS."""
    profile = {
        "driver": "GTiff",
        "width": tile,
        "height": tile,
        "count": len(bands),
        "dtype": images.storage.dtype.name,
        "nodata": images.storage.nodata,
        "transform": target.transform(images),
        "crs": images.cube.crs.to_wkt() if images.cube.crs is not None else None,
        "photometric": "RGB" if is_colour(bands) else "MINISBLACK",
        "sparse_ok": True,
    }
    if is_colour(bands) and len(bands) == 4:
        profile["alpha"] = "UNSPECIFIED"
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            if colours := options.get("colormap"):
                file.write_colormap(1, read_colormap(colours))
            file.update_tags(**_texts(options.get("file_metadata")))
            if images.times is not None:
                file.update_tags(OPENEO_LABEL=instant(images.times[target.image]), OPENEO_DIMENSION=_temporal(images))
            extra = options.get("bands_metadata") or {}
            for index, band in enumerate(bands, 1):
                file.set_band_description(index, band.name)
                file.update_tags(
                    index, **_band_tags(band), **{str(k): str(v) for k, v in extra.get(band.name, {}).items()}
                )
            file.scales = [1.0 if band.scale is None else band.scale for band in bands]
            file.offsets = [0.0 if band.offset is None else band.offset for band in bands]
            file.units = [band.unit or "" for band in bands]
        return bytes(memory.getbuffer())


def _texts(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (metadata or {}).items()}


def _temporal(images: Images) -> str:
    return images.cube.of_type("temporal")[0].name


def _band_tags(band: AssetBand) -> dict[str, str]:
    """GDAL's names for the statistics of a band, so that viewers need not read pixels for them."""
    tags = {"STATISTICS_VALID_PERCENT": f"{band.valid_percent or 0:.4g}"}
    if band.minimum is not None:
        tags |= {
            "STATISTICS_MINIMUM": f"{band.minimum:.17g}",
            "STATISTICS_MAXIMUM": f"{band.maximum:.17g}",
            "STATISTICS_MEAN": f"{band.mean:.17g}",
            "STATISTICS_STDDEV": f"{band.stddev:.17g}",
        }
    if band.common_name:
        tags["COMMON_NAME"] = band.common_name
    return tags


def is_colour(bands: tuple[AssetBand, ...]) -> bool:
    """Whether the bands are truly a colour picture: bytes called red, green, blue and perhaps alpha."""
    words = ("red", "green", "blue", "alpha")
    return (
        len(bands) in (3, 4)
        and all(band.data_type == "uint8" for band in bands)
        and all(
            word in (band.name.lower(), band.common_name) or band.name == word[0].upper()
            for band, word in zip(bands, words, strict=False)
        )
    )


def choose_codec(dtype: np.dtype, options: Mapping[str, Any]) -> Codec:
    """Compression by the options; by default deflate, fast, with the predictor that suits the type."""
    name = str(options.get("compression") or "deflate").lower()
    level = int(options.get("ZLEVEL") or 1)
    if name == "deflate" and not 1 <= level <= 9:
        raise OpenEOError("ProcessParameterInvalid", f"The option ZLEVEL is {level}; deflate takes 1 to 9.")
    own = 3 if dtype.kind == "f" else 2
    predictor = int(options.get("predictor") or own)
    if predictor not in (1, own):
        kind = "floating point numbers" if dtype.kind == "f" else "integers"
        raise OpenEOError(
            "ProcessParameterInvalid", f"The option predictor is {predictor}; for {kind} it can be 1 or {own}."
        )
    return Codec(name, level, predictor)


def choose_decimation(images: Images, options: Mapping[str, Any]) -> Any:
    """How overviews are made: means of measured (floating point) values, else the nearest pixel."""
    method = str(options.get("overview_method") or "AUTO").lower()
    if method == "auto":
        method = "average" if images.storage.dtype.kind == "f" else "nearest"
    return decimate_nearest if method == "nearest" else partial(decimate_average, nodata=images.storage.nodata)


def _check(images: Images, options: Mapping[str, Any]) -> None:
    single = len(images.planes) == 1 or options.get("separate_asset_per_band") or options.get("filepath_per_band")
    if options.get("colormap") and not (single and images.storage.dtype in (np.uint8, np.uint16)):
        raise unsuitable(
            "GTiff with a colormap",
            f"colours need one band of uint8 or uint16; there are {len(images.planes)} of {images.storage.dtype}",
            "Leave out the option colormap, or set the option dtype.",
        )
    tile = options.get("tile_size")
    if tile and tile % 16:
        raise OpenEOError("ProcessParameterInvalid", f"The option tile_size is {tile}; it must be a multiple of 16.")


def read(path: Path, options: Mapping[str, Any] | None = None) -> Cube:
    """A lazy cube with the dimensions bands, y and x (and t before them where our own writer noted a date).

    :raises OpenEOError: FileContentInvalid for a file with blocks that are too large.
    """
    with rasterio.open(path) as source:
        refuse_huge_blocks(source, path.name)
    with warnings.catch_warnings():
        # Scales that differ by band are read below; the other warning is about rioxarray's own code.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.filterwarnings("ignore", message="(Scales|Offsets) differ across bands")
        data = rioxarray.open_rasterio(path, chunks={"x": 1024, "y": 1024}, lock=False)
    assert isinstance(data, xr.DataArray)
    with rasterio.open(path) as source:
        names = [name or f"B{index:02d}" for index, name in enumerate(source.descriptions, 1)]
        tags, nodata, transform = source.tags(), source.nodata, source.transform
        bands = {
            name: Band(
                scale=None if scale == 1 else scale,
                offset=None if offset == 0 else offset,
                unit=unit or None,
                common_name=source.tags(index).get("COMMON_NAME"),
            )
            for index, (name, scale, offset, unit) in enumerate(
                zip(names, source.scales, source.offsets, source.units, strict=True), 1
            )
        }
        crs = read_crs(source.crs.to_wkt()) if source.crs else None
    if data.dtype.kind == "f" and nodata is not None and not np.isnan(nodata):
        data = data.where(data != nodata)
    data = data.rename(band="bands").assign_coords(bands=np.array(names, dtype=object).astype(str))
    data = data.drop_vars("spatial_ref", errors="ignore")
    data.attrs, data.encoding = {}, {}
    dimensions = [
        Dimension("bands", "bands"),
        Dimension("y", "spatial", "y", transform.e),
        Dimension("x", "spatial", "x", transform.a),
    ]
    if label := tags.get("OPENEO_LABEL"):
        name = tags.get("OPENEO_DIMENSION", "t")
        data = data.expand_dims({name: [_label(label)]})
        dimensions.insert(0, Dimension(name, "temporal"))
    whole = int(nodata) if nodata is not None and data.dtype.kind in "iu" else None
    return Cube(data, tuple(dimensions), crs, whole, bands)


def _label(label: str) -> Any:
    try:
        return np.datetime64(label.removesuffix("Z"), "ns")
    except ValueError:
        return label


FORMAT = Format(
    name="GTiff",
    title="GeoTIFF",
    description="Cloud Optimized GeoTIFF with overviews, band names, statistics and no-data value. One file per "
    "temporal label, named <prefix>_<date>.tif, with all bands; without a temporal dimension <prefix>.tif. "
    "Other dimensions become bands. Booleans become 0 and 1.",
    gis_data_types=("raster",),
    extension=".tif",
    media_type=MEDIA_TYPE,
    parameters=schema.GTIFF,
    write=write,
    read=read,
)
