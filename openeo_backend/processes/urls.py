"""Loading files behind URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.reading import read_file
from openeo_backend.formats.registry import find
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("load_url", effect=BLOCKED)
def load_url(url: str, format: str, options: Mapping[str, Any] | None = None, *, env: Env) -> Cube:
    """The data cube in the file behind a URL, downloaded now under the node's rules for outside addresses.

    Lazy where the format is read lazily: the file stays until the results are written.

    :raises OpenEOError: FormatUnsuitable where the format cannot be read, or the file is not of that format;
        FileSizeExceeded.
    """
    extension = find(format).extension
    if env.download is None:
        raise OpenEOError("FeatureUnsupported", "Files behind URLs cannot be loaded here.")
    path = env.scratch() / f"file{extension}"
    env.download(url, path)
    return read_file(path, format, options, url)
