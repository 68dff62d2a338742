"""Objects below some prefixes only: what a child may reach of the storage."""

from __future__ import annotations

from collections.abc import Iterator

from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import Objects


class Scoped:
    """The objects under one prefix, to be read.

    :param prefix: ends with a slash; keys are whole.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects, self._prefix = objects, prefix

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of an object.

        :raises OpenEOError: PermissionsInsufficient for a key that is not below the prefix; FileNotFound.
        """
        refuse_outside(key, self._prefix)
        return self._objects.stream(key, start, length)


def refuse_outside(key: str, prefix: str) -> None:
    """:raises OpenEOError: PermissionsInsufficient for a key that is not below a prefix, or leads out of it."""
    parts = key.split("/")
    if not key.startswith(prefix) or {"", ".", ".."} & set(parts) or "\\" in key or "\0" in key:
        raise OpenEOError("PermissionsInsufficient", f"'{key[:200]!a}' is not among the files of this job.", status=403)
