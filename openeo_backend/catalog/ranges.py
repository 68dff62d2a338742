"""Raster files elsewhere, read in ranges through the guarded way out."""

from __future__ import annotations

import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from openeo_backend.catalog.remote import Reply, Requests
from openeo_backend.errors import OpenEOError

#: Bytes that are asked for when a file is opened: the directories of files that are laid out for reading in ranges.
HEAD = 2**16

#: Ranges with fewer bytes between them are one request, of at most so many bytes.
_GAP, _MOST = 2**16, 2**23

#: Bytes of all files together that may wait for being unpacked; beyond it they are read when they are needed.
_WAITING = 128 * 2**20

#: How often a request is made, and seconds before the second time; each further wait is twice as long.
_TRIES, _PAUSE = 4, 0.25

#: Seconds for a request, answer included; after so many no further one is made.
_WITHIN = 60.0

#: Seconds for which requests share what the beginning of a file told.
_FRESH = 60.0

#: How long the address of an object is signed for, and for how long of that it is used.
_SIGNED, _USED = timedelta(hours=1), 1800.0

#: Variables for S3 that GDAL follows and signing here does not.
_ONLY_GDAL = ("AWS_S3_ENDPOINT", "AWS_NO_SIGN_REQUEST", "AWS_REQUEST_PAYER")

_NO_PARTS = "its server sends no parts of files (HTTP ranges)"

Span = tuple[int, int]
"""Offset and size of bytes."""


class Unreachable(OSError):
    """Why a range cannot be read."""


class Unsuited(Unreachable):
    """Why a file cannot be read in ranges, though it may be there."""


def is_remote(address: str) -> bool:
    """Whether GDAL reads an address over the network."""
    return address.startswith(("/vsicurl/", "/vsis3/"))


class Room:
    """Counts the bytes that wait.

    :param most: how many may.
    """

    def __init__(self, most: int = _WAITING) -> None:
        self._free = most
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether so many more fit in; they are counted then."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give(self, size: int) -> None:
        with self._lock:
            self._free += size


@dataclass(eq=False)
class _Held:
    """Bytes that are fetched ahead, for as many as want them."""

    size: int
    users: int = 1
    data: Future[bytes] = field(default_factory=Future)


class RangedFile:
    """A file behind an address, as it was when it was opened.

    :param door: the way out.
    :param address: as GDAL has it.
    :raises Unreachable: where its first bytes cannot be read.
    """

    def __init__(self, door: Requests, address: str, room: Room) -> None:
        self._door = door.to_storage() if address.startswith("/vsis3/") else door
        self._address, self._room = address, room
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._signed: tuple[str, float] | None = None
        self._size: int | None = None
        self._state: tuple[str | None, str | None] = None, None
        self._opened = time.monotonic()
        self.head = b""
        self.head = self._fetch(0, HEAD)

    def forget_head(self) -> None:
        """Forget the first bytes, unless they are the whole file."""
        if self._size != len(self.head):
            self.head = b""

    def is_current(self) -> bool:
        """Whether it was opened a short while ago. That a file is another, the next range of it tells."""
        return time.monotonic() - self._opened < _FRESH

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from an offset on, that many or fewer where there are no more.

        :raises Unreachable: where they cannot be read.
        """
        if offset + size <= len(self.head):
            return self.head[offset : offset + size]
        with self._lock:
            held = self._held.get(offset)
        if held is not None and held.size == size:
            return held.data.result()
        return self._fetch(offset, size)

    def is_here(self, offset: int, size: int) -> bool:
        """Whether bytes can be read without waiting."""
        with self._lock:
            held = self._held.get(offset)
        return offset + size <= len(self.head) or (held is not None and held.size == size and held.data.done())

    def fetch(self, spans: Iterable[Span], submit: Callable[[Callable[[], None]], object]) -> list[Span]:
        """Have spans here before they are read, neighbours in one request.

        :param submit: runs a function at some time; the first request is made at once, further ones that way.
        :returns: the spans that :meth:`release` is to be told about.
        """
        mine: list[tuple[Span, _Held]] = []
        taken = []
        with self._lock:
            for offset, size in sorted(spans):
                if offset + size <= len(self.head):
                    continue
                held = self._held.get(offset)
                if held is not None and held.size == size:
                    held.users += 1
                elif held is None and self._room.take(size):
                    held = self._held[offset] = _Held(size)
                    mine.append(((offset, size), held))
                else:
                    continue
                taken.append((offset, size))
        groups = _together(mine)
        for group in groups[1:]:
            submit(partial(self._fill, group))
        for group in groups[:1]:
            self._fill(group)
        return taken

    def release(self, spans: Iterable[Span]) -> None:
        """Forget bytes that were fetched, unless others want them, too."""
        with self._lock:
            for offset, _ in spans:
                held = self._held[offset]
                held.users -= 1
                if not held.users:
                    del self._held[offset]
                    self._room.give(held.size)

    def _fill(self, group: Sequence[tuple[Span, _Held]]) -> None:
        """Fetch spans with one request."""
        start = group[0][0][0]
        end = max(offset + size for (offset, size), _ in group)
        try:
            data = self._fetch(start, end - start)
        except BaseException as error:
            for _, held in group:
                held.data.set_exception(error)
            if not isinstance(error, Unreachable):
                raise
            return
        for (offset, size), held in group:
            held.data.set_result(data[offset - start : offset - start + size])

    def _fetch(self, offset: int, size: int) -> bytes:
        """Bytes in a request, which is made again where the network or the server fails."""
        if self._size is not None:
            size = min(size, self._size - offset)
            if size <= 0:
                return b""
        reason, begun = "", time.monotonic()
        for number in range(_TRIES):
            if time.monotonic() - begun > _WITHIN:
                break
            if number:
                time.sleep(_PAUSE * 2 ** (number - 1))
            try:
                reply = self._ask(offset, size)
            except OpenEOError as error:
                if error.code == "FileSizeExceeded":
                    raise Unsuited(_NO_PARTS) from error
                if error.code != "UrlNotReachable":
                    raise Unreachable(error.message.rstrip(".")) from error
                reason = error.message.rstrip(".")
                continue
            if reply.status == 206:
                self._check(reply, offset)
                expected = min(size, (self._size or 0) - offset)
                if len(reply.content) == expected:
                    return reply.content
                reason = f"{len(reply.content)} bytes came where {expected} were asked for"
            elif reply.status == 200:
                raise Unsuited(_NO_PARTS)
            elif reply.status < 500 and reply.status not in (408, 429):
                raise Unreachable(f"its server answers with HTTP status {reply.status}")
            else:
                reason = f"its server answers with HTTP status {reply.status}"
        raise Unreachable(f"{reason}, again and again")

    def _ask(self, offset: int, size: int) -> Reply:
        headers = {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}
        # a little more than asked for, so that what servers send too much of is seen as such
        limit_mb = (size + 4096) / 1e6
        return self._door.request("GET", self._url(), headers=headers, limit_mb=limit_mb, again=False, within=_WITHIN)

    def _check(self, reply: Reply, offset: int) -> None:
        """Compare what a server tells of the file with what it told first."""
        told, _, total = str(reply.headers.get("content-range", "")).removeprefix("bytes ").partition("/")
        first = told.partition("-")[0].strip()
        if not total.isdigit() or first != str(offset):
            raise Unreachable(f"its server sends another part than asked for ('{told[:40]}')")
        tag, date = reply.headers.get("etag"), reply.headers.get("last-modified")
        if self._size is None:
            self._size, self._state = int(total), (tag, date)
        # machines that serve the same file may give it other tags
        same = (date == self._state[1]) if date and self._state[1] else (tag == self._state[0])
        if self._size != int(total) or not (same or tag == self._state[0]):
            self._opened = -math.inf
            raise Unreachable("the file has changed since it was opened")

    def _url(self) -> str:
        if self._address.startswith("/vsicurl/"):
            return self._address.removeprefix("/vsicurl/")
        with self._lock:
            if self._signed is None or time.monotonic() > self._signed[1]:
                self._signed = _sign(self._address.removeprefix("/vsis3/")), time.monotonic() + _USED
            return self._signed[0]


def _together(wanted: Sequence[tuple[Span, _Held]]) -> list[list[tuple[Span, _Held]]]:
    """Groups of sorted spans that are near enough for one request."""
    groups: list[list[tuple[Span, _Held]]] = []
    end = start = 0
    for each in wanted:
        offset, size = each[0]
        if groups and offset - end <= _GAP and offset + size - start <= _MOST:
            groups[-1].append(each)
        else:
            groups.append([each])
            start = offset
        end = offset + size
    return groups


def _sign(place: str) -> str:
    """The address of an object (BUCKET/KEY) with a signature by the credentials of the environment.

    :raises Unsuited: where there are none, or the environment says what only GDAL knows.
    """
    if any(os.environ.get(name) for name in _ONLY_GDAL):
        raise Unsuited("its address is not signed")
    bucket, _, key = place.partition("/")
    own = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_"))
    try:
        return obstore.sign(_store(bucket, own), "GET", key, _SIGNED)
    except (BaseError, ValueError) as error:
        raise Unsuited(f"its address cannot be signed ({type(error).__name__})") from error


@functools.lru_cache(maxsize=16)
def _store(bucket: str, environment: tuple[tuple[str, str], ...]) -> S3Store:
    """What signs for a bucket with the variables of an environment, which is that of this process."""
    return S3Store(bucket)
