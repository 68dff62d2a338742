"""Array files elsewhere as the libraries that read them want them: as a file, as a Zarr store."""

from __future__ import annotations

import asyncio
import io
import math
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from threading import Lock
from typing import IO, Any, Protocol
from urllib.parse import quote, urlunsplit

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import split
from openeo_backend.sandbox.hdf5 import MOST_CHUNK

#: Bytes of one request for a part of a file, and how many of them are kept.
_PART, _KEPT = 2**20, 32

#: Most megabytes of one object of a Zarr store.
_LARGEST_MB = MOST_CHUNK / 1e6


class Reply(Protocol):
    """The answer of a server, whatever its status."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Any: ...

    @property
    def content(self) -> bytes: ...


class Requests(Protocol):
    """The guarded way out, as far as array files need it."""

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        limit_mb: float | None = None,
        again: bool = True,
        within: float = math.inf,
    ) -> Reply: ...

    def to_storage(self) -> Requests:
        """The same with the S3 storage of the operator open, too."""

    def tunnel(self) -> str:
        """The address of a proxy that holds libraries with connections of their own to the same rules."""


class RemoteFile(io.RawIOBase):
    """A file behind a URL, read in parts of which the latest are kept.

    :raises OpenEOError: UrlNotReachable where it cannot be read, FileContentInvalid where its server sends no parts.
    """

    def __init__(self, door: Requests, url: str) -> None:
        self._door, self._url = door, url
        self._parts: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0
        self._size = 0
        self._part(0)

    def _part(self, number: int) -> bytes:
        if number in self._parts:
            self._parts.move_to_end(number)
            return self._parts[number]
        start = number * _PART
        reply = self._door.request(
            "GET", self._url, headers={"Range": f"bytes={start}-{start + _PART - 1}"}, limit_mb=2 * _PART / 1e6
        )
        total = str(reply.headers.get("content-range", "")).rpartition("/")[2]
        if reply.status != 206 or not total.isdigit():
            raise _unreachable(self._url, reply.status)
        self._size = int(total)
        if len(self._parts) >= _KEPT:
            self._parts.popitem(last=False)
        self._parts[number] = reply.content
        return reply.content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < wanted:
            number, offset = divmod(self._position + done, _PART)
            piece = self._part(number)[offset : offset + wanted - done]
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += done
        return done


def _unreachable(url: str, status: int) -> OpenEOError:
    shown = url.split("?", 1)[0]
    if status == 200:
        return OpenEOError("FileContentInvalid", f"The server of '{shown}' sends no parts of files (HTTP ranges).")
    return OpenEOError("UrlNotReachable", f"'{shown}' answers with HTTP status {status}.")


Values = list[Buffer | None]


class ReadStore(Store):
    """A Zarr store that is only read, over a function.

    :param read: the object with a key; None where there is none.
    :param keys: all keys, where they can be known.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, name: str, read: Callable[[str], bytes | None], keys: Iterable[str] = ()) -> None:
        super().__init__(read_only=True)
        self._name, self.read, self._keys = name, read, tuple(keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadStore) and other._name == self._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __str__(self) -> str:
        return self._name

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        content = await asyncio.to_thread(self.read, key)
        return None if content is None else prototype.buffer.from_bytes(content[_slice(byte_range)])

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> Values:
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self.read, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise OSError(f"{self._name} is only read")

    async def delete(self, key: str) -> None:
        raise OSError(f"{self._name} is only read")

    async def list(self) -> AsyncIterator[str]:
        for key in self._keys:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self._keys:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        names = {key[len(start) :].split("/", 1)[0] for key in self._keys if key.startswith(start)}
        for name in sorted(names):
            yield name


def _slice(wanted: ByteRequest | None) -> slice:
    if isinstance(wanted, RangeByteRequest):
        return slice(wanted.start, wanted.end)
    if isinstance(wanted, OffsetByteRequest):
        return slice(wanted.offset, None)
    if isinstance(wanted, SuffixByteRequest):
        return slice(-wanted.suffix, None) if wanted.suffix else slice(0, 0)
    return slice(None)


def http_store(door: Requests, url: str) -> ReadStore:
    """The Zarr store at a URL. It cannot be listed: what is in it, its consolidated metadata tell."""
    parts = split(url)

    def read(key: str) -> bytes | None:
        place = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(key)}"))
        reply = door.request("GET", place, limit_mb=_LARGEST_MB)
        if reply.status in (404, 410):
            return None
        if reply.status != 200:
            raise _unreachable(place, reply.status)
        return reply.content

    return ReadStore(url, read)


def zip_store(name: str, file: str | IO[bytes]) -> ReadStore:
    """The Zarr store in a zip file, given as a path or open."""
    archive = zipfile.ZipFile(file)
    lock = Lock()
    names = frozenset(archive.namelist())

    def read(key: str) -> bytes | None:
        if key not in names:
            return None
        size = archive.getinfo(key).file_size
        if size > MOST_CHUNK:
            over = f"{size / 1e6:,.0f} MB, over {MOST_CHUNK / 1e6:,.0f} MB"
            raise OpenEOError("FileContentInvalid", f"The part '{key[:80]}' of a Zarr store unpacks to {over}.")
        with lock:
            return archive.read(key)

    return ReadStore(name, read, sorted(names))
