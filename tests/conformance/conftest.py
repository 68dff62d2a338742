"""Our runner for the official cases, and what is known about those that are defective."""

from __future__ import annotations

import pytest
from defective_cases import DEFECTIVE, HARMLESS
from official_runner import Runner

from openeo_backend.processes.registry import Registry


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "optional: of the official suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the defective ones among the official cases."""
    for item in items:
        if isinstance(item, pytest.Function) and item.originalname == "test_process":
            process, case = item.callspec.params["process_id"], item.callspec.params["example"]
            cases = [known for id, known, *_ in item.module.official.get_examples() if id == process]
            index = next(index for index, known in enumerate(cases) if known is case)
            if (process, index) in DEFECTIVE:
                strict = (process, index) not in HARMLESS
                item.add_marker(pytest.mark.xfail(reason=DEFECTIVE[process, index], strict=strict))


@pytest.fixture(scope="session")
def runner() -> Runner:
    return Runner(Registry.predefined(lambda name: True))
