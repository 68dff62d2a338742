"""The record of a run, as a page of the documentation."""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from users import Ledger
from verdict import Fault, Row, explanation, recoveries

_HEAD = """# Chaos

`make chaos` starts a back-end (`serve` and a second `worker`) on PostgreSQL and S3 with a STAC API and an identity
provider, lets four users work, and meanwhile stops, slows down and makes lie, one after the other and at random: the
api, the workers, the children that compute, PostgreSQL, S3, the STAC API and the identity provider. Users try again
what is refused or not answered, as clients do, and write down what was acknowledged. In the end that is compared with
what there is, and every result with that of a quiet run before, pixel by pixel.

This page is written by `tests/chaos/record.py`.
"""

_TAIL = """
## Found and mended

Found while this was built, by short runs, by those of 20 minutes, or by reading what they showed; each has a test now:

- the server ended when its api was started again while the database or a catalog was away;
- one empty answer of a STAC API meant no collections until a restart;
- children crashed where a catalog could not be opened; answers with fewer items than they tell were believed;
- a result was published that S3 said it had stored, and had not; S3 was given up after 11 seconds instead of a minute;
- files that S3 said were deleted were forgotten;
- a log could tell that a job had finished that was computed again then;
- a wrong key that a provider published locked users out for ten minutes;
- a database away was told as a failure of the server (500) instead of 503;
- jobs ended with `Internal` where the connection to the database broke while a run began, or where the process that
  children are forked from died at that moment (the two problems of a run of 20 minutes on 2026-11-22 15:48).

## Lies that nobody can see

These are not drawn, because no back-end can tell them from the truth: a STAC API that leaves items out and does not
count them either, or that changes scale, offset or no-data values; a file with other pixels on the same grid; an
identity provider that says that a token is somebody else's. The metadata of results tell which items went into them
(`derived_from`), so that they can be compared.
"""


def write_record(
    *,
    options: argparse.Namespace,
    began: datetime,
    faults: Sequence[Fault],
    missed: int,
    ledger: Ledger,
    rows: Mapping[str, Row],
    recovered: float,
    quiet: Mapping[str, float],
    most: Mapping[str, float],
    problems: Sequence[str],
    disturbed: Mapping[str, int],
    restarts: int,
) -> str:
    parts = [
        _HEAD,
        f"## The run of {began:%Y-%m-%d %H:%M} UTC\n",
        _summary(options, faults, missed, ledger, rows, recovered, problems, disturbed, restarts),
        "## Faults\n",
        _faults(faults, ledger, rows),
        "## Failures that were told\n",
        _failures(ledger, rows, faults),
        "## What users tried again\n",
        _again(ledger),
        "## Memory\n",
        _table(("process", "quiet, MB", "most, MB"), [(n, f"{quiet[n]:.0f}", f"{most[n]:.0f}") for n in sorted(quiet)]),
        "## Problems\n",
        "\n".join(f"- {problem}" for problem in problems) or "None.",
        _TAIL,
    ]
    return "\n".join(parts)


def _summary(
    options: argparse.Namespace,
    faults: Sequence[Fault],
    missed: int,
    ledger: Ledger,
    rows: Mapping[str, Row],
    recovered: float,
    problems: Sequence[str],
    disturbed: Mapping[str, int],
    restarts: int,
) -> str:
    promised = [rows[promise.id] for promise in ledger.promises if promise.id in rows]
    states = Counter(row.status for row in promised)
    lost = [row for row in promised if row.attempt > 1]
    counts = ledger.counts
    twice = sum(problem.startswith("TWICE") for problem in problems)
    gone = sum(problem.startswith("LOST") for problem in problems)
    wrong = sum(problem.startswith("WRONG") for problem in problems)
    lines = [
        ("seed, minutes", f"{options.seed}, {options.minutes:g}"),
        ("faults", f"{len(faults)}, {sum(fault.end - fault.begin for fault in faults):.0f} s in all ({missed} missed)"),
        ("disturbed requests and connections", ", ".join(f"{name} {count}" for name, count in disturbed.items())),
        ("starts of the second worker by its service manager", str(restarts)),
        ("requests answered well", str(len(ledger.answers))),
        ("jobs acknowledged as created, started, canceled, deleted", _list(counts, "created started canceled deleted")),
        ("of those not deleted, in the end", ", ".join(f"{number} {state}" for state, number in states.items())),
        ("jobs that took more than one attempt", f"{len(lost)} (at most {max((r.attempt for r in lost), default=1)})"),
        ("job results compared with the quiet run", str(counts["job results compared"])),
        ("synchronous results compared", str(counts["synchronous requests compared"])),
        ("results that differ, of which the log says that items were held back", str(counts["different, and told"])),
        ("jobs lost", str(gone)),
        ("jobs published twice", str(twice)),
        ("wrong pixels", str(wrong)),
        ("seconds from the last fault until all was as it should be", f"{recovered:.0f}"),
        ("problems", str(len(problems))),
    ]
    return _table(("what", "figure"), lines)


def _list(counts: Mapping[str, int], names: str) -> str:
    return ", ".join(str(counts[name]) for name in names.split())


def _faults(faults: Sequence[Fault], ledger: Ledger, rows: Mapping[str, Row]) -> str:
    kinds = Counter((fault.part, fault.kind) for fault in faults)
    answers = recoveries(faults, ledger.answers)
    ends = recoveries(faults, [row.finished for row in rows.values() if row.finished and row.status == "finished"])
    lines = []
    for part in sorted({part for part, _ in kinds}):
        told = ", ".join(f"{kind} {count}" for (other, kind), count in sorted(kinds.items()) if other == part)
        lines.append((part, told, _seconds(answers.get(part, ())), _seconds(ends.get(part, ()))))
    head = ("part", "kinds, and how often", "s until a request was answered", "s until a job finished")
    return _table(head, lines) + "\nSeconds are counted from the end of a fault: the median, and the longest.\n"


def _seconds(found: Iterable[float]) -> str:
    values = sorted(found)
    return f"{statistics.median(values):.1f}, {values[-1]:.1f}" if values else ""


def _failures(ledger: Ledger, rows: Mapping[str, Row], faults: Sequence[Fault]) -> str:
    """What became of lies: errors of jobs and of requests, by their code and by the fault that explains them."""
    jobs: Counter[tuple[str, str]] = Counter()
    said: dict[tuple[str, str], str] = {}
    for promise in ledger.promises:
        row = rows.get(promise.id)
        if row is None or row.status != "error":
            continue
        fault = explanation(row, faults)
        key = (str(row.last_error.get("code")), f"{fault.part}: {fault.kind}" if fault else "nothing")
        jobs[key] += 1
        said.setdefault(key, str(row.last_error.get("message"))[:140])
    lines = [(f"job: {code}", why, str(count), said[code, why]) for (code, why), count in sorted(jobs.items())]
    requests: Counter[tuple[str, str]] = Counter()
    words: dict[tuple[str, str], str] = {}
    for when, code, message in ledger.refusals:
        cause = next((f for f in reversed(faults) if f.part == "stac" and f.begin <= when and when - 60 <= f.end), None)
        key = (code, f"stac: {cause.kind}" if cause else "nothing")
        requests[key] += 1
        words.setdefault(key, message[:140])
    lines += [(f"request: {code}", why, str(n), words[code, why]) for (code, why), n in sorted(requests.items())]
    return _table(("what", "fault", "times", "words (the first)"), lines) if lines else "None."


def _again(ledger: Ledger) -> str:
    found = [(name.removeprefix("again: "), n) for name, n in ledger.counts.items() if name.startswith("again: ")]
    return _table(("why", "times"), [(name, str(count)) for name, count in sorted(found, key=lambda pair: -pair[1])])


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in rows)
        + "\n"
    )
