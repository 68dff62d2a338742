"""The official test suite for openEO processes, as a library: its test function over the shared cases."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHARED = Path(os.environ.get("OPENEO_SHARED_DIR", Path(__file__).resolve().parents[3] / "shared"))
MODULE = "openeo_test_suite.tests.processes.processing.test_example"
CASES = SHARED / "spec" / "openeo-processes-2.0.0-rc.2"


def official_module() -> ModuleType:
    """The suite's module with the test function and its cases, read from the shared specifications.

    Skips the calling module where the suite is not installed or the cases are absent.
    """
    pytest.importorskip("openeo_test_suite", reason="the official suite (openeo-test-suite) is not installed")
    if not CASES.is_dir():
        pytest.skip(f"the official cases are not at {CASES} (set OPENEO_SHARED_DIR)", allow_module_level=True)
    selection = importlib.import_module("openeo_test_suite.lib.process_selection")
    registry = importlib.import_module("openeo_test_suite.lib.process_registry")
    known = sys.modules.get(MODULE)
    if known is not None:
        return known
    if selection._process_filters is None:
        selection._process_filters = selection.ProcessFilters(experimental=True)
        # the package comes without the cases and looks for them where it was developed
        registry.ProcessRegistry._guess_root = lambda self: CASES
    module = importlib.import_module(MODULE)
    module._load_ref = _load_ref(module._load_ref)
    return module


def _load_ref(original: Callable[[str, Path], Any]) -> Callable[[str, Path], Any]:
    """The suite expects the data files of the cases beside the specifications; they are beside the cases."""

    def load(ref: str, file: Path) -> Any:
        return original(ref, CASES / "tests" / file.name)

    return load
