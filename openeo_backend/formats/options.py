"""The options of the formats, as /file_formats lists them and as they are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft7Validator

from openeo_backend.errors import OpenEOError
from openeo_backend.formats.asset import Format

FILENAME_PREFIX = {
    "filename_prefix": {
        "type": ["string", "null"],
        "description": "First part of the names of the files, instead of the one made of the title or the node.",
        "default": None,
    }
}

_COLOUR = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 4294967295},
        {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 4, "maxItems": 4},
    ]
}

COLORMAP = {
    "colormap": {
        "type": ["object", "null"],
        "description": "Colours of a single band, by value: either a list of red, green, blue and alpha from 0 to 1, "
        'or one number of the form 0xRRGGBBAA. Example: `{"0": [1, 0, 0, 1], "1": 4294967295}`.',
        "default": None,
        "additionalProperties": _COLOUR,
    }
}

STORAGE = {
    "dtype": {
        "type": ["string", "null"],
        "description": "Type of the stored numbers; by default that of the data. Values outside of an integer type's "
        "range are clipped to it.",
        "default": None,
        "enum": [
            "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", None,
        ],
    },
    "scale": {
        "type": ["number", "null"],
        "description": "Stored numbers are (value - offset) / scale; scale and offset are noted in the file.",
        "default": None,
        "exclusiveMinimum": 0,
    },
    "offset": {"type": ["number", "null"], "description": "See `scale`.", "default": None},
    "nodata": {
        "type": ["number", "string", "null"],
        "description": 'Number stored for missing values ("nan" for floating point numbers); by default that of the '
        "data, or for floating point data stored as integers the largest (unsigned) or smallest (signed) number.",
        "default": None,
    },
}  # fmt: skip

_SEPARATE = {
    "separate_asset_per_band": {
        "type": "boolean",
        "description": "Whether to write one file per band (and date); the band's name goes into the file's name.",
        "default": False,
    }
}

#: Options of other back-ends that are listed so that graphs stay exchangeable, but that cannot be honoured here.
UNSUPPORTED = ("sample_by_feature", "feature_id_property", "attach_gdalinfo_assets")

_BY_FEATURE = {
    "sample_by_feature": {
        "type": "boolean",
        "description": "One file per feature of a preceding filter_spatial. Not supported: only false is accepted.",
        "default": False,
    },
    "feature_id_property": {
        "type": ["string", "null"],
        "description": "Property that names the files of `sample_by_feature`. Not supported: only null is accepted.",
        "default": None,
    },
}

GTIFF: dict[str, Any] = {
    "tile_grid": {
        "type": ["string", "null"],
        "description": "Writes a file per cell of a grid and date instead of one per date: cells of one degree, or "
        "squares of the UTM zone of the data (of its centre, where the data are not in a UTM zone). The cell's name "
        "goes into the file's name. Pixels lie in every file whose cell's rectangle contains their centre.",
        "default": None,
        "enum": ["wgs84-1degree", "utm-100km", "utm-20km", "utm-10km", None],
    },
    "ZLEVEL": {
        "type": "integer",
        "description": "Compression level: 1 (fastest) to 9 for deflate, -7 to 22 for zstd.",
        "default": 1,
        "minimum": -7,
        "maximum": 22,
    },
    "compression": {
        "type": "string",
        "description": "Compression method. Not every viewer in a browser reads zstd.",
        "default": "deflate",
        "enum": ["deflate", "zstd"],
    },
    "predictor": {
        "type": ["integer", "null"],
        "description": "1 (none), 2 (differences of integers) or 3 (of floating point numbers); by default the one "
        "that suits the data.",
        "default": None,
        "enum": [1, 2, 3, None],
    },
    "tile_size": {
        "type": ["integer", "null"],
        "description": "Length of the sides of tiles in pixels, a multiple of 16; by default 512, or 256 for images "
        "of up to 512 pixels.",
        "default": None,
        "minimum": 16,
        "maximum": 4096,
    },
    "overviews": {
        "type": "string",
        "description": "AUTO adds overviews, each half as large as the one before, down to one tile; OFF adds none.",
        "default": "AUTO",
        "enum": ["AUTO", "OFF"],
    },
    "overview_method": {
        "type": "string",
        "description": "How pixels of overviews are made. AUTO: average for floating point data, nearest for others.",
        "default": "AUTO",
        "enum": ["AUTO", "average", "nearest"],
    },
    **COLORMAP,
    **FILENAME_PREFIX,
    **_SEPARATE,
    "filepath_per_band": {
        "type": ["array", "null"],
        "description": "A file name per band, in their order: each band then goes to its own file (and each date, "
        "whose label is put before the extension). Folders are not supported.",
        "default": None,
        "items": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"},
    },
    "attach_gdalinfo_assets": {
        "type": "boolean",
        "description": "Files with the output of gdalinfo. Not supported: only false is accepted; the result "
        "metadata hold the statistics.",
        "default": False,
    },
    **_BY_FEATURE,
    "file_metadata": {
        "type": ["object", "null"],
        "description": "GDAL metadata of the file, text by name.",
        "default": None,
    },
    "bands_metadata": {
        "type": ["object", "null"],
        "description": "GDAL metadata of bands: by band name, text by name.",
        "default": None,
        "additionalProperties": {"type": "object"},
    },
    **STORAGE,
}

NETCDF: dict[str, Any] = {
    "compression_level": {
        "type": "integer",
        "description": "Level of the deflate compression, 1 (fastest) to 9.",
        "default": 1,
        "minimum": 1,
        "maximum": 9,
    },
    **FILENAME_PREFIX,
    **_SEPARATE,
    **_BY_FEATURE,
    **STORAGE,
}

ZARR: dict[str, Any] = {
    "compression_level": {
        "type": "integer",
        "description": "Level of the zstd compression, 1 (fastest) to 22.",
        "default": 1,
        "minimum": 1,
        "maximum": 22,
    },
    **FILENAME_PREFIX,
    **STORAGE,
}

_SCALE = {
    "scale": {
        "type": ["array", "null"],
        "description": "Two numbers that become black (0) and white (255); values between them are scaled linearly.",
        "default": None,
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }
}

PNG: dict[str, Any] = {**COLORMAP, **_SCALE, **FILENAME_PREFIX}

JPEG: dict[str, Any] = {
    "quality": {
        "type": "integer",
        "description": "1 (smallest file) to 95 (fewest losses).",
        "default": 90,
        "minimum": 1,
        "maximum": 95,
    },
    **_SCALE,
    **FILENAME_PREFIX,
}


def check_options(format: Format, options: Mapping[str, Any] | None, warn: Callable[[str], None]) -> dict[str, Any]:
    """The options a format knows, in its spelling (names are matched case-insensitively).

    Options it does not know are left out with a warning, so that graphs made for other back-ends run.

    :raises OpenEOError: ProcessParameterInvalid for a value outside of the option's schema; FeatureUnsupported
        for options kept for compatibility that cannot be honoured.
    """
    known = {name.lower(): name for name in format.parameters}
    out: dict[str, Any] = {}
    for given, value in (options or {}).items():
        name = known.get(str(given).lower())
        if name is None:
            listed = ", ".join(sorted(format.parameters)) or "none"
            warn(f"The option '{given}' is not known for the format {format.name} and was ignored. Known: {listed}.")
            continue
        if value is None:
            continue
        _check_value(format, name, value)
        if name in UNSUPPORTED and value:
            raise OpenEOError(
                "FeatureUnsupported",
                f"The option '{name}' of the format {format.name} is not supported here.",
                hint="Leave it out.",
            )
        out[name] = value
    return out


def _check_value(format: Format, name: str, value: Any) -> None:
    errors = [error.message for error in Draft7Validator(format.parameters[name]).iter_errors(value)]
    if errors:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The value of the option '{name}' of the format {format.name} is invalid: {'; '.join(errors)}.",
            hint=str(format.parameters[name].get("description", "")),
        )
