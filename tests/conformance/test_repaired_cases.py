"""The defective official cases, corrected: all of them pass."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import json5
import pytest
from defective_cases import DEFECTIVE
from official_runner import Runner
from official_suite import CASES, official_module
from repaired_cases import CORRECTIONS
from test_official_cases import Skipper

official = official_module()


def official_case(process: str, index: int) -> dict[str, object]:
    document = json5.loads((CASES / "tests" / f"{process}.json5").read_text(encoding="utf-8"))
    return dict(document["tests"][index])


def test_every_defective_case_is_corrected() -> None:
    assert CORRECTIONS.keys() == DEFECTIVE.keys()


def test_the_known_defects_are_all_listed(shared: Path) -> None:
    known = json.loads((shared / "spec" / "defective_cases.json").read_text(encoding="utf-8"))
    assert {(process, index) for process, indices in known.items() for index in indices} <= DEFECTIVE.keys()


@pytest.mark.parametrize(("process", "index"), sorted(CORRECTIONS))
def test_corrected_case(runner: Runner, process: str, index: int) -> None:
    case = copy.deepcopy(official_case(process, index))
    for correct in CORRECTIONS[process, index]:
        correct(case, CASES / "tests")
    official.test_process(runner, process, case, CASES / f"{process}.json", "", False, Skipper(runner))
