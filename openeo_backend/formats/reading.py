"""The one entry to the readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openeo_backend.cube.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.registry import FORMATS, find

#: How files of a format begin; what does not, no other reader is to try.
_BEGINNINGS = {
    "GTiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "netCDF": (b"\x89HDF",),
    "Parquet": (b"PAR1",),
    "Zarr": (b"PK",),
}


def read_file(path: Path, format_name: str, options: Mapping[str, Any] | None = None, name: str | None = None) -> Cube:
    """The data cube in a file; lazy where the format is read lazily.

    :param name: of the file, for messages; by default that of the path.
    :raises OpenEOError: FormatUnsuitable where the format is unknown or not read, or the file is not of it.
    """
    format, shown = find(format_name), name or path.name
    if format.read is None:
        readable = ", ".join(known.name for known in FORMATS.values() if known.read is not None)
        raise OpenEOError(
            "FormatUnsuitable", f"Files of the format {format.name} cannot be loaded.", hint=f"Formats: {readable}."
        )
    if not _begins_as(path, format.name):
        raise _unsuitable(shown, format.name, f"The file '{shown}' is not of the format {format.name}.")
    try:
        found = format.read(path, dict(options or {}))
    except OpenEOError as error:
        if error.code != "FileContentInvalid":
            raise
        raise _unsuitable(shown, format.name, error.message.replace(path.name, shown)) from error
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise _unsuitable(shown, format.name, f"The file '{shown}' cannot be read as {format.name}.") from error
    assert isinstance(found, Cube)
    return found


def _begins_as(path: Path, format: str) -> bool:
    known = _BEGINNINGS.get(format)
    if known is None or path.is_dir():
        return True
    with path.open("rb") as file:
        return file.read(4).startswith(known)


def _unsuitable(shown: str, format: str, message: str) -> OpenEOError:
    return OpenEOError("FormatUnsuitable", message, hint=f"Check that '{shown}' is a file of the format {format}.")
