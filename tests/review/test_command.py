"""`openeo-backend review` on the command line, against a live back-end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from live_server import Server
from trial_checks import PASSWORD, USER

from openeo_backend.cli import main
from openeo_backend.federation.review.declaration import MEMBERS, read_declaration
from openeo_backend.federation.review.node import Node

EXAMPLE = Path(__file__).parents[2] / "docs" / "review-declaration.toml"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["review", *words], catch_exceptions=False)


def test_a_good_back_end_holds_for_everybody(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    result = run(server.url, "--format", "json", "-o", str(file))
    report = json.loads(file.read_text())
    assert report.keys() == {"checks", "summary"}
    assert [check["id"] for check in report["checks"] if check["status"] == "fail"] == []
    assert (result.exit_code, report["summary"]["holds"]) == (0, True)
    assert "No required check failed." in result.stderr
    assert result.stdout == ""
    assert report["summary"]["root"] == server.root
    assert sum(report["summary"]["counts"].values()) == len(report["checks"])
    by_id = {check["id"]: check for check in report["checks"]}
    assert by_id["API-900"]["status"] == "not-applicable"
    assert by_id["API-704"]["status"] == "declared"
    assert by_id["API-21"]["evidence"][0]["url"] == f"{server.url}/.well-known/openeo"
    assert report["summary"]["metadata"]["collections"]["SENTINEL2_L2A"]["dimensions"] == ["bands", "t", "x", "y"]

    declaration = tmp_path / "provider.toml"
    declaration.write_text('[previous]\nreport = "report.json"\n')
    again = json.loads(
        run(server.root, "--profile", "LP", "--declaration", str(declaration), "--format", "json").stdout
    )
    assert {check["id"]: check["status"] for check in again["checks"]}["COL-7"] == "pass"


def test_what_is_declared_can_fail(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "provider.toml"
    file.write_text("[retention]\nresults_days = 30\n")
    result = run(server.url, "--declaration", str(file))
    assert result.exit_code == 1
    assert "fail           API-704" in result.stdout
    assert "Required checks that failed: API-704, CON-7" in result.stdout


def test_a_page_is_written(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert run(server.url, "--profile", "L1", "--format", "html", "-o", str(file)).exit_code == 0
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_secrets_are_masked(server: Server) -> None:
    node = Node.open(server.url)
    node.login(USER, PASSWORD)
    token = node.token or ""
    node.request("GET", f"/me?access_token={token}&signature=abcdef", auth=True)
    node.request("POST", "/validation", {"password": "s3cret", "note": token}, auth=True)
    shown = "\n".join(f"{exchange.url}\n{exchange.excerpt}" for exchange in node.exchanges)
    for secret in (token, token.rpartition("/")[2], PASSWORD, "abcdef", "s3cret"):
        assert secret not in shown
    assert "Authorization: ***" in shown


@pytest.mark.parametrize("path", ["/openeo/9.9", "/nothing"])
def test_what_is_no_openeo_is_told_in_one_line(server: Server, path: str) -> None:
    result = run(f"{server.url}{path}")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "no openEO back-end" in result.stderr


def test_nobody_there() -> None:
    result = run("http://127.0.0.1:9", "--timeout", "2")
    assert result.exit_code == 2
    assert "does not answer" in result.stderr


def test_a_wrong_password_is_no_finding(server: Server) -> None:
    result = run(server.url, "--user", USER, "--password", "guess")
    assert result.exit_code == 2
    assert "guess" not in result.stderr


def test_the_example_declares_every_member() -> None:
    declared = read_declaration(EXAMPLE)
    there = {section: set(members) for section, members in declared.items()}
    assert there == {section: set(members) for section, members in MEMBERS.items() if section != "previous"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[retention]\ndays = 1\n", "unknown member 'retention.days'"),
        ("[retentions]\n", "unknown member 'retentions'"),
        ("retention = 5\n", "unknown member 'retention'"),
        ("[", "is not TOML"),
        ('[previous]\nreport = "absent.json"\n', "no earlier report"),
    ],
)
def test_mistakes_in_a_declaration(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "provider.toml"
    file.write_text(text)
    result = run("http://127.0.0.1:9", "--declaration", str(file))
    assert result.exit_code == 2
    assert says in result.stderr
