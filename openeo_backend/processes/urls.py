"""Loading files behind URLs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from openeo_backend.cube import Cube
from openeo_backend.errors import OpenEOError
from openeo_backend.formats.registry import FORMATS, find
from openeo_backend.graph.effects import BLOCKED
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import process


@process("load_url", effect=BLOCKED)
def load_url(url: str, format: str, options: Mapping[str, Any] | None = None, *, env: Env) -> Cube:
    """The data cube in the file behind a URL, fetched now under the node's rules for outside addresses.

    :raises OpenEOError: FormatUnsuitable where the format cannot be read, or the file is not of that format.
    """
    reader = find(format)
    if reader.read is None:
        readable = ", ".join(known.name for known in FORMATS.values() if known.read is not None)
        raise OpenEOError(
            "FormatUnsuitable", f"Files of the format '{reader.name}' cannot be loaded.", hint=f"Formats: {readable}."
        )
    if env.fetch is None or env.folder is None:
        raise OpenEOError("FeatureUnsupported", "Files behind URLs cannot be loaded here.")
    content = env.fetch(url)
    path = env.folder / f".url-{uuid.uuid4().hex}{reader.extension}"
    path.write_bytes(content)
    try:
        found = reader.read(path, dict(options or {}))
    except OpenEOError as error:
        if error.code != "FileContentInvalid":
            raise
        message = error.message.replace(path.name, url)
        raise OpenEOError(
            "FormatUnsuitable", message, hint=f"Check that the URL leads to a file of the format '{reader.name}'."
        ) from error
    assert isinstance(found, Cube)
    if not found.is_lazy:
        path.unlink()
    return found
