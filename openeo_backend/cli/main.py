"""All commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from openeo_backend import __version__
from openeo_backend.cli.options import DEMO_USER, LOOPBACK, effective, fail, settings_options, told, with_demo


class OneLine(click.Group):
    """A group that tells mistakes in its words in one line, as all other mistakes are told."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            status: Any = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        except click.UsageError as error:
            fail(f"{error.format_message().rstrip('.')} (see --help)")
        except click.Abort:
            raise SystemExit(130) from None
        if standalone_mode:
            raise SystemExit(status if isinstance(status, int) else 0)
        return status


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openeo-backend")
def main() -> None:
    """An openEO back-end: process graphs on data cubes loaded from STAC.

    Start with `openeo-backend serve --demo`. Settings come from the command line, the environment
    (OPENEO_BACKEND__SECTION__KEY) and a TOML file (--config), in this order.
    """


@main.command()
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on [8080].")
@settings_options
@click.option("--no-worker", is_flag=True, help="Serve the API only; batch jobs wait for `openeo-backend worker`.")
@told
def serve(host: str | None, port: int | None, no_worker: bool, **common: Any) -> None:
    """Serve the API and, unless told otherwise, run batch jobs."""
    from openeo_backend.cli.serving import supervise

    settings, _ = effective(**common, host=host, port=port)
    if settings.demo.enabled and settings.server.host not in LOOPBACK:
        fail(f"--demo has a known password and serves loopback hosts only, not {settings.server.host}")
    settings = with_demo(settings)
    raise SystemExit(supervise(settings, workers=0 if no_worker else 1))


@main.command()
@settings_options
@told
def worker(**common: Any) -> None:
    """Run batch jobs of the store that the settings name."""
    from openeo_backend.cli.serving import work

    settings, _ = effective(**common)
    raise SystemExit(work(with_demo(settings)))


@main.command()
@click.argument("graph", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="Value of a parameter (JSON or text).")
@settings_options
@told
def run(graph: Path, output: Path, values: tuple[str, ...], **common: Any) -> None:
    """Evaluate the process in GRAPH (JSON) without a server and write its results to a folder."""
    from openeo_backend.cli.running import evaluate_file

    settings, _ = effective(**common)
    raise SystemExit(evaluate_file(graph, output, values, with_demo(settings)))


@main.command()
@click.argument("graph", type=click.Path(path_type=Path, dir_okay=False))
@settings_options
@told
def validate(graph: Path, **common: Any) -> None:
    """Check the process in GRAPH (JSON): all problems, and exit status 1 if there are any."""
    from openeo_backend.cli.running import validate_file

    settings, _ = effective(**common)
    raise SystemExit(validate_file(graph, with_demo(settings)))


@main.group()
def user() -> None:
    """Users of HTTP Basic authentication."""


@user.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="Role of the user, instead of those they had; may be repeated.")
@settings_options
@told
def user_add(name: str, roles: tuple[str, ...], **common: Any) -> None:
    """Add the user NAME, or give them a new password.

    The password is asked for, or read from standard input when that is not a terminal.
    """
    from openeo_backend.cli.admin import add_user

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    settings, _ = effective(**common)
    add_user(settings, name, password, roles)
    click.echo(f"The user {name} can log in where basic authentication is on (setting auth.basic).")


@user.command("id")
@click.argument("provider")
@click.argument("subject")
@settings_options
@told
def user_id(provider: str, subject: str, **common: Any) -> None:
    """Print the id that settings and the log have for SUBJECT (`sub`) of the OpenID Connect provider PROVIDER."""
    from openeo_backend.auth import oidc

    settings, _ = effective(**common)
    providers = oidc.providers_of(settings)
    if provider not in providers:
        fail(f"there is no provider {provider}; there are: {', '.join(providers) or 'none'}")
    click.echo(oidc.user_id(providers[provider].issuer, subject))


@main.group()
def collection() -> None:
    """Collections of the catalog."""


@collection.command("check")
@click.argument("id", required=False)
@click.option("--format", type=click.Choice(["table", "json"]), default="table", help="Form of the output [table].")
@settings_options
@told
def collection_check(id: str | None, format: str, **common: Any) -> None:
    """Tell what the collection ID, or all, lack to be offered in a federation, and what to set.

    Exit status 1 tells that something is missing that is required.
    """
    from openeo_backend.cli.collections import check_collections

    settings, _ = effective(**common)
    raise SystemExit(check_collections(with_demo(settings), id, format))


@main.command("demo-archive")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@told
def demo_archive(folder: Path) -> None:
    """Write the synthetic demo archive (STAC catalog and COGs) to FOLDER."""
    from openeo_backend.catalog.demo.cache import ensure_archive
    from openeo_backend.cli.options import progress_bar

    try:
        with progress_bar("Writing the demo archive") as advance:
            catalog = ensure_archive(folder, advance)
    except FileExistsError as error:
        fail(error)
    click.echo(catalog)


@main.command()
@settings_options
@told
def check(**common: Any) -> None:
    """Show the effective settings with their origin, and try what the server needs."""
    from openeo_backend.cli.admin import check_all

    settings, origins = effective(**common)
    raise SystemExit(check_all(with_demo(settings), origins))


@main.command()
@click.argument("url")
@click.option("--user", metavar="NAME", help="Name for HTTP Basic authentication; the password is asked for.")
@click.option(
    "--password", help="Password; better the variable OPENEO_REVIEW_PASSWORD.", envvar="OPENEO_REVIEW_PASSWORD"
)
@click.option(
    "--token", help="Bearer token, such as oidc/CDSE/...; or OPENEO_REVIEW_TOKEN.", envvar="OPENEO_REVIEW_TOKEN"
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(["L1", "L1A", "L1B", "L2", "L3", "L4", "LP"], case_sensitive=False),
    help="Profile to look at; may be given several times [LP: the federation].",
)
@click.option("--format", type=click.Choice(["table", "json", "html"]), default="table", help="Form of the report.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File for the report.")
@click.option(
    "--declaration",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What cannot be seen from outside, declared by the provider (TOML, see docs/review.md).",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30, help="Longest wait for an answer in seconds [30]."
)
@told
def review(url: str, user: str | None, password: str | None, profiles: tuple[str, ...], **options: Any) -> None:
    """Review the openEO back-end at URL: what the openEO profiles and the CDSE federation require of it.

    Anonymous checks always run; those that need a user or run small jobs only with a token, or a name and password.
    Exit status 0 when no required check failed, 1 when one did, 2 where there is no openEO back-end.
    """
    from openeo_backend.cli.reviewing import review_url

    if user is not None and password is None:
        password = click.prompt("Password", hide_input=True, err=True)
    raise SystemExit(review_url(url, user=user, password=password, profiles=profiles or ("LP",), **options))


@main.command("db-upgrade")
@settings_options
@told
def db_upgrade(**common: Any) -> None:
    """Bring the database schema to this version (SQLite does it by itself)."""
    from openeo_backend.store.database import upgrade

    settings, _ = effective(**common)
    url = settings.store.url or f"sqlite:///{settings.data_dir / 'openeo.sqlite'}"
    click.echo(f"The schema is at revision {upgrade(url)}.")


__all__ = ["DEMO_USER", "main"]
