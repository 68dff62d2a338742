"""All official cases of single processes, experimental ones included, by the suite's own test function.

The suite compares nothing but values and exception names; a wrong exception name is a warning there, an error here.
"""

from __future__ import annotations

import pytest
from official_runner import Runner
from official_suite import official_module

official = official_module()

test_process = official.test_process


class Skipper:
    """The suite's fixture that skips what a back-end lacks; this one lacks nothing."""

    def __init__(self, runner: Runner) -> None:
        self.known = {str(spec["id"]) for spec in runner.list_processes()}

    def skip_if_unsupported_process(self, processes: list[str]) -> None:
        assert set(processes) <= self.known, f"not implemented: {sorted(set(processes) - self.known)}"


@pytest.fixture
def connection(runner: Runner) -> Runner:
    return runner


@pytest.fixture
def skipper(runner: Runner) -> Skipper:
    return Skipper(runner)


def test_the_suite_brings_all_cases() -> None:
    assert len(official.get_examples()) == 1014
