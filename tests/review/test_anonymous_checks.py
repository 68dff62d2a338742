"""Each check of public documents, of the declaration and of the profile L3 passes for a good back-end, and can fail."""

from __future__ import annotations

import pytest
from advanced_faults import ADVANCED_FAULTS
from anonymous_faults import ANONYMOUS_FAULTS, BETTER, DECLARED
from fault import Fault
from live_server import Server
from tape import Key, Tape, seen_by
from trial_checks import PASSWORD, USER

from openeo_backend.federation.review.check import Verdict, checks

MODULES = (
    *("discovery", "capabilities", "processes", "formats", "collections", "datasets", "merging", "operations"),
    *("validation", "advanced", "runs"),
)
CHECKS = [check for check in checks() if check.function.__module__.rpartition(".")[2] in MODULES]
FAULTS = [*ANONYMOUS_FAULTS, *ADVANCED_FAULTS]
BAD = ("fail", "warning")

#: Checks that run something.
JOBS = {check.id for check in CHECKS if check.kind == "job"}

#: What does not concern the good back-end, which is on this machine and has nothing to sell.
NOT_CONCERNED = {"API-4", "API-111", "AUTH-8", "COL-3", "COL-10"}


@pytest.fixture(scope="module")
def tape(server: Server) -> Tape:
    tape = Tape(server.root, DECLARED, BETTER)
    tape.record(USER, PASSWORD, CHECKS)
    return tape


@pytest.fixture(scope="module")
def good(tape: Tape) -> dict[str, Verdict]:
    return tape.verdicts(CHECKS)


@pytest.fixture(scope="module")
def asked(tape: Tape) -> dict[str, set[Key]]:
    return {check.id: tape.asked(check) for check in CHECKS}


def test_a_good_back_end_does_not_fail(good: dict[str, Verdict]) -> None:
    assert {id: verdict.message for id, verdict in good.items() if verdict.status in BAD} == {}
    assert {id for id, verdict in good.items() if verdict.status == "not-applicable"} == NOT_CONCERNED


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_one_fault_fails_the_checks_that_it_concerns(
    fault: Fault, tape: Tape, good: dict[str, Verdict], asked: dict[str, set[Key]]
) -> None:
    concerned = {fault.id, *seen_by(fault, asked)}
    if fault.declaration or fault.public:
        concerned = {check.id for check in CHECKS}
    if fault.id not in JOBS:
        concerned -= JOBS  # they would compute something else, which is not on the tape
    found = tape.verdicts([check for check in CHECKS if check.id in concerned], fault)
    worse = {id for id, verdict in found.items() if verdict.status in BAD and verdict.status != good[id].status}
    assert fault.id in worse
    assert worse == {fault.id} | fault.also or fault.readers, {id: found[id].message for id in worse}


def test_every_check_has_a_fault() -> None:
    assert {fault.id for fault in FAULTS} == {check.id for check in CHECKS}
