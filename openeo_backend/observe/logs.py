"""The operator's log: one line per event, with the ids of the request, user and job it belongs to."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from openeo_backend.errors import conceal_urls
from openeo_backend.settings import LogSettings

#: Ids that every line of the log carries while they are set.
_context: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)

#: Bearer and basic credentials in a line.
_CREDENTIALS = re.compile(r"(?i)((?:bearer|basic)\s+)[\w+/=.~-]{8,}")

#: Characters that would let a message forge further lines, or paint the terminal.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Attributes of every LogRecord; anything beyond them was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def context(**ids: str | None) -> Iterator[None]:
    """Add ids (`request`, `user`, `job` ...) to all lines logged within; None changes nothing."""
    token = _context.set({**(_context.get() or {}), **{name: id for name, id in ids.items() if id is not None}})
    try:
        yield
    finally:
        _context.reset(token)


def bind(**ids: str | None) -> None:
    """Add ids to all lines logged from here on in this thread of execution, where no `with` fits."""
    _context.set({**(_context.get() or {}), **{name: id for name, id in ids.items() if id is not None}})


def clear() -> None:
    """Forget all ids: a request thread starts anew."""
    _context.set(None)


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (standard error by default), as the settings say."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("openeo_backend").setLevel(settings.level.upper())
    # GDAL warns of each driver to leave out that this build does not have; failures come as exceptions
    logging.getLogger("rasterio._env").setLevel(logging.ERROR)


def conceal(text: str) -> str:
    """A text without what looks like a credential."""
    return conceal_urls(_CREDENTIALS.sub(r"\1***", text))


class TextLines(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO  api.app [request=r-1 user=ada] message`, for people."""

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        source = record.name.removeprefix("openeo_backend.")
        message = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], record.getMessage())
        line = f"{_time(record)} {record.levelname:<7} {source}{f' [{ids}]' if ids else ''} {message}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return conceal(line)


class JsonLines(logging.Formatter):
    """One JSON object per line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": conceal(record.getMessage()),
            **_ids(record),
        }
        if record.exc_info:
            entry["exception"] = conceal(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)


def _ids(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**(_context.get() or {}), **extra}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
