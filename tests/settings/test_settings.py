"""Settings: one set of names for the file, the environment and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from openeo_backend.settings import SettingsError, names, read, read_with_origins


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text('data_dir = "here"\n[server]\nport = 1000\ntitle = "From the file"\n[limits]\nsync_slots = 3\n')
    return path


def test_command_line_over_environment_over_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENEO_BACKEND__SERVER__PORT", "2000")
    monkeypatch.setenv("OPENEO_BACKEND__LIMITS__SYNC_SLOTS", "4")
    settings, origins = read_with_origins(file, {"server": {"port": 3000}})
    assert (settings.server.port, settings.limits.sync_slots, settings.server.title) == (3000, 4, "From the file")
    assert settings.data_dir == Path("here")
    assert [origins.of(n) for n in ("server.port", "limits.sync_slots", "server.title", "server.host")] == [
        "command line",
        "environment",
        "file",
        "default",
    ]


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENEO_BACKEND__CATALOG__SOURCES", '["a.json", "b.json"]')
    assert read().catalog.sources == ["a.json", "b.json"]
    monkeypatch.setenv("OPENEO_BACKEND__CATALOG__SOURCES", "a.json")
    with pytest.raises(SettingsError, match="CATALOG__SOURCES"):
        read()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", "server.prot; did you mean server.port?"),
        ("[servre]\nport = 1\n", "unknown setting servre"),
        ('[server]\nport = "x"\n', "server.port"),
        ("[server\n", "is not TOML"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read(path)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_typo_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENEO_BACKEND__SERVER__PROT", "1")
    with pytest.raises(SettingsError, match="did you mean server.port"):
        read()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere.toml"):
        read(tmp_path / "nowhere.toml")


def test_every_setting_is_described() -> None:
    from openeo_backend import settings

    for name in names():
        model: type = settings.Settings
        *sections, last = name.split(".")
        for section in sections:
            model = model.model_fields[section].annotation
        assert model.model_fields[last].description, name
