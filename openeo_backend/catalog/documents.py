"""Reading STAC documents: local files below the operator's folder, and URLs through the guarded door."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from openeo_backend.catalog import shape
from openeo_backend.catalog.budget import MOST_DOCUMENTS, Budget
from openeo_backend.catalog.hrefs import is_url
from openeo_backend.catalog.remote import Requests
from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import shown

#: Largest local document in bytes.
_LARGEST = 256 * 2**20


class Door(Requests, Protocol):
    """The guarded way out, as :mod:`openeo_backend.net.door` offers it."""

    def json(self, url: str) -> Any: ...

    def post_json(self, url: str, body: Any) -> Any: ...

    def check(self, url: str) -> Any: ...


class Documents:
    """STAC documents by address.

    :param root: the folder below which local documents may be read; None for URLs only.
    :param seconds: longest time of one search, or of one walk along links.
    """

    def __init__(self, door: Door, root: Path | None = None, seconds: float = 300) -> None:
        self.door = door
        self._seconds = seconds
        self.root = root.resolve() if root is not None else None

    def read(self, address: str) -> dict[str, Any]:
        """The JSON object at a path or URL.

        :raises OpenEOError: naming the address and what is wrong with it.
        """
        value = self.door.json(address) if is_url(address) else self._local(address)
        if not isinstance(value, dict):
            raise OpenEOError("FileContentInvalid", f"The document {shown(address)} is not a JSON object.")
        shape.check(value, address)
        return value

    def budget(self, where: str, documents: int = MOST_DOCUMENTS) -> Budget:
        """What a search or walk that begins now may take."""
        return Budget(where, self._seconds, documents)

    def post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a JSON body sent to `url`."""
        value = self.door.post_json(url, dict(body))
        if not isinstance(value, dict):
            raise OpenEOError("FileContentInvalid", f"The answer of {shown(url)} is not a JSON object.")
        shape.check(value, url)
        return value

    def _local(self, address: str) -> Any:
        path = Path(address)
        if self.root is None or not path.resolve().is_relative_to(self.root):
            raise OpenEOError("PermissionsInsufficient", f"{address} lies outside the catalog's folder.", status=403)
        try:
            if path.stat().st_size > _LARGEST:
                raise OpenEOError(
                    "FileContentInvalid", f"The document {address} is larger than {_LARGEST // 2**20} MB."
                )
            return json.loads(path.read_bytes())
        except OSError as error:
            raise OpenEOError("FileContentInvalid", f"Cannot read {address}: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise OpenEOError("FileContentInvalid", f"{address} is not JSON: {error}.") from error
