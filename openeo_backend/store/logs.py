"""Log entries of jobs and synchronous requests: numbered per source, in the order they were acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from openeo_backend.observe import clock

LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Entry = Mapping[str, Any]
"""An openEO log entry without its id."""


@dataclass(frozen=True)
class LogPage:
    """Consecutive entries of a log."""

    entries: tuple[dict[str, Any], ...]
    """With ids that sort like the entries."""
    more: bool
    """Whether entries follow."""


def keep(entries: Iterable[Entry], level: str) -> list[Entry]:
    """The entries that someone who asked for `level` wants kept."""
    return [entry for entry in entries if rank(entry) >= LEVELS[level]]


def rank(entry: Entry) -> int:
    return LEVELS.get(str(entry.get("level", "info")), LEVELS["info"])


def append(connection: Connection, table: Table, source: str, count: int, entries: list[Entry]) -> None:
    """Write entries whose numbers end at `count`: the caller has counted them in a row it holds locked."""
    time = clock.moment()
    column = table.c[table.primary_key.columns.keys()[0]]
    first = count - len(entries) + 1
    rows = [
        {column.name: source, "number": number, "level": rank(entry), "entry": {"level": "info", "time": time, **entry}}
        for number, entry in enumerate(entries, first)
    ]
    if rows:
        connection.execute(insert(table), rows)


def page(
    connection: Connection, table: Table, source: str, offset: str | None, level: str, limit: int | None
) -> LogPage:
    """Entries after the one with id `offset` (an unknown id counts as the start) of at least `level`."""
    column = table.c[table.primary_key.columns.keys()[0]]
    query = (
        select(table.c.number, table.c.entry)
        .where(column == source, table.c.number > number_of(offset), table.c.level >= LEVELS[level])
        .order_by(table.c.number)
    )
    rows = connection.execute(query if limit is None else query.limit(limit + 1)).all()
    more = limit is not None and len(rows) > limit
    entries = tuple({"id": id_of(row.number), **row.entry} for row in rows[:limit])
    return LogPage(entries, more)


def id_of(number: int) -> str:
    return f"{number:08d}"


def number_of(id: str | None) -> int:
    return int(id) if id and id.isascii() and id.isdigit() and len(id) < 12 else 0
