"""Commands of operators."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from openeo_backend.cli.options import fail
from openeo_backend.errors import OpenEOError
from openeo_backend.observe.logs import conceal
from openeo_backend.settings import Origins, Settings, SettingsError, names, value_of
from openeo_backend.store.database import StoreError

#: Settings whose values are never shown.
SECRET = ("store.url", "store.signing_key")


def add_user(settings: Settings, name: str, password: str, roles: Sequence[str] = ()) -> None:
    """Add a user or give them a new password and roles; ends with one line for a bad name or an empty password."""
    from openeo_backend.backend import Backend

    if not password:
        fail("the password is empty")
    backend = Backend.open(settings)
    try:
        backend.store.users.add(name, password, roles, replace=True)
    except (OpenEOError, ValueError) as error:
        fail(error)
    finally:
        backend.close()


def check_all(settings: Settings, origins: Origins) -> int:
    """Print the settings and try what the server needs; 0 if all of it works, else 1."""
    for name in names():
        value = value_of(settings, name)
        is_secret = name in SECRET or isinstance(value, SecretStr)
        shown = "(set, not shown)" if is_secret and value is not None else repr(value)
        click.echo(f"{name} = {conceal(shown)}  [{origins.of(name)}]")
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("data directory", _check_data),
        ("database", _check_store),
        ("jobs, files and signed links", _check_files),
        ("catalog", _check_catalog),
        ("writing a COG", _check_cog),
        ("public URL", _check_url),
    ]
    failed = 0
    for title, attempt in checks:
        try:
            click.echo(f"ok      {title}: {attempt(settings)}")
        except (OpenEOError, SettingsError, StoreError, OSError) as error:
            failed += 1
            click.echo(f"FAILED  {title}: {conceal(str(error))}")
    return 1 if failed else 0


def _check_data(settings: Settings) -> str:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.data_dir) as file:
        file.write(b"x")
    return f"{settings.data_dir.absolute()} can be written"


def _open(settings: Settings) -> Any:
    from openeo_backend.backend import Backend

    return Backend.open(settings)


def _check_store(settings: Settings) -> str:
    backend = _open(settings)
    backend.store.ping()
    backend.close()
    return "answers"


def _check_files(settings: Settings) -> str:
    from openeo_backend.cli.trial import fetch_signed

    return fetch_signed(settings)


def _check_catalog(settings: Settings) -> str:
    from openeo_backend.catalog.viewer import OPERATOR

    backend = _open(settings)
    count = len(backend.catalog.seen_by(OPERATOR).ids())
    backend.close()
    return f"{count} collections"


def _check_cog(settings: Settings) -> str:
    import numpy as np
    import xarray as xr
    from odc.geo.crs import CRS

    from openeo_backend.cube import Cube, Dimension
    from openeo_backend.formats.writing import write_result

    labels = {"y": [15.0, 5.0], "x": [5.0, 15.0]}
    data = xr.DataArray(np.arange(4, dtype="uint8").reshape(2, 2), labels, ("y", "x"))
    dimensions = (Dimension("y", "spatial", "y", -10.0), Dimension("x", "spatial", "x", 10.0))
    cube = Cube(data, dimensions, CRS("EPSG:32632"))
    with tempfile.TemporaryDirectory() as folder:
        assets = write_result(cube, "GTiff", {}, Path(folder), "check", lambda done, planned: None)
        return f"{assets[0].path.name}, {assets[0].path.stat().st_size} bytes"


def _check_url(settings: Settings) -> str:
    from openeo_backend.net.door import Door

    root = (settings.server.public_url or f"http://{settings.server.host}:{settings.server.port}").rstrip("/")
    url = f"{root}/openeo/1.2/health"
    try:
        Door(settings.net, (url,)).json(url)
    except OpenEOError as error:
        if settings.server.public_url:
            raise
        return f"no server runs at {root} now ({error.code})"
    return f"{url} answers"
