"""Whatever a back-end answers, or does not, the review goes on; and nothing that it made is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from fault import Answer, Fault
from live_server import Server
from tape import TAG, Player, Tape
from trial_checks import PASSWORD, TRIAL_CHECKS, USER
from trial_faults import is_, says

#: All but the capabilities, without which there is no back-end.
ALL = r"/openeo/1\.2/.+"


def blank(value: Any) -> Any:
    """The same structure, all values null."""
    if isinstance(value, dict):
        return {name: blank(inner) for name, inner in value.items()}
    return [blank(inner) for inner in value] if isinstance(value, list) else None


def numbers(value: Any) -> Any:
    """The same names, all values numbers."""
    return {name: 7 for name in value} if isinstance(value, dict) else 7


def mapped(change: Callable[[Any], Any]) -> Callable[[Answer], Answer]:
    def changed(answer: Answer) -> Answer:
        try:
            return answer.says(change(answer.json))
        except ValueError:
            return answer

    return changed


STRANGE: dict[str, Callable[[Answer], Answer]] = {
    "a page": lambda answer: Answer(200, {"content-type": "text/html"}, b"<html><body>Welcome</body></html>"),
    "a proxy": lambda answer: Answer(502, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>"),
    "null": says(None),
    "array": says([]),
    "object": says({}),
    "text": says("hello"),
    "bytes": lambda answer: Answer(200, {}, bytes(range(256))),
    "nothing": lambda answer: Answer(200, {}, b""),
    "nulls": mapped(blank),
    "numbers": mapped(numbers),
    "deep": lambda answer: Answer(200, {"content-type": "application/json"}, b"[" * 100_000),
    "silence": is_(0),
}


@pytest.mark.parametrize("name", STRANGE)
def test_no_answer_is_too_strange(name: str, tape: Tape) -> None:
    node = tape.play(Fault("", ALL, STRANGE[name], method=".*"))
    found = tape.judge(TRIAL_CHECKS, node)
    bad = {id for id, verdict in found.items() if verdict.status in ("fail", "warning")}
    assert {"API-751", "API-865", "API-905", "FF-6", "COL-9b", "PROC-PAR", "API-121", "API-404", "API-806"} <= bad
    assert isinstance(node.door, Player)
    assert node.door.count < 2500, "the review asks on and on"


def test_nothing_is_left(tape: Tape, server: Server) -> None:
    token = requests.get(f"{server.root}/credentials/basic", auth=(USER, PASSWORD), timeout=30).json()["access_token"]
    headers = {"Authorization": f"Bearer basic//{token}"}
    for path, name in (("/jobs", "title"), ("/process_graphs", "id")):
        entries = requests.get(f"{server.root}{path}", headers=headers, timeout=30).json()[
            path[1:].replace("_graphs", "es")
        ]
        assert [entry for entry in entries if str(entry.get(name)).startswith(TAG)] == []


def test_what_cannot_be_deleted_is_told(tape: Tape) -> None:
    refusing = Fault(
        "", r"/openeo/1\.2/process_graphs/.*", says({"code": "Internal", "message": "?"}, 500), method="DELETE"
    )
    node = tape.play(refusing)
    assert node.trial.stored["created"].status == 200
    left = node.close()
    assert f"/process_graphs/{TAG}_0" in left
    assert all(path.startswith(f"/process_graphs/{TAG}") for path in left)


def test_only_what_the_review_made_is_deleted(tape: Tape) -> None:
    deleted = {url for method, url, _, _ in tape.answers if method == "DELETE"}
    made = {
        answer.headers["openeo-identifier"]
        for (method, url, _, _), answers in tape.answers.items()
        if method == "POST" and url.endswith("/jobs")
        for answer in answers
        if answer.status == 201
    }
    for url in deleted:
        kind, id = url.removeprefix(tape.url).split("/")[1:3]
        assert id in made if kind == "jobs" else id.startswith(TAG)
