"""Every specification that is advertised is complete and valid, the official ones and ours alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from spec_texts import OFFICIAL, schemas

from openeo_backend.processes import specs
from openeo_backend.processes.registry import Registry

#: Processes beyond the standard: the names of other back-ends, and old names.
UNOFFICIAL = {
    "aspect",
    "chunk_polygon",
    "create_raster_cube",
    "date_replace_component",
    "fit_class_random_forest",
    "fit_regr_random_forest",
    "load_result",
    "mask_scl_dilation",
    "predict_random_forest",
    "slope",
    "text_merge",
    "to_scl_dilation_mask",
    "vector_to_raster",
}

#: Old names of official processes, which are not advertised.
OLD_NAMES = {"create_raster_cube", "text_merge"}

#: Subtypes that this version of the standard does not define: of a proposal, and of openEO processes 1.0.
OTHER_SUBTYPES = {"ml-model", "job-id"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.predefined(lambda name: True)


@pytest.fixture(scope="module")
def all_specs(registry: Registry) -> list[Mapping[str, Any]]:
    """Those of the registry, and ours of processes that are not registered."""
    more = {file.stem for file in specs.OVERLAYS.glob("*.json")} - set(registry.ids())
    return [*(registry[id].spec for id in registry.ids()), *(specs.load(id) for id in sorted(more))]


@pytest.fixture(scope="module")
def violations(shared: Path) -> Callable[[Any], list[str]]:
    """Where a process violates the schema of `GET /processes` in the API's own document."""
    text = (shared / "spec" / "openeo-api-1.2.0" / "openapi.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = json.loads(json.dumps(yaml.load(text, loader), default=str))
    document = _without_nullable(document)
    listing = document["paths"]["/processes"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    # its alternatives overlap, so that nothing could ever match exactly one: a known defect of the document
    single = document["components"]["schemas"]["process_json_schema"]
    single["anyOf"] = single.pop("oneOf")
    validator = jsonschema.Draft4Validator({**listing, "components": document["components"]})

    def violations(spec: Any) -> list[str]:
        found = validator.iter_errors({"processes": [spec], "links": []})
        return [f"{spec['id']}: {error.json_path}: {error.message[:200]}" for error in found]

    return violations


def _without_nullable(value: Any) -> Any:
    """A schema of OpenAPI 3.0 with `nullable` in the words of JSON schema."""
    if isinstance(value, list):
        return [_without_nullable(member) for member in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _without_nullable(member) for key, member in value.items() if key != "nullable"}
    return {"anyOf": [{"enum": [None]}, schema]} if value.get("nullable") is True else schema


def test_specifications_fit_the_api(all_specs: list[Mapping[str, Any]], violations: Callable[[Any], list[str]]) -> None:
    assert [problem for spec in all_specs for problem in violations(spec)] == []
    broken = {**specs.load("add"), "parameters": [{"name": "x", "schema": 5}]}
    assert violations(broken)


def test_unofficial_processes_are_those_on_the_list(shared: Path, registry: Registry) -> None:
    assert set(registry.ids()) - OFFICIAL.keys() == UNOFFICIAL
    listed = {spec["id"]: spec for spec in registry.listed()}
    assert UNOFFICIAL - listed.keys() == OLD_NAMES


def test_specifications_are_complete(all_specs: list[Mapping[str, Any]]) -> None:
    for spec in all_specs:
        assert 0 < len(spec["summary"].strip()) <= 80, spec["id"]
        assert not spec["summary"].endswith("."), spec["id"]
        assert spec["description"].strip(), spec["id"]
        assert spec["categories"], spec["id"]
        assert spec["returns"]["description"].strip(), spec["id"]
        names = [parameter["name"] for parameter in spec["parameters"]]
        assert len(names) == len(set(names)), spec["id"]
        for parameter in spec["parameters"]:
            assert parameter["description"].strip(), (spec["id"], parameter["name"])
        optional = [bool(parameter.get("optional")) for parameter in spec["parameters"]]
        assert optional == sorted(optional), f"{spec['id']}: a required parameter follows an optional one"
        for name, exception in spec.get("exceptions", {}).items():
            assert exception["message"].strip(), (spec["id"], name)


def test_schemas_are_json_schemas(all_specs: list[Mapping[str, Any]]) -> None:
    for spec in all_specs:
        for place, schema in schemas(dict(spec)):
            try:
                jsonschema.Draft7Validator.check_schema(schema)
            except jsonschema.SchemaError as error:
                pytest.fail(f"{spec['id']}: {place}: {error.message}")


def test_defaults_fit_their_schemas(all_specs: list[Mapping[str, Any]]) -> None:
    for spec in all_specs:
        for parameter in spec["parameters"]:
            if parameter.get("default") is not None:  # null is for "not given", whatever the schema says
                many = parameter["schema"] if isinstance(parameter["schema"], list) else [parameter["schema"]]
                fits = any(jsonschema.Draft7Validator(schema).is_valid(parameter["default"]) for schema in many)
                assert fits, (spec["id"], parameter["name"], parameter["default"])


def test_subtypes_are_those_that_openeo_defines(shared: Path, all_specs: list[Mapping[str, Any]]) -> None:
    file = shared / "spec" / "openeo-processes-2.0.0-rc.2" / "meta" / "subtype-schemas.json"
    defined = json.loads(file.read_text(encoding="utf-8"))["definitions"]
    for spec in all_specs:
        for place, schema in schemas(dict(spec)):
            for typed in _subtyped(schema):
                if typed["subtype"] in OTHER_SUBTYPES:
                    continue
                assert typed["subtype"] in defined, (spec["id"], place)
                assert typed.get("type") == defined[typed["subtype"]].get("type"), (spec["id"], place, typed)


def _subtyped(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list):
        for member in schema:
            yield from _subtyped(member)
    elif isinstance(schema, dict):
        if isinstance(schema.get("subtype"), str):
            yield schema
        for member in schema.values():
            yield from _subtyped(member)


def test_examples_use_the_parameters_there_are(all_specs: list[Mapping[str, Any]]) -> None:
    for spec in all_specs:
        for example in spec.get("examples", ()):
            names = {parameter["name"] for parameter in spec["parameters"]}
            needed = {parameter["name"] for parameter in spec["parameters"] if not parameter.get("optional")}
            assert needed <= example["arguments"].keys() <= names, spec["id"]
