"""Objects: files by key, in a local folder or an S3 bucket."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, MemoryStore, S3Store

from openeo_backend.errors import OpenEOError

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode, UpdateVersion
    from obstore.store import RetryConfig

#: How often, and how long, a request to S3 is tried again that failed on the way or by the server's fault.
RETRIES: RetryConfig = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
}

#: Bytes of one part of an upload and of one read while streaming.
PART, CHUNK = 8 * 2**20, 2**20

#: How often a change is tried again because somebody else was faster.
ATTEMPTS = 20


class Objects(Protocol):
    """Files by key; keys are relative paths with '/'. An object appears whole or not at all.

    Every function raises OpenEOError StorageFailure when the storage cannot be used.
    """

    @property
    def is_remote(self) -> bool:
        """Whether what is stored goes over the network."""

    def put(self, key: str, file: Path) -> int:
        """Store a file, streaming it in parts; returns its size."""

    def size(self, key: str) -> int | None:
        """Bytes of an object; None if there is none."""

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of an object from `start` on in chunks of bounded size.

        :raises OpenEOError: FileNotFound.
        """

    def list(self, prefix: str) -> list[str]:
        """Keys under a prefix (a whole path, not a part of a name)."""

    def delete(self, prefix: str) -> int:
        """Delete everything under a prefix; returns how many objects. Nothing there is fine."""

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace an object (of moderate size) by what `change` makes of it; of None where there is none yet.

        What others write meanwhile is not lost: `change` is called again with it.
        """


class StoredObjects:
    """Objects in a store of the library obstore."""

    def __init__(self, store: LocalStore | S3Store | MemoryStore) -> None:
        self._store = store

    @property
    def is_remote(self) -> bool:
        return isinstance(self._store, S3Store)

    def put(self, key: str, file: Path) -> int:
        size = file.stat().st_size
        try:
            obstore.put(self._store, key, file, chunk_size=PART, use_multipart=size > PART)
        except (BaseError, OSError) as error:
            raise _failure("store", key, error) from error
        return size

    def size(self, key: str) -> int | None:
        try:
            return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _failure("look at", key, error) from error

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length == 0:
            return
        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        try:
            found = obstore.get(self._store, key, options=options)
            for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except FileNotFoundError:
            raise OpenEOError("FileNotFound", f"The file '{key.rsplit('/', 1)[-1]}' does not exist any more.") from None
        except (BaseError, OSError) as error:
            raise _failure("read", key, error) from error

    def list(self, prefix: str) -> list[str]:
        try:
            return [meta["path"] for batch in obstore.list(self._store, prefix=_folder(prefix)) for meta in batch]
        except (BaseError, OSError) as error:
            raise _failure("list", prefix, error) from error

    def delete(self, prefix: str) -> int:
        keys = self.list(prefix)
        try:
            if keys:
                obstore.delete(self._store, keys)
        except FileNotFoundError:
            return self.delete(prefix)  # someone else deletes the same: go on with what is left
        except (BaseError, OSError) as error:
            raise _failure("delete", prefix, error) from error
        if isinstance(self._store, LocalStore):
            # What a killed process had begun to write is no object yet, and would stay.
            shutil.rmtree(Path(str(self._store.prefix), _folder(prefix)), ignore_errors=True)
        return len(keys)

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        try:
            if isinstance(self._store, LocalStore):
                with _locked(self._store):
                    obstore.put(self._store, key, change(self._read(key)[0]))
                return
            for _ in range(ATTEMPTS):
                content, mode = self._read(key)
                with suppress(AlreadyExistsError, PreconditionError):
                    obstore.put(self._store, key, change(content), mode=mode, use_multipart=False)
                    return
        except (BaseError, OSError) as error:
            raise _failure("change", key, error) from error
        raise _failure("change", key, TimeoutError())

    def _read(self, key: str) -> tuple[bytes | None, PutMode]:
        """An object, and the condition that nobody has replaced it since."""
        try:
            found = obstore.get(self._store, key)
        except FileNotFoundError:
            return None, "create"
        tags = {name: found.meta.get(name) for name in ("e_tag", "version")}
        return bytes(found.bytes()), cast("UpdateVersion", {name: tag for name, tag in tags.items() if tag})


@contextmanager
def _locked(store: LocalStore) -> Iterator[None]:
    """Nobody else on this machine is here for the same folder."""
    folder = os.open(str(store.prefix), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def open_objects(place: str) -> StoredObjects:
    """The objects in a folder, or in an s3://BUCKET/PREFIX with the credentials of the environment (AWS_...).

    :raises OpenEOError: StorageFailure, when the folder cannot be made or the URL is none.
    """
    try:
        if place.startswith("s3://"):
            return StoredObjects(S3Store.from_url(place, retry_config=RETRIES))
        return StoredObjects(LocalStore(prefix=Path(place).absolute(), automatic_cleanup=True, mkdir=True))
    except (BaseError, OSError, ValueError) as error:
        raise _failure("open", place, error) from error


def _folder(prefix: str) -> str:
    folder = prefix.strip("/")
    if not folder or ".." in folder.split("/"):
        raise ValueError(f"not a prefix of objects: {prefix!r}")
    return folder


def _failure(verb: str, key: str, error: Exception) -> OpenEOError:
    name = key.rstrip("/").rsplit("/", 1)[-1]
    return OpenEOError(
        "StorageFailure",
        f"The server could not {verb} '{name}' in its storage.",
        hint="Try again; if it keeps failing, tell the operator.",
    )
