"""Official cases of single processes, sent to a real server by the suite's own HTTP runner.

The runner cannot send not-a-number, infinities, data cubes, labelled arrays and callbacks.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import openeo
import pytest
from defective_cases import DEFECTIVE
from official_suite import official_module

official = official_module()

#: One of so many cases is among the quick checks.
SAMPLE = 15


def sendable(value: Any) -> bool:
    """Whether the suite's HTTP runner can encode a value."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        if "$ref" in value or value.get("type") in ("datacube", "labeled-array") or "process_graph" in value:
            return False
        return all(sendable(entry) for entry in value.values())
    return all(sendable(entry) for entry in value) if isinstance(value, list) else True


def sound_cases() -> list[Any]:
    """What can be sent and is not defective; beyond a sample only in the long checks."""
    counts: dict[str, int] = {}
    params: list[Any] = []
    for process, case, path, *_ in official.get_examples():
        index = counts[process] = counts.get(process, -1) + 1
        if (process, index) in DEFECTIVE or not sendable(case["arguments"]):
            continue
        marks = [pytest.mark.full] if len(params) % SAMPLE else []
        # the suite changes its cases while it compares
        params.append(pytest.param(process, copy.deepcopy(case), path, marks=marks, id=f"{process}-{index}"))
    return params


CASES = sound_cases()


class Skipper:
    """The suite's fixture that skips what a back-end lacks; this one lacks nothing."""

    def skip_if_unsupported_process(self, processes: list[str]) -> None:
        pass


@pytest.fixture(scope="session")
def runner(connection: openeo.Connection) -> Any:
    from openeo_test_suite.lib.process_runner.http import Http

    return Http(connection)


def test_all_sound_cases_that_can_be_sent_are_there() -> None:
    assert len(CASES) == 631


@pytest.mark.parametrize(("process", "case", "path"), CASES)
def test_case_over_http(runner: Any, process: str, case: dict[str, Any], path: Any) -> None:
    with warnings.catch_warnings():
        # the client raises one class for all errors, and the suite compares class names
        warnings.filterwarnings("ignore", "Expected exception")
        official.test_process(runner, process, case, path, "", False, Skipper())
