"""Each check that looks at public documents or at the declaration passes for a good back-end, and can fail."""

from __future__ import annotations

import pytest
from anonymous_faults import ANONYMOUS_FAULTS, BETTER, DECLARED
from conftest import PASSWORD, USER
from fault import Fault
from live_server import Server
from replay import Good

from openeo_backend.federation.review.check import checks
from openeo_backend.federation.review.node import Node

MODULES = ("discovery", "capabilities", "processes", "formats", "collections", "operations", "validation")
CHECKS = [check for check in checks() if check.function.__module__.rpartition(".")[2] in MODULES]

#: What does not concern the good back-end, which is on this machine and has nothing to sell.
NOT_CONCERNED = {"API-4", "API-111", "AUTH-8", "COL-3", "COL-10"}


@pytest.fixture(scope="module")
def good(server: Server) -> Good:
    node = Node.open(server.url)
    node.login(USER, PASSWORD)
    good = Good(server.root, node.token or "", DECLARED, BETTER)
    good.found = good.review(CHECKS)
    return good


def test_a_good_back_end_does_not_fail(good: Good) -> None:
    found = {id: finding.verdict for id, finding in good.found.items()}
    assert {id: v for id, v in found.items() if v.status in ("fail", "warning")} == {}
    assert {id for id, verdict in found.items() if verdict.status == "not-applicable"} == NOT_CONCERNED


@pytest.mark.parametrize("fault", ANONYMOUS_FAULTS, ids=lambda fault: fault.id)
def test_one_fault_fails_the_checks_that_it_concerns(good: Good, fault: Fault) -> None:
    found = good.review(CHECKS, fault)
    before = good.found
    worse = {
        id
        for id, finding in found.items()
        if finding.verdict.status in ("fail", "warning") and finding.verdict.status != before[id].verdict.status
    }
    assert fault.id in worse
    assert worse == {fault.id} | fault.also or fault.readers


def test_every_check_has_a_fault() -> None:
    assert {fault.id for fault in ANONYMOUS_FAULTS} == {check.id for check in CHECKS}
