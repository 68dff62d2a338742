"""Masking: by another raster cube, by polygons, and by a dilated scene classification."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from openeo_backend.cube.blocks import apply
from openeo_backend.cube.compatible import positions_in
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.flat import flat, is_set
from openeo_backend.cube.focal import dilate_gauss, erode_square, map_focal
from openeo_backend.cube.geometry import parse_geometries, project
from openeo_backend.cube.grid import horizontal, need_crs, take
from openeo_backend.cube.inside import POLYGONS, inside, type_ids
from openeo_backend.cube.nodata import put_missing, put_value, valid
from openeo_backend.cube.pixels import is_number, missing
from openeo_backend.cube.warp import warp_like
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import Effect, Widen
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process

# -- by a raster cube -----------------------------------------------------------------------------------


@process("mask", effect=Effect(cubes=("data", "mask"), all_bands=("mask",)))
def mask(data: Cube, mask: Cube, replacement: Any = None, *, env: Env) -> Cube:
    """Replace values where the mask, brought onto the pixels of the data, is non-zero or true."""
    horizontal(data)
    mask = _without_single_band(data, warp_like(_matching(data, mask), data, "near"), env)
    return _replace(data, apply(mask, _is_set).data, replacement)


@flat(is_set)
def _is_set(values: np.ndarray) -> np.ndarray:
    """Which values are neither missing nor zero nor false."""
    nulls = missing(values)
    found = np.asarray(np.ma.getdata(values) != 0)
    return found if nulls is None else found & ~nulls


def _matching(data: Cube, mask: Cube) -> Cube:
    """The mask with its labels in the order of the data; both must have the same, apart from x, y and single bands."""
    placed = [dimension.name for dimension in horizontal(mask)]
    if placed != [dimension.name for dimension in horizontal(data)]:
        raise _incompatible(
            f"The dimensions x and y of the mask are called {' and '.join(placed)}, those of the data are not."
        )
    for dimension in mask.dimensions:
        if dimension.name in placed or _is_single_band(data, mask, dimension.name):
            continue
        if not data.has(dimension.name) or data.dimension(dimension.name).type != dimension.type:
            raise _incompatible(f"The mask has a dimension '{dimension.name}' that the data do not have.")
        positions = positions_in(mask.labels(dimension.name), data.labels(dimension.name))
        if positions is None:
            raise _incompatible(
                f"The labels of the dimension '{dimension.name}' differ: {_some(mask, dimension.name)} in the mask, "
                f"{_some(data, dimension.name)} in the data."
            )
        mask = take(mask, dimension.name, positions)
    return mask


def _is_single_band(data: Cube, mask: Cube, name: str) -> bool:
    if mask.dimension(name).type != "bands" or mask.data.sizes[name] != 1:
        return False
    return not data.has(name) or list(data.labels(name)) != list(mask.labels(name))


def _without_single_band(data: Cube, mask: Cube, env: Env) -> Cube:
    for dimension in mask.of_type("bands"):
        if _is_single_band(data, mask, dimension.name):
            env.log("info", f"mask: the only band '{mask.labels(dimension.name)[0]}' of the mask applies to all bands.")
            return mask.with_data(mask.data.isel({dimension.name: 0}, drop=True))
    return mask


def _some(cube: Cube, name: str) -> str:
    labels = [str(label) for label in cube.labels(name)]
    return f"{', '.join(labels[:4])}{' ...' if len(labels) > 4 else ''} ({len(labels)})"


def _incompatible(message: str) -> OpenEOError:
    return OpenEOError(
        "IncompatibleDataCubes",
        message,
        hint="All dimensions of the mask but x and y must be in the data with the same labels; others can be dropped.",
    )


def _replace(data: Cube, where: xr.DataArray, replacement: Any) -> Cube:
    return put_missing(data, where) if replacement is None else put_value(data, where, replacement)


# -- by polygons ----------------------------------------------------------------------------------------


@process("mask_polygon", effect=Effect())
def mask_polygon(data: Cube, mask: Any, replacement: Any = None, inside: bool = False) -> Cube:
    """Replace values outside of polygons, or with `inside` those in them; missing values stay missing."""
    polygons = project(parse_geometries(mask, "mask"), need_crs(data))
    if not np.isin(type_ids(polygons), POLYGONS).all():
        raise OpenEOError(
            "ProcessParameterInvalid",
            "The mask holds geometries that are not polygons.",
            hint="Give Polygon or MultiPolygon geometries, e.g. with vector_buffer.",
        )
    where = _in_polygons(data, polygons)
    if not inside:
        where = ~where
    known = valid(data)
    if known is not None and replacement is not None:
        where = where & known
    return _replace(data, where, replacement)


def _in_polygons(data: Cube, polygons: np.ndarray) -> xr.DataArray:
    return inside(data, polygons)


# -- by a dilated scene classification ------------------------------------------------------------------

#: Share of the first and the second Gaussian kernel that must be covered for a pixel to be masked.
THRESHOLDS = (0.057, 0.025)

#: Classes to keep in the first mask and to mask in the second one, where a graph names none.
CLEAR, CLOUDY = (2, 4, 5, 6, 7), (3, 8, 9, 10, 11)

_KERNELS: tuple[dict[str, Any], ...] = (
    {
        "name": "erosion_kernel_size",
        "description": "Width in pixels of the square by which both masks are eroded first; 0 for no erosion.",
        "schema": {"type": "integer", "minimum": 0},
        "optional": True,
        "default": 0,
    },
    {
        "name": "mask1_values",
        "description": "Classes to **keep** in the first mask: pixels of all other classes, and those without class, "
        "are masked.",
        "schema": {"type": "array", "items": {"type": "integer"}},
        "optional": True,
        "default": list(CLEAR),
    },
    {
        "name": "mask2_values",
        "description": "Classes to **mask** in the second mask, which is meant for clouds and their shadows.",
        "schema": {"type": "array", "items": {"type": "integer"}},
        "optional": True,
        "default": list(CLOUDY),
    },
    {
        "name": "kernel1_size",
        "description": "Width in pixels of the Gaussian kernel (standard deviation: a sixth) that dilates the first "
        "mask; 0 for no dilation.",
        "schema": {"type": "integer", "minimum": 0},
        "optional": True,
        "default": 17,
    },
    {
        "name": "kernel2_size",
        "description": "Width in pixels of the Gaussian kernel that dilates the second mask; 0 for no dilation.",
        "schema": {"type": "integer", "minimum": 0},
        "optional": True,
        "default": 201,
    },
)

_CUBE = {"type": "object", "subtype": "datacube", "dimensions": [{"type": "spatial", "axis": ["x", "y"]}]}

_BAND = {
    "name": "scl_band_name",
    "description": "Name of the band with the classes. By default the only band, or the one called `SCL`.",
    "schema": [{"type": "string"}, {"type": "null"}],
    "optional": True,
    "default": None,
}

_METHOD = (
    "Two masks are made from the classes of Sentinel-2's scene classification: one of everything that is not in "
    "`mask1_values`, and one of `mask2_values`. Each is eroded, to remove single pixels, and dilated by a Gaussian "
    f"kernel: a pixel is masked where the mask covers more than {THRESHOLDS[0]} (first mask) or {THRESHOLDS[1]} "
    "(second mask) of the kernel around it. A pixel is masked in the end if either mask says so."
)

TO_SCL_DILATION_MASK: dict[str, Any] = {
    "id": "to_scl_dilation_mask",
    "summary": "Make a cloud mask from a scene classification",
    "description": f"{_METHOD}\n\nThe result can be given to ``mask()``.",
    "categories": ["cubes", "masks"],
    "experimental": True,
    "parameters": [
        {"name": "data", "description": "A data cube with the scene classification.", "schema": _CUBE},
        *_KERNELS,
        _BAND,
    ],
    "returns": {
        "description": "A data cube of booleans, `true` where a pixel should be masked. It has the same dimensions, "
        "with the scene classification as the only band.",
        "schema": _CUBE,
    },
}

MASK_SCL_DILATION: dict[str, Any] = {
    "id": "mask_scl_dilation",
    "summary": "Mask clouds by a scene classification in the cube",
    "description": f"{_METHOD}\n\nMasked pixels lose their values in all bands but the scene classification itself.",
    "categories": ["cubes", "masks"],
    "experimental": True,
    "parameters": [
        {"name": "data", "description": "A data cube with the scene classification as a band.", "schema": _CUBE},
        {**_BAND},
        *_KERNELS,
    ],
    "returns": {"description": "The data cube with the same dimensions and bands.", "schema": _CUBE},
}

_FOCAL = Effect(spatial=Widen(pixels=101, argument="kernel2_size"))


@process("to_scl_dilation_mask", spec=TO_SCL_DILATION_MASK, effect=Effect(spatial=_FOCAL.spatial))
def to_scl_dilation_mask(
    data: Cube,
    erosion_kernel_size: int = 0,
    mask1_values: list[int] | None = None,
    mask2_values: list[int] | None = None,
    kernel1_size: int = 17,
    kernel2_size: int = 201,
    scl_band_name: str | None = None,
) -> Cube:
    """The dilated mask of a scene classification, as booleans with the classification as the only band."""
    classes = _classification(data, scl_band_name)
    keep = CLEAR if mask1_values is None else mask1_values
    drop = CLOUDY if mask2_values is None else mask2_values
    sizes = {"erosion_kernel_size": erosion_kernel_size, "kernel1_size": kernel1_size, "kernel2_size": kernel2_size}
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise OpenEOError("ProcessParameterInvalid", f"'{name}' must be an integer of at least 0, not {size!r}.")
    for name, listed in (("mask1_values", keep), ("mask2_values", drop)):
        if not all(is_number(value) for value in listed):
            raise OpenEOError("ProcessParameterInvalid", f"'{name}' must be a list of integers.")
    if classes.data.dtype.kind not in "biuf":
        raise OpenEOError("ProcessParameterInvalid", "The scene classification holds no numbers.")
    known = valid(classes)
    member, cloudy = (classes.data.isin(np.array(listed, float)) for listed in (keep, drop))
    if known is not None:
        member, cloudy = member & known, cloudy & known
    first = _dilated(classes, ~member, erosion_kernel_size, kernel1_size, THRESHOLDS[0])
    second = _dilated(classes, cloudy, erosion_kernel_size, kernel2_size, THRESHOLDS[1])
    return classes.patch(data=(first | second).drop_attrs(), nodata=None)


@process("mask_scl_dilation", spec=MASK_SCL_DILATION, effect=Effect(spatial=_FOCAL.spatial))
def mask_scl_dilation(
    data: Cube,
    scl_band_name: str | None = None,
    erosion_kernel_size: int = 0,
    mask1_values: list[int] | None = None,
    mask2_values: list[int] | None = None,
    kernel1_size: int = 17,
    kernel2_size: int = 201,
) -> Cube:
    """Remove the values that the dilated mask covers from all bands but the classification."""
    found = to_scl_dilation_mask(
        data, erosion_kernel_size, mask1_values, mask2_values, kernel1_size, kernel2_size, scl_band_name
    )
    bands = data.of_type("bands")
    if not bands:
        return put_missing(data, found.data)
    name = bands[0].name
    where = found.data.isel({name: 0}, drop=True)
    others = data.data[name] != found.labels(name)[0]
    return put_missing(data, (where & others).transpose(*data.names))


def _classification(data: Cube, wanted: str | None) -> Cube:
    """The cube with the band of the scene classification only."""
    bands = data.of_type("bands")
    if not bands:
        return data
    name, labels = bands[0].name, list(data.labels(bands[0].name))
    if wanted is None:
        wanted = labels[0] if len(labels) == 1 else "SCL"
    if wanted not in labels:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"No band is called '{wanted}'. Available: {', '.join(map(str, labels))}.",
            hint="Name the band with the scene classification in 'scl_band_name'.",
        )
    return take(data, name, np.array([labels.index(wanted)]))


def _dilated(cube: Cube, pixels: xr.DataArray, erosion: int, kernel: int, threshold: float) -> xr.DataArray:
    """The pixels after erosion by a square and dilation by a Gaussian, booleans like `pixels`."""

    if erosion > 1:
        pixels = map_focal(cube, pixels, erode_square, erosion // 2, True, bool, size=erosion)
    if kernel:
        pixels = map_focal(cube, pixels, dilate_gauss, kernel // 2, False, bool, size=kernel, threshold=threshold)
    return pixels
