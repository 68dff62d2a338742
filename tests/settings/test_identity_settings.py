"""Mistakes in the settings of identity providers are told at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openeo_backend.settings import SettingsError, read

SOUND = {"issuer": "https://aai.example/realms/a", "clients": ["web"]}


def given(**members: Any) -> dict[str, Any]:
    return {"auth": {"oidc": {"a": {**SOUND, **members}}}}


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (given(issuer="aai.example"), "issuer"),
        (given(issuer="https://aai.example/?realm=a"), "without query"),
        (given(issuer="http://aai.example/realms/a"), "https"),
        (given(clients=[]), "whose tokens are accepted"),
        (given(algorithms=["HS256"]), "algorithms"),
        (given(algorithms=["none"]), "algorithms"),
        (given(algorithms=[]), "algorithms"),
        (given(leeway_seconds=3600), "leeway_seconds"),
        (given(scopes=["email"]), "openid"),
        (given(required_roles=["member"]), "required_roles"),
        (given(userinfo="sometimes"), "userinfo"),
        (given(default_clients=[{"id": "web", "grant_types": ["password"]}]), "grant_types"),
        ({"auth": {"oidc": {"a/b": SOUND}}}, "a/b"),
        ({"auth": {"oidc": {"a": SOUND, "b": {**SOUND, "issuer": SOUND["issuer"] + "/"}}}}, "same issuer"),
    ],
)
def test_mistakes(overrides: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        read(overrides=overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        given(),
        given(issuer="http://127.0.0.1:8081/realms/a"),
        given(issuer="http://[::1]:8081/realms/a"),
        given(issuer="http://keycloak:8080/realms/a", insecure=True),
        given(clients=[], audiences=["openeo"]),
        given(roles={"member": ["x"]}, required_roles=["member"]),
    ],
)
def test_sound_settings(overrides: dict[str, Any]) -> None:
    assert read(overrides=overrides).auth.oidc["a"].userinfo == "opaque"


def test_the_examples_in_the_documentation_are_sound(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "identity.md"
    examples = [part.partition("```")[0] for part in page.read_text(encoding="utf-8").split("```toml\n")[1:]]
    (tmp_path / "config.toml").write_text("\n".join(examples), encoding="utf-8")
    settings = read(tmp_path / "config.toml")
    assert settings.auth.oidc["CDSE"].issuer == "https://identity.dataspace.copernicus.eu/auth/realms/CDSE"
    assert settings.auth.oidc["egi"].issuer == "https://aai.egi.eu/auth/realms/egi"
    assert {role for provider in settings.auth.oidc.values() for role in provider.roles} <= settings.roles.keys()
