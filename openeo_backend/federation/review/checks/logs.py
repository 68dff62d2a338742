"""The log of batch jobs."""

from __future__ import annotations

from typing import Any

from openeo_backend.federation.review import answers
from openeo_backend.federation.review.check import (
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
    not_applicable,
)
from openeo_backend.federation.review.node import Node

LEVELS = ("error", "warning", "info", "debug")
#: Letters from which a message is no longer short.
LONG = 1000
_EMPTY = "The logs of the review's jobs are empty."


@check("API-800", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def gives_logs(node: Node) -> Verdict:
    """GET /jobs/{id}/logs gives the log of a job"""
    return judged(answers.status("GET", node.trial.finished["logs"], 200), "There is a log.", expected="200")


@check("API-801", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def gives_later_entries_only(node: Node) -> Verdict:
    """GET /jobs/{id}/logs with an offset gives later entries only"""
    record = node.trial.finished
    whole = [entry.get("id") for entry in answers.objects(answers.of(record["logs"]), "logs")]
    if len(whole) < 2 and "logs_offset" not in record:
        return not_applicable("The log of the small job has less than two entries.")
    reply = record["logs_offset"]
    problems = answers.status("GET with an offset", reply, 200)
    found = [entry.get("id") for entry in answers.objects(answers.of(reply), "logs")]
    wanted = whole[len(whole) // 2 :]
    if not problems and found[: len(wanted)] != wanted:
        problems.append(f"after the offset come {len(found)} entries, not the {len(wanted)} later ones")
    return judged(problems, f"{len(found)} of {len(whole)} entries come.", expected="what was logged after the offset")


@check("API-804", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def logs_have_their_members(node: Node) -> Verdict:
    """GET /jobs/{id}/logs has the arrays logs and links"""
    problems = answers.arrays(node.trial.finished["logs"], "logs", "links")
    return judged(problems, "Both are arrays.", expected="the arrays `logs` and `links`")


@check("API-805", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def logs_tell_their_level(node: Node) -> Verdict:
    """GET /jobs/{id}/logs tells the level that was asked for"""
    document = answers.of(node.trial.finished["logs_level"])
    level = document.get("level")
    problems = [] if level == "warning" else [f"`level` is {level!r}"]
    wrong = [entry for entry in answers.objects(document, "logs") if entry.get("level") in ("info", "debug")]
    if wrong:
        problems.append(f"{len(wrong)} entries are below the level asked for")
    return judged(problems, "The level is told.", expected="`level` as in the query: warning")


@check("API-806", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def entries_are_valid(node: Node) -> Verdict:
    """Each entry of a log has id, level and message"""
    problems = []
    entries = _entries(node)
    if not entries:
        return not_applicable(_EMPTY)
    for entry in entries:
        if not isinstance(entry.get("id"), str):
            problems.append(f"an entry has the id {entry.get('id')!r}")
        if entry.get("level") not in LEVELS:
            problems.append(f"an entry has the level {entry.get('level')!r}")
        if not isinstance(entry.get("message"), str):
            problems.append(f"an entry has the message {entry.get('message')!r}")
    return judged(problems, "All have them.", expected=f"id, level ({', '.join(LEVELS)}) and message")


@check("API-807", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def entries_have_times(node: Node) -> Verdict:
    """Each entry of a log has a time"""
    entries = _entries(node)
    if not entries:
        return not_applicable(_EMPTY)
    wrong = [entry.get("time") for entry in entries if not answers.is_instant(entry.get("time"))]
    problems = [f"{len(wrong)} entries have no time ({wrong[0]!r})"] if wrong else []
    return judged(problems, f"All {len(entries)} have one.", expected="`time` as RFC 3339 date-time")


@check("API-808", profile="L2", kind="job", source=OPENEO_API_PROFILE)
def messages_are_short(node: Node) -> Verdict:
    """Messages of a log are short and without stack traces, also those of failures"""
    messages = [str(entry.get("message")) for entry in _entries(node)]
    problems = [f"a message has {len(text)} letters" for text in messages if len(text) > LONG]
    problems += ["a message has a stack trace" for text in messages if "Traceback (most recent call last)" in text]
    problems += ["a message has a stack trace" for text in messages if "\n\tat " in text]
    if not messages:
        problems.append("the failing job has no entry at all")
    return judged(problems, f"{len(messages)} messages are.", expected=f"less than {LONG} letters, no stack trace")


def _entries(node: Node) -> list[dict[str, Any]]:
    """The entries of the logs of a job that went well and of one that did not."""
    trial = node.trial
    logs = [trial.finished["logs"], *([trial.failing["logs"]] if "logs" in trial.failing else [])]
    return [entry for reply in logs for entry in answers.objects(answers.of(reply), "logs")]
