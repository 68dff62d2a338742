"""All specifications against openEO processes 2.0.0-rc.2, wording aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spec_texts import OFFICIAL, SPEC, official, structure

from openeo_backend.processes import specs
from openeo_backend.processes.registry import Registry

BY_ID = pytest.mark.parametrize("id", OFFICIAL or [pytest.param("", marks=pytest.mark.skip(f"no {SPEC}"))])

#: Official processes that no module implements yet: run_udf waits for its sandbox.
PENDING = {"run_udf"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


@pytest.fixture(params=["loaded", "registered"])
def ours(request: pytest.FixtureRequest, id: str, registry: Registry) -> dict[str, Any]:
    """The specification by its file, and as the registry advertises it."""
    if request.param == "registered":
        if id not in registry:
            pytest.skip(f"{id} is not implemented yet")
        return dict(registry[id].spec)
    return specs.load(id)


def test_all_official_processes_are_here(shared: Path) -> None:
    assert len(OFFICIAL) == 155


def test_every_official_process_is_implemented_unless_pending(shared: Path, registry: Registry) -> None:
    assert {id for id in OFFICIAL if id not in registry} == PENDING


@BY_ID
def test_parameters_are_the_official_ones_in_their_order(id: str, ours: dict[str, Any]) -> None:
    expected = official(id)["parameters"]
    found = ours["parameters"]
    assert [p["name"] for p in found[: len(expected)]] == [p["name"] for p in expected]
    for ours_, theirs in zip(found, expected, strict=False):
        for key in ("optional", "deprecated", "experimental"):
            assert ours_.get(key, False) == theirs.get(key, False), (theirs["name"], key)
        assert ("default" in ours_) == ("default" in theirs), theirs["name"]
        assert _typed(ours_.get("default")) == _typed(theirs.get("default")), theirs["name"]
        assert _typed(structure(ours_["schema"])) == _typed(structure(theirs["schema"])), theirs["name"]
    assert [p["name"] for p in found[len(expected) :] if not p.get("optional") or "default" not in p] == []


@BY_ID
def test_the_rest_is_official_too(id: str, ours: dict[str, Any]) -> None:
    expected = official(id)
    assert ours["id"] == id
    assert _typed(structure(ours["returns"]["schema"])) == _typed(structure(expected["returns"]["schema"]))
    assert set(ours.get("exceptions", {})) == set(expected.get("exceptions", {}))
    assert ours["categories"] == expected["categories"]
    assert ours.get("experimental", False) == expected.get("experimental", False)
    assert ours.get("deprecated", False) == expected.get("deprecated", False)


def _typed(value: Any) -> Any:
    """The value with its JSON types, as Python holds 1, 1.0 and true for equal."""
    if isinstance(value, dict):
        return {key: _typed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_typed(member) for member in value]
    return (type(value).__name__, value)
