"""The worked example of docs/plug-ins.md does what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

from openeo_backend.cube import Cube, Dimension
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.check import check
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.processes import registry as registry_module
from openeo_backend.processes.registry import Registry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plug-ins.md"


class Entry:
    """An installed entry point."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def load(self) -> ModuleType:
        return self._module


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    module = ModuleType("my_processes_greenness")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code[1], str(PAGE), "exec"), module.__dict__)  # our own documentation, not a user's
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [Entry(module)])
    return Registry.predefined()


def test_the_example_is_listed_checked_and_evaluated(registry: Registry) -> None:
    assert "excess_green" in [spec["id"] for spec in registry.listed()]
    wrong = parse({"a": {"process_id": "excess_green", "arguments": {"data": {"from_parameter": "cube"}, "bands": 1}}})
    assert [problem.code for problem in check(wrong, registry, parameters=["cube"])] == ["ProcessParameterInvalid"]

    values = np.array([[[3, 60000]], [[9, 50000]], [[1, 5]]], "uint16")
    labels = {"bands": ["B04", "B03", "B02"], "y": [0.0], "x": [0.0, 1.0]}
    dimensions = (Dimension("bands", "bands"), Dimension("y", "spatial", "y"), Dimension("x", "spatial", "x"))
    cube = Cube(xr.DataArray(values, labels, ("bands", "y", "x")), dimensions)
    graph = parse({"a": {"process_id": "excess_green", "arguments": {"data": {"from_parameter": "cube"}}}})
    result = evaluate(graph, registry, Scope({"cube": cube}), None)
    assert result.names == ("y", "x")
    assert result.data.values.tolist() == [[14.0, 39995.0]]


def test_an_id_of_ours_cannot_be_taken(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("thief")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [Entry(module)])

    @registry_module.process("add")
    def add(x: float, y: float) -> float:
        return 0

    add.__module__ = "thief"
    module.add = add  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="twice"):
        Registry.predefined()
