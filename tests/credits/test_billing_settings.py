"""Settings of billing: mistakes are one line, secrets are not shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from openeo_backend.cli import main
from openeo_backend.settings import SettingsError, read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[billing.tariff]\ncpu_second = -1\n",
            "billing.tariff.cpu_second: Input should be greater than or equal",
        ),
        ("[billing.tariff]\ncpu_secnd = 1\n", "billing.tariff.cpu_secnd; did you mean billing.tariff.cpu_second?"),
        ("[billing.tariff]\ncpu_second = 1\n[billing.plans.free]\n", "no plan is paid: nobody would ever pay them"),
        ("[billing.plans.a]\n[billing.plans.A]\n", "differ only in upper and lower case"),
        ('[billing]\ndefault_plan = "gold"\n', "default_plan is 'gold', which is none of the plans free"),
        ('[billing.accounting]\ntoken_url = "http://a"\nclient_secret = "hush"\n', "needs client_id and client_secret"),
        ('[billing.accounting]\nbalance_path = "/balance"\n', "has no {user}"),
    ],
)
def test_mistakes_are_one_line_without_secrets(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read(file)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)


def test_secrets_come_from_the_environment_and_are_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENEO_BACKEND__BILLING__ACCOUNTING__TOKEN", "hush-hush")
    monkeypatch.setenv("OPENEO_BACKEND__BILLING__TARIFF__CPU_SECOND", "0.25")
    settings = read()
    assert settings.billing.tariff.cpu_second == 0.25
    assert settings.billing.accounting.token is not None
    assert settings.billing.accounting.token.get_secret_value() == "hush-hush"
    # the checks themselves are not what is tried here
    for name in ("_check_data", "_check_store", "_check_files", "_check_catalog", "_check_cog", "_check_url"):
        monkeypatch.setattr(f"openeo_backend.cli.admin.{name}", lambda settings: "")
    printed = CliRunner().invoke(main, ["check", "--data-dir", str(tmp_path)])
    assert "billing.accounting.token = (set, not shown)" in printed.output, printed.exception
    assert "hush" not in printed.output
