"""The operator's log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from openeo_backend.observe import logs
from openeo_backend.settings import LogSettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logs.clear()
    root, ours = logging.getLogger(), logging.getLogger("openeo_backend")
    before = root.handlers[:], root.level, ours.level
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logs.clear()


def test_text_lines_carry_the_ids(stream: io.StringIO) -> None:
    logs.configure(LogSettings(), stream)
    log = logging.getLogger("openeo_backend.jobs")
    with logs.context(job="j-1", user=None):
        log.info("claimed")
    log.info("idle")
    log.debug("unseen")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("INFO    jobs [job=j-1] claimed")
    assert second.endswith("INFO    jobs idle")


def test_messages_cannot_forge_lines(stream: io.StringIO) -> None:
    logs.configure(LogSettings(), stream)
    logging.getLogger("openeo_backend").info("GET %s", "/a\n2026-01-01T00:00:00Z INFO fake\x1b[31m\u2028")
    assert len(stream.getvalue().splitlines()) == 1
    assert "/a\\n2026" in stream.getvalue()
    assert "\\x1b[31m" in stream.getvalue()


def test_json_lines_are_objects(stream: io.StringIO) -> None:
    logs.configure(LogSettings(format="json"), stream)
    try:
        raise ValueError("Löß")
    except ValueError:
        logging.getLogger("openeo_backend").exception("it failed", extra={"job": "j-2"})
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["message"], entry["job"]) == ("error", "it failed", "j-2")
    assert "ValueError: Löß" in entry["exception"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Authorization: Bearer basic//abcdefghij", "Authorization: Bearer ***"),
        ("Basic YWRhOmxvdmVsYWNl.", "Basic ***"),
        ("GET /credentials/basic 200", "GET /credentials/basic 200"),
        ("/f?expires=1&signature=abc&x=1", "/f?expires=1&signature=***&x=1"),
        ("postgresql://eo:hunter2@db/eo", "postgresql://eo:***@db/eo"),
        ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
    ],
)
def test_secrets_are_concealed(stream: io.StringIO, line: str, shown: str) -> None:
    logs.configure(LogSettings(), stream)
    logging.getLogger("openeo_backend").info("%s", line)
    assert stream.getvalue().rstrip().endswith(shown)
