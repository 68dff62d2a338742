"""The suite's workflow module against a real server: graphs of its own, made, sent and read with the Python client."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import openeo
import pytest

pytest.importorskip("openeo_test_suite", reason="the official suite (openeo-test-suite) is not installed")

import openeo_test_suite
from openeo_test_suite.lib.skipping import Skipper
from openeo_test_suite.tests.workflows.conftest import (  # noqa: F401 - fixtures of the tests
    collection_dims,
    cube_one_day_red,
    cube_one_day_red_nir,
    cube_red_10x10,
    cube_red_nir,
)

#: Tests that contradict the specifications or themselves.
DEFECTIVE = {
    "test_apply_dimension_quantiles_1": "the target dimension has two labels, a case that the specification of "
    "apply_dimension does not know; workflows in use need all values of both labels, three are expected",
    "test_load_save_netcdf_batch_job_metadata": "asserts what a function that returns nothing returns",
}


def _validation() -> ModuleType:
    """The suite's module without its dependency, which downloads schemas; tests of results check them offline."""
    module = ModuleType("openeo_test_suite.lib.validate_stac")
    module.validate_stac_dict = lambda document: None  # type: ignore[attr-defined]
    return module


def _workflows() -> Iterator[Any]:
    folder = Path(openeo_test_suite.__file__).parent / "tests" / "workflows"
    known = sys.modules.setdefault("openeo_test_suite.lib.validate_stac", _validation())
    for path in sorted(folder.glob("L*/test_*.py")):
        spec = importlib.util.spec_from_file_location(f"official_workflows.{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function in vars(module).items():
            if name.startswith("test_"):
                reason = DEFECTIVE.get(name)
                marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
                yield pytest.param(function, marks=marks, id=name)
    if sys.modules["openeo_test_suite.lib.validate_stac"] is known:
        del sys.modules["openeo_test_suite.lib.validate_stac"]


WORKFLOWS = list(_workflows())


@pytest.fixture
def s2_collection() -> str:
    return "S2_LOCAL"


@pytest.fixture
def skipper(connection: openeo.Connection) -> Skipper:
    processes = [process["id"] for process in connection.list_processes()]
    return Skipper(connection=connection, selected_processes=processes)


def test_the_suite_brings_all_workflows() -> None:
    assert len(WORKFLOWS) == 25


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_workflow(workflow: Callable[..., None], request: pytest.FixtureRequest) -> None:
    code = workflow.__code__
    names = code.co_varnames[: code.co_argcount]
    workflow(**{name: request.getfixturevalue(name) for name in names})
