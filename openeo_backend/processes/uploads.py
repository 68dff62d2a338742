"""Loading the files of users: load_uploaded_files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from openeo_backend.cube import Cube
from openeo_backend.cube.merging import merge
from openeo_backend.cube.pixels import missing
from openeo_backend.errors import OpenEOError
from openeo_backend.files.user_files import UserFiles
from openeo_backend.formats.reading import read_file
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("load_uploaded_files", requires="files.enabled")
def load_uploaded_files(
    paths: Sequence[str], format: str, options: Mapping[str, Any] | None = None, *, env: Env
) -> Cube:
    """One cube of the user's files: the labels of all of them; where several have values, those of the first.

    Lazy where the format is read lazily.

    :raises OpenEOError: FileNotFound, FormatUnsuitable; ProcessParameterInvalid for files that do not go together.
    """
    files: UserFiles = env.service("files.enabled")
    if env.user is None:
        raise OpenEOError("AuthenticationRequired", "Files belong to users, but the graph runs for none.")
    if not paths:
        raise OpenEOError("ProcessParameterInvalid", "The list of paths is empty.", hint="Name at least one file.")
    found = [(path, files.find(env.user, path)) for path in paths]
    cubes = [read_file(file, format, options, name=path) for path, file in found]
    return reduce(lambda one, other: merge(one, other, _first), cubes)


def _first(x: np.ndarray, y: np.ndarray, context: Any = None) -> np.ndarray:
    """The values of `x`, and those of `y` where `x` has none."""
    nulls = missing(x)
    if nulls is None:
        return x
    if np.ma.isMaskedArray(x) or np.ma.isMaskedArray(y):
        chosen: np.ndarray = np.ma.where(nulls, y, x)
        return chosen
    return np.where(nulls, y, x)
