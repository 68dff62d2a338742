"""Each check that needs a user or runs something holds for a good back-end, and can fail."""

from __future__ import annotations

import pytest
from fault import Fault
from tape import Key, Tape, seen_by
from trial_checks import TRIAL_CHECKS
from trial_faults import TRIAL_FAULTS, VARIABLE

from openeo_backend.federation.review.check import Verdict, checks

BAD = ("fail", "warning")

#: What the good back-end of these tests cannot show: it has no users of other providers, nor without credits, and
#: nothing is declared for it.
NOT_APPLICABLE = {
    "ACC-1", "ACC-5", "API-118", "API-852", "API-910", "AUTH-3", "AUTH-4", "AUTH-7", "JOB-4",
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tape: Tape) -> dict[str, Verdict]:
    return tape.verdicts(TRIAL_CHECKS)


@pytest.fixture(scope="module")
def asked(tape: Tape) -> dict[str, set[Key]]:
    return {check.id: tape.asked(check) for check in TRIAL_CHECKS}


def test_a_good_back_end_does_not_fail(good: dict[str, Verdict]) -> None:
    assert {id: verdict.message for id, verdict in good.items() if verdict.status == "fail"} == {}
    assert {id for id, verdict in good.items() if verdict.status == "not-applicable"} == NOT_APPLICABLE


@pytest.mark.parametrize("fault", TRIAL_FAULTS, ids=lambda fault: fault.id)
def test_one_fault_fails_the_checks_that_it_concerns(
    fault: Fault, tape: Tape, good: dict[str, Verdict], asked: dict[str, set[Key]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "basic//nobody")
    concerned = {fault.id, *seen_by(fault, asked)}
    if fault.declaration or fault.token:
        concerned |= {check.id for check in TRIAL_CHECKS if check.kind != "job"}
    found = tape.verdicts([check for check in TRIAL_CHECKS if check.id in concerned], fault)
    worse = {id for id, verdict in found.items() if verdict.status in BAD and verdict.status != good[id].status}
    assert worse == {fault.id} | fault.also, {id: found[id].message for id in worse}


def test_every_check_has_a_fault() -> None:
    assert {fault.id for fault in TRIAL_FAULTS} == {check.id for check in TRIAL_CHECKS}
    assert len({check.id for check in checks()}) == len(checks())
