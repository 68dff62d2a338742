"""The command line: it reads well, and a mistake is one line and exit status 2."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openeo_backend.catalog.demo import Scenario, write_archive
from openeo_backend.cli import main
from openeo_backend.errors import OpenEOError
from openeo_backend.files.signing import Signer
from openeo_backend.store.store import Store

ADD = {"a": {"process_id": "add", "arguments": {"x": {"from_parameter": "x"}, "y": 2}, "result": True}}


def call(*arguments: Any, input: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)


def one_line(result: Result) -> str:
    assert result.exit_code == 2, result.output
    text = result.output.strip()
    assert "\n" not in text
    assert text.startswith("openeo-backend: ")
    return text


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({"parameters": [{"name": "x"}], "process_graph": ADD}))
    return file


def test_help_names_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in ("serve", "worker", "run", "validate", "user", "demo-archive", "check"):
        assert command in result.output
    for command in ("serve", "run", "check"):
        assert "--data-dir" in call(command, "--help").output


def test_run_prints_a_value(graph: Path, tmp_path: Path) -> None:
    result = call("run", graph, "-o", tmp_path / "out", "--set", "x=40")
    assert result.exit_code == 0, result.output
    assert result.output.strip() == "42"


def test_run_tells_why_it_failed(graph: Path, tmp_path: Path) -> None:
    result = call("run", graph, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "ProcessParameterRequired" in result.output


def test_run_writes_files_and_their_description(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    write_archive(
        archive, lambda done, planned: None, Scenario(width=48, height=48, days=(0,), radar_days=(), neighbour=None)
    )
    graph = tmp_path / "load.json"
    load = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": None, "bands": ["B04"]}
    graph.write_text(json.dumps({"load": {"process_id": "load_collection", "arguments": load, "result": True}}))
    result = call("run", graph, "-o", tmp_path / "out", "--stac", archive / "catalog.json")
    assert result.exit_code == 0, result.output
    described = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert {file["name"] for file in described["files"]} == {p.name for p in (tmp_path / "out").glob("*.tif")} != set()


def test_validate_tells_all_problems(tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    nodes = {
        "a": {"process_id": "add", "arguments": {"x": 1}},
        "b": {"process_id": "nope", "arguments": {}, "result": True},
    }
    file.write_text(json.dumps(nodes))
    result = call("validate", file)
    assert result.exit_code == 1
    assert "Node 'a' (add), argument 'y'" in result.output
    assert "Node 'b' (nope)" in result.output


def test_validate_accepts_a_process_with_open_parameters(graph: Path) -> None:
    result = call("validate", graph)
    assert (result.exit_code, result.output.strip()) == (0, "The process is valid.")


def test_mistakes_with_files_and_settings(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert "is not JSON" in one_line(call("validate", broken))
    assert "cannot read" in one_line(call("validate", tmp_path / "nowhere.json"))
    assert "name=value" in one_line(call("run", graph, "-o", tmp_path, "--set", "x"))
    assert "does not exist" in one_line(call("run", graph, "-o", tmp_path, "--stac", tmp_path / "no" / "catalog.json"))
    assert "no.toml" in one_line(call("run", graph, "-o", tmp_path, "--config", tmp_path / "no.toml"))
    config = tmp_path / "settings.toml"
    config.write_text("[server]\nprot = 1\n")
    assert "did you mean server.port" in one_line(call("check", "--config", config))
    monkeypatch.setenv("OPENEO_BACKEND__LIMTS__SYNC_SLOTS", "1")
    assert "limits.sync_slots" in one_line(call("serve"))


def test_mistakes_in_the_words_are_one_line_too() -> None:
    assert "nonsense" in one_line(call("nonsense"))
    assert "--port" in one_line(call("serve", "--port", "99999"))
    assert "--nope" in one_line(call("serve", "--nope"))
    assert "GRAPH" in one_line(call("validate"))
    assert call("--version").exit_code == 0
    assert call("user", "--help").exit_code == 0


def test_mistakes_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in one_line(call("serve", "--port", port, "--data-dir", tmp_path / "d"))
    occupied = tmp_path / "file"
    occupied.write_text("")
    assert "data directory" in one_line(call("serve", "--port", port, "--data-dir", occupied / "below"))
    assert "loopback" in one_line(call("serve", "--demo", "--host", "0.0.0.0"))


def test_users_are_added_from_standard_input(tmp_path: Path) -> None:
    assert "empty" in one_line(call("user", "add", "ann", "--data-dir", tmp_path, input="\n"))
    assert call("user", "add", "ann", "--data-dir", tmp_path, input="first\n").exit_code == 0
    given = ("--role", "large", "--role", "long")
    assert call("user", "add", "ann", *given, "--data-dir", tmp_path, input="second\n").exit_code == 0
    store = Store.open(f"sqlite:///{tmp_path / 'openeo.sqlite'}")
    assert store.users.check("ann", "first") is None
    account = store.users.check("ann", "second")
    assert account is not None
    assert account.roles == {"large", "long"}
    store.close()


def test_ids_of_users_of_a_provider_are_told(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[auth.oidc.a]\nissuer = "https://aai.example/realms/a/"\nclients = ["web"]\n')
    told = call("user", "id", "a", "u-1", "--config", config)
    digest = hashlib.sha256(b"https://aai.example/realms/a\nu-1").hexdigest()
    assert (told.exit_code, told.output.strip()) == (0, f"oidc~{digest[:40]}")
    assert "no provider b; there are: a" in one_line(call("user", "id", "b", "u-1", "--config", config))


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert "not a demo archive" in one_line(call("demo-archive", tmp_path))
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_check_shows_origins_hides_secrets_and_tries_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENEO_BACKEND__STORE__SIGNING_KEY", "hush-hush")
    result = call("check", "--data-dir", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "hush-hush" not in result.output
    assert "store.signing_key = (set, not shown)  [environment]" in result.output
    assert "[command line]" in result.output
    assert "FAILED" not in result.output
    assert "writing a COG" in result.output
    assert "came back from save.json by a signed link" in result.output
    assert not [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]


def test_check_tells_that_a_signed_link_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OpenEOError("ResultLinkExpired", "not signed by us")

    monkeypatch.setattr(Signer, "verify", refuse)
    result = call("check", "--data-dir", tmp_path / "data")
    assert result.exit_code == 1
    assert "FAILED  jobs, files and signed links: " in result.output
    assert "not signed by us" in result.output
