"""`openeo-backend collection check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scenes import write_scenes

from openeo_backend.cli.main import main


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings with an open and a restricted collection; what the second lacks is set."""
    links = []
    for id in ("plain", "rich"):
        write_scenes(tmp_path / id, {"B04": np.ones((2, 4, 5), "uint16")}, id, days=("2023-04-02", "2023-04-12"))
        links.append({"rel": "child", "href": f"./{id}/collection.json"})
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "all", "description": "All.", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    file = tmp_path / "node.toml"
    file.write_text(f"""
data_dir = "{tmp_path / "data"}"
[server]
title = "Our node"
public_url = "https://node.example.org"
[catalog]
sources = ["{tmp_path / "catalog.json"}"]
[catalog.collections.rich]
id = "ACME_BIRD_L2A"
title = "Birds"
description = "Two dates of April 2023 over one field, of the archive since 2020."
terms = "https://acme.example.org/terms"
roles = ["eo"]
[[catalog.collections.rich.metadata.providers]]
name = "Acme"
roles = ["producer"]
[catalog.collections.rich.metadata.summaries]
platform = ["bird-1"]
gsd = [10]
""")
    return file


def check(settings: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["collection", "check", "--config", str(settings), *words])


def test_what_is_missing_is_told_with_what_to_set(settings: Path) -> None:
    result = check(settings)
    assert result.exit_code == 1
    assert "ACME_BIRD_L2A: nothing is missing" in result.output
    assert "API-324: The id 'plain' does not follow the naming convention" in result.output
    assert "COL-1: No provider has the role 'producer'" in result.output
    assert "catalog.collections.<id>.common_name" in result.output
    assert "'host'" not in result.output


def test_one_collection_has_all_it_needs(settings: Path) -> None:
    result = check(settings, "ACME_BIRD_L2A")
    assert (result.exit_code, result.output.strip()) == (0, "ACME_BIRD_L2A: nothing is missing")


def test_the_report_is_json(settings: Path) -> None:
    result = check(settings, "plain", "--format", "json")
    report: Any = json.loads(result.output)
    (collection,) = report["collections"]
    assert (collection["id"], result.exit_code) == ("plain", 1)
    assert set(collection["problems"][0]) == {"id", "level", "message", "hint"}
    levels = [problem["level"] for problem in collection["problems"]]
    counted = {level: levels.count(level) for level in ("required", "recommended")}
    assert report["summary"] == counted
    assert counted["required"] > 0


@pytest.mark.parametrize("words", [["NONE"], ["plain", "--format", "html"]])
def test_mistakes_are_one_line(settings: Path, words: list[str]) -> None:
    result = check(settings, *words)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
