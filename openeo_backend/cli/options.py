"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from openeo_backend.settings import Origins, Settings, SettingsError, read_with_origins

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEMO_USER = "demo"

Command = Callable[..., Any]


def settings_options(command: Command) -> Command:
    """--config, --data-dir, --stac and --demo: passed to the command as keyword arguments of these names."""
    for option in (
        click.option("--demo", is_flag=True, help="Add the synthetic demo archive (and, when serving, the user demo)."),
        click.option("--stac", multiple=True, metavar="CATALOG", help="STAC catalog, collection or API: path or URL."),
        click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where data are kept."),
        click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings file (TOML)."),
    ):
        command = option(command)
    return command


def fail(message: object) -> NoReturn:
    """End with one line and exit status 2."""
    click.echo(f"openeo-backend: {' '.join(str(message).split())}", err=True)
    raise SystemExit(2)


def effective(
    config: Path | None, data_dir: Path | None, stac: tuple[str, ...], demo: bool, **server: Any
) -> tuple[Settings, Origins]:
    """The settings under the command line; ends with one line for a mistake in them."""
    overrides: dict[str, Any] = {}
    if data_dir is not None:
        overrides["data_dir"] = str(data_dir)
    given = {key: value for key, value in server.items() if value is not None}
    if given:
        overrides["server"] = given
    if demo:
        overrides["demo"] = {"enabled": True}
    try:
        settings, origins = read_with_origins(config, overrides)
    except SettingsError as error:
        fail(error)
    if stac:
        sources = [*settings.catalog.sources, *stac]
        settings = settings.model_copy(update={"catalog": settings.catalog.model_copy(update={"sources": sources})})
    return settings, origins


def with_demo(settings: Settings) -> Settings:
    """The settings with the demo archive among the catalogs; the archive is written when it is absent."""
    if not settings.demo.enabled:
        return settings
    from openeo_backend.catalog.demo.cache import ensure_archive

    try:
        with progress_bar("Writing the demo archive") as advance:
            catalog = ensure_archive(settings.demo.dir, advance)
    except FileExistsError as error:
        fail(error)
    sources = [*settings.catalog.sources, str(catalog)]
    return settings.model_copy(
        update={
            "catalog": settings.catalog.model_copy(update={"sources": sources}),
            "auth": settings.auth.model_copy(update={"basic": True}),
        }
    )


class progress_bar:  # noqa: N801 - a context manager, used like a function
    """A bar that appears with the first step, for functions that report (done, planned)."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._done = 0

    def __enter__(self) -> Callable[[int, int], None]:
        return self._advance

    def _advance(self, done: int, planned: int) -> None:
        if self._bar is None:
            self._bar = click.progressbar(length=planned, label=self._label)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


def leave_out_grammars() -> None:
    """Keep a grammar of addresses from being built, which takes seconds: jsonschema imports it where it is installed,
    for formats that nothing here checks."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def prepare_environment() -> None:
    """Set the environment of GDAL and of linear algebra; it works only before they are loaded, so every command calls
    this first.

    Blocks are computed side by side already: further threads within them would only wait for each other.
    """
    from openeo_backend.sandbox.gdal import gdal_environment

    for name, value in {**gdal_environment(), "OPENBLAS_NUM_THREADS": "1"}.items():
        os.environ.setdefault(name, value)


def told(command: Command) -> Command:
    """Turn mistakes of the user into one line and exit status 2."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from openeo_backend.errors import OpenEOError
        from openeo_backend.store.database import StoreError

        prepare_environment()
        leave_out_grammars()
        try:
            return command(*args, **kwargs)
        except OpenEOError as error:
            fail(error)
        except (SettingsError, StoreError) as error:
            fail(error)
        except PermissionError as error:
            fail(f"{error.filename} cannot be written: {error.strerror}")

    return run
