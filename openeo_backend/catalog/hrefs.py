"""Addresses in STAC documents: resolving them, and refusing those that no reader may open."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import join, split

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")


def is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def resolve(base: str, href: str) -> str:
    """`href` as seen from the document at `base` (a URL or an absolute path)."""
    if _SCHEME.match(href) or href.startswith("/vsi"):
        return href
    if is_url(base):
        return join(base, href)
    return str((Path(base).parent / unquote(href)).resolve())


class Gate:
    """Decides which asset addresses may be read and what the reader gets to see.

    :param root: the folder below which local files may be read; None allows no local file.
    :param check: raises OpenEOError for a URL that the address policy refuses.
    :param buckets: S3 buckets that may be read with the credentials of the process.
    """

    def __init__(self, root: Path | None, check: Callable[[str], object], buckets: Sequence[str] = ()) -> None:
        self._root = root.resolve() if root is not None else None
        self._check = check
        self._buckets = frozenset(buckets)
        self._allowed: set[str] = set()

    def admit(self, href: str, for_gdal: bool = True) -> str:
        """The address as GDAL opens it; or else a path, an http(s) URL or an s3:// address.

        :raises OpenEOError: PermissionsInsufficient for an address that items must not refer to.
        """
        scheme = _SCHEME.match(href)
        if scheme is None:
            return self._local(href)
        if scheme.group(1) in ("http", "https"):
            self._admit_host(href)
            return f"/vsicurl/{href}" if for_gdal else href
        if scheme.group(1) == "s3" and split(href).netloc in self._buckets:
            return f"/vsis3/{href[len('s3://') :]}" if for_gdal else href
        if scheme.group(1) == "file":
            return self._local(unquote(split(href).path))
        raise _refused(href, "only http(s) addresses, files of the catalog's own folder and configured S3 buckets are")

    def _admit_host(self, href: str) -> None:
        host = "/".join(href.split("/", 3)[:3])
        if host not in self._allowed:
            self._check(href)
            self._allowed.add(host)

    def _local(self, path: str) -> str:
        if self._root is None:
            raise _refused(path, "local files are only read for catalogs that the operator gave as a path")
        if path.startswith("/vsi"):
            raise _refused(path, "virtual file systems are never")
        real = Path(path).resolve()
        if not real.is_relative_to(self._root):
            raise _refused(path, "only files below the catalog's own folder are")
        return str(real)


def _refused(href: str, allowed: str) -> OpenEOError:
    return OpenEOError("PermissionsInsufficient", f"The asset address {href} is not read: {allowed}.", status=403)
