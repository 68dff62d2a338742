"""Whether what users were promised is what there is in the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from users import FINAL, SOURCE_CODES, Promise

#: Dependencies whose faults explain an error with a code.
EXPLAINS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*SOURCE_CODES, "InfrastructureBusy"), ("stac",)),
    "StorageFailure": ("s3",),
    "WorkerLost": ("worker", "child", "postgresql"),
    "OutOfMemory": ("child",),
}
#: How many seconds after its end a fault may still be felt: requests that hang, pauses before tries.
ECHO = 60.0


@dataclass(frozen=True)
class Fault:
    """Something that was done to a part."""

    part: str
    kind: str
    begin: float
    end: float


@dataclass
class Row:
    """A job as the database has it."""

    id: str
    user: str
    status: str
    attempt: int
    result_attempt: int | None
    files: Mapping[str, str]
    """Checksums (SHA-256) of the files of the result by name."""
    started: float | None
    finished: float | None
    logs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Log entries by id."""

    @property
    def last_error(self) -> Mapping[str, Any]:
        errors = [entry for _, entry in sorted(self.logs.items()) if entry["level"] == "error"]
        return errors[-1] if errors else {}


def judge_jobs(promises: Iterable[Promise], rows: Mapping[str, Row], faults: Sequence[Fault]) -> list[str]:
    """What is wrong with the jobs of users, in words."""
    problems: list[str] = []
    for promise in promises:
        row = rows.get(promise.id)
        if promise.deleted is not None:
            if row is not None:
                problems.append(f"the job {promise.id} was deleted and is there")
            continue
        if row is None:
            problems.append(f"LOST: the job {promise.id} is not there")
            continue
        problems += _judge(promise, row, faults)
    return problems


def _judge(promise: Promise, row: Row, faults: Sequence[Fault]) -> Iterable[str]:
    name = f"the job {promise.id} ({promise.graph})"
    allowed = ("created",) if promise.started is None else (*FINAL, "created") if promise.canceled else FINAL[:2]
    # a start that was not answered may have been done
    if row.status not in allowed and not (promise.started is None and row.status in FINAL):
        yield f"{name} is {row.status}, not one of {', '.join(allowed)}"
    if promise.after_cancel in (*FINAL, "created") and promise.after_cancel != row.status:
        yield f"{name} was {promise.after_cancel} after it was canceled, and is {row.status}"
    if promise.final is not None and promise.final != row.status:
        yield f"{name} was told to be {promise.final}, and is {row.status}"
    said = [str(entry["message"]) for entry in row.logs.values()]
    published = sum(message.startswith("The job finished") for message in said)
    if row.status == "finished":
        if published != 1:
            yield f"TWICE: the log of {name} says {published} times that it finished"
        if row.result_attempt != row.attempt:
            yield f"{name} has the result of attempt {row.result_attempt}, the last one was {row.attempt}"
    elif published:
        yield f"{name} is {row.status}, and its log says that it finished"
    for id, message in promise.logs.items():
        if row.logs.get(id, {}).get("message") != message:
            yield f"{name} has lost the line {id} of its log: {message[:100]}"
    if row.status == "error" and not explanation(row, faults):
        error = row.last_error
        yield f"{name} failed without a fault that explains it: {error.get('code')}: {str(error.get('message'))[:200]}"


def explanation(row: Row, faults: Sequence[Fault]) -> Fault | None:
    """A fault that explains why a job failed."""
    parts = EXPLAINS.get(str(row.last_error.get("code")), ())
    begin, end = row.started or 0.0, row.finished or 0.0
    for fault in faults:
        if any(fault.part.endswith(part) for part in parts) and fault.begin <= end and fault.end + ECHO >= begin:
            return fault
    return None


def judge_files(rows: Iterable[Row], objects: Mapping[str, str], trash: Iterable[str]) -> list[str]:
    """What is wrong with the files of results.

    :param objects: checksums of all objects there are, by key.
    :param trash: prefixes of those that are to be deleted.
    """
    problems, expected = [], {}
    for row in rows:
        for name, checksum in row.files.items():
            expected[f"jobs/{row.id}/{row.result_attempt}/{name}"] = checksum
    for key, checksum in expected.items():
        if key not in objects:
            problems.append(f"LOST: the file {key} is not in the storage")
        elif objects[key] != checksum:
            problems.append(f"WRONG PIXELS: the file {key} in the storage is not the one that was published")
    waiting = tuple(trash)
    orphans = [key for key in objects if key not in expected and not key.startswith(waiting)]
    return problems + [f"the file {key} is in the storage, and no job has it" for key in orphans]


def recoveries(faults: Iterable[Fault], moments: Iterable[float]) -> dict[str, list[float]]:
    """Seconds from the end of each fault until the next of some moments, by part."""
    ordered, found = sorted(moments), {}
    for fault in faults:
        later = next((moment for moment in ordered if moment >= fault.end), None)
        if later is not None:
            found.setdefault(fault.part, []).append(later - fault.end)
    return found
