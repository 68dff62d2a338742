"""Settings: one TOML file and the environment (OPENEO_BACKEND__SECTION__KEY), the same names in both."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings import SettingsError as PydanticSettingsError

from openeo_backend.sections.billing import BillingSettings
from openeo_backend.sections.identity import AuthSettings, RoleSettings
from openeo_backend.sections.quotas import QuotaSettings
from openeo_backend.sections.section import Section

PREFIX = "OPENEO_BACKEND__"


class SettingsError(Exception):
    """A mistake in the settings, told in one line."""


class ServerSettings(Section):
    host: str = "127.0.0.1"
    """Address the server listens on."""
    port: int = 8080
    """Port the server listens on."""
    public_url: str | None = None
    """URL by which users reach this server, without the path of the API; by default http://HOST:PORT."""
    title: str = "openEO back-end"
    """Title in the capabilities."""
    description: str = "An openEO back-end: process graphs on dask-backed data cubes loaded from STAC."
    """Description (CommonMark) in the capabilities."""
    id: str = "openeo-backend"
    """Identifier of this back-end in the capabilities."""
    contact: str | None = None
    """Where users get help: a URL, or an e-mail address (link `contact` in the capabilities)."""
    terms_of_service: str | None = None
    """URL of the terms of service (link in the capabilities)."""
    privacy_policy: str | None = None
    """URL of the privacy policy (link in the capabilities)."""
    threads: int = 8
    """Request threads of the API process."""
    production_1_3: bool = False
    """List API 1.3 as production, beside 1.2."""
    request_seconds: float = Field(default=20, gt=0)
    """Longest time that a client may take to send the head of a request; its body may take as long, and a second for
    each 20 kB."""
    body_limit_mb: int = 32
    """Largest request body in MB."""
    trusted_proxies: int = 0
    """Reverse proxies in front whose X-Forwarded-For and X-Forwarded-Proto headers count."""


class StoreSettings(Section):
    url: str | None = None
    """SQLAlchemy URL of the database; by default a SQLite file in the data directory."""
    files: str | None = None
    """Where results are kept: a folder or an s3:// URL; by default a folder in the data directory."""
    signing_key: str | None = None
    """Secret for signed URLs; by default made once and kept in the data directory."""
    signed_url_days: float = 7
    """How long signed URLs are valid."""


class CollectionSettings(Section):
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.~-]+$")
    """Id to publish the collection under instead of the catalog's."""
    apply_scale: bool = False
    """Apply the published scale and offset when loading."""
    mosaic: Literal["solar_day", "utc_day", "none"] = "solar_day"
    """Which scenes become one time step."""
    overviews: Literal["declared", "average", "never"] = "declared"
    """Which overviews of files may stand for means of pixels: those that say that they are means, all, or none."""
    title: str | None = None
    """Title instead of the catalog's."""
    description: str | None = None
    """Description instead of the catalog's."""
    common_name: str | None = None
    """Name that the dataset has in all back-ends of a federation, such as SENTINEL2_L2A."""
    experimental: bool | None = None
    """Whether the collection may change or go without notice."""
    deprecated: bool | None = None
    """Whether the collection will go; `successor` tells what to use instead."""
    successor: str | None = None
    """URL of the collection to use instead (link `successor-version`)."""
    commercial: bool = False
    """Whether the data must be ordered (`order:status`: orderable)."""
    terms: str | None = None
    """URL of the licence or the terms of use (link `license`)."""
    roles: list[str] = Field(default_factory=list)
    """Only users with one of these roles find and load the collection; empty: everybody does."""
    hidden: bool = False
    """With `roles`: users who lack them are told that the collection does not exist, not which roles they lack."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Changes of the collection's metadata, as JSON Merge Patch: objects are merged, all else is replaced."""


class CatalogSettings(Section):
    sources: list[str] = Field(default_factory=list)
    """STAC catalogs to publish: paths or URLs of static catalogs, collections, or STAC APIs."""
    collections: dict[str, CollectionSettings] = Field(default_factory=dict)
    """Settings by collection id, as the catalog gives it."""
    buckets: list[str] = Field(default_factory=list)
    """S3 buckets that items may refer to, read with the AWS_* credentials of the environment."""
    max_items: int = 20_000
    """Most items one load may use."""
    search_kept_seconds: float = 60
    """How long what a STAC API answered to a search is used again, by a process that computes several small requests
    or shows items."""
    search_seconds: float = 300
    """Longest time of one search, or of reading the documents of a catalog."""
    summaries: Literal["all", "federated"] = "all"
    """Summaries of collections: all, or those that the federation's aggregator merges (its validator lists others)."""
    exports: Path | None = None
    """Folder of a STAC catalog, made if absent, that is published, too, and to which `export_collection` adds."""
    exporters: list[str] | None = None
    """Ids of the users who may call `export_collection`; by default all."""


class DemoSettings(Section):
    enabled: bool = False
    """Add the synthetic demo archive and the user demo (loopback hosts only)."""
    dir: Path | None = None
    """Where the demo archive lies; by default in the user's cache directory."""


class LimitsSettings(Section):
    sync_samples: float = 1e9
    """Most input samples (pixels x bands x dates) of a synchronous request."""
    sync_seconds: float = 300
    """Longest time of a synchronous request."""
    sync_memory_mb: int = 4096
    """Memory of a synchronous request; one that takes more is ended."""
    sync_slots: int = 2
    """Synchronous requests computed at the same time."""
    job_samples: float = 1e12
    """Most input samples of a batch job."""
    graph_nodes: int = 20_000
    """Most nodes of a process graph, user-defined processes expanded."""
    graph_depth: int = 40
    """Deepest nesting of callbacks, arrays and objects."""
    process_parameters: int = 1000
    """Most parameters that a user-defined process declares."""
    schema_values: int = 20_000
    """Most values in the JSON schemas of what a user-defined process takes and returns, together."""


class ComputeSettings(Section):
    kind: Literal["threads", "cluster"] = "threads"
    """Where cubes are computed: in threads of the process that writes the result, or on a Dask cluster."""
    scheduler: str | None = None
    """Address of the Dask scheduler for the kind `cluster`, such as tls://scheduler:8786. Who reaches it runs code
    on its workers: it must be reachable for this back-end only."""
    threads: int | None = None
    """Threads per evaluation; by default the cores that the process may use (its affinity and container count)."""
    memory_mb: int = 2048
    """Memory that an evaluation plans with: blocks and threads are chosen by it, and what takes more even block by
    block is refused before it starts. A job that asks for memory by its option `memory` plans with that instead."""


class JobsSettings(Section):
    workers: int = 1
    """Batch jobs that `serve` runs at the same time."""
    lease_seconds: float = 60
    """How long a worker owns a job without a sign of life."""
    poll_seconds: float = 1.0
    """How often an idle worker looks for jobs."""
    attempts: int = 3
    """Attempts lost with their worker before a job is given up."""
    per_user: int = 2
    """Running jobs per user."""
    max_runtime_seconds: float = 86_400
    """Longest run of a job."""
    memory_mb: int = 4096
    """Memory of a job that does not ask for more or less by its option `memory`; a job that takes more is ended."""
    max_memory_mb: int = 8192
    """Most memory that the option `memory` may ask for."""
    estimate_seconds: float = 30
    """Longest time that estimating a job may take."""
    wait_seconds: float = 86_400
    """Longest time that a job waits for the results of another one that it loads."""
    wait_poll_seconds: float = 10
    """How often a waiting job looks for these results."""
    drain_seconds: float = 10
    """How long a worker that is stopped lets its jobs go on before it gives them back."""
    results_days: float = 90
    """How long results are kept."""
    metadata_days: float = 365
    """How long a job's metadata are kept."""


class NetSettings(Section):
    allow: list[str] = Field(default_factory=list)
    """Hosts or host:port that may be reached although the address policy would refuse them."""
    timeout_seconds: float = 30
    """Longest wait for an answer of another server."""
    document_seconds: float = 120
    """Longest time for one document, redirects, repetitions and reading included."""
    file_seconds: float = 3600
    """Longest time for one data file, likewise."""
    max_document_mb: int = 64
    """Largest document (STAC, GeoJSON ...) read from another server."""
    max_file_mb: int = 1024
    """Largest data file fetched from, or sent to, another server by the processes that do so."""


class OgcApiSettings(Section):
    servers: dict[str, str] = Field(default_factory=dict)
    """OGC API - Processes servers whose processes `run_ogcapi` runs: URLs of landing pages by names of your choice."""
    externally: bool = False
    """Offer `run_ogcapi_externally`, which sends data to servers that users name."""
    seconds: float = 3600
    """Longest run of a process at such a server."""
    poll_seconds: float = 2
    """How often a job at such a server is asked for its state."""


class UdfSettings(Section):
    externally: bool = False
    """Offer `run_udf_externally`, which sends data to UDF services that users name."""
    seconds: float = 300
    """Longest wait for one answer of a UDF service."""


class FilesSettings(Section):
    enabled: bool = False
    """Users have files here, which `load_uploaded_files` loads."""
    dir: Path | None = None
    """Where the users' files lie, a folder per user; by default `user-files` in the data directory."""


class WorkspaceSettings(Section):
    place: str
    """A folder, or an s3:// URL used with the AWS_* credentials of the environment."""
    users: list[str] | None = None
    """Ids of the users who may export there; by default all."""


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of the operator's log."""
    format: Literal["text", "json"] = "text"
    """Form of the operator's log."""


class Settings(Section):
    """All settings. Unknown names are errors, with a suggestion."""

    data_dir: Path = Path("openeo-data")
    """Where everything this back-end keeps on this machine lies."""
    server: ServerSettings = Field(default_factory=ServerSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    catalog: CatalogSettings = Field(default_factory=CatalogSettings)
    demo: DemoSettings = Field(default_factory=DemoSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    compute: ComputeSettings = Field(default_factory=ComputeSettings)
    jobs: JobsSettings = Field(default_factory=JobsSettings)
    quotas: QuotaSettings = Field(default_factory=QuotaSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    roles: dict[str, RoleSettings] = Field(default_factory=dict)
    """What users with a role get instead of the general limits, by the role's name: `priority`, `per_user`,
    `max_runtime_seconds`, `max_memory_mb`, `threads`, `sync_samples`. Of several roles the largest of each counts."""
    net: NetSettings = Field(default_factory=NetSettings)
    billing: BillingSettings = Field(default_factory=BillingSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    ogcapi: OgcApiSettings = Field(default_factory=OgcApiSettings)
    udf: UdfSettings = Field(default_factory=UdfSettings)
    files: FilesSettings = Field(default_factory=FilesSettings)
    workspaces: dict[str, WorkspaceSettings] = Field(default_factory=dict)
    """Places to which `export_workspace` exports, by id: `place` (a folder or an s3:// URL) and, optionally, `users`
    (ids of those who may export there)."""


@dataclass(frozen=True)
class Origins:
    """Where the effective settings come from: command line over environment over file over defaults."""

    file: Mapping[str, Any]
    environment: Mapping[str, Any]
    command_line: Mapping[str, Any]

    def of(self, name: str) -> str:
        """The origin of a setting by its dotted name."""
        for origin, values in (
            ("command line", self.command_line),
            ("environment", self.environment),
            ("file", self.file),
        ):
            found: Any = values
            for part in name.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            if found is not None:
                return origin
        return "default"


def read(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The effective settings.

    :param config: a TOML file.
    :param overrides: nested like the file (`{"server": {"port": 1}}`), from the command line.
    :raises SettingsError: one line naming the setting, what is wrong, and what is meant probably.
    """
    return read_with_origins(config, overrides)[0]


def read_with_origins(
    config: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[Settings, Origins]:
    """As :func:`read`, and where each setting comes from."""
    origins = Origins(_file(config), _environment(), overrides or {})
    values = _merge(_merge(dict(origins.file), origins.environment), origins.command_line)
    try:
        return Settings.model_validate(values), origins
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {config}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {config} is not TOML: {error}") from error


def _environment() -> dict[str, Any]:
    """What the environment sets, nested; JSON for lists and objects."""
    _check_environment()
    fields: dict[str, Any] = {name: (info.annotation, info) for name, info in Settings.model_fields.items()}
    shape: type[BaseSettings] = create_model("Environment", __base__=BaseSettings, **fields)
    try:
        return EnvSettingsSource(shape, env_prefix=PREFIX, env_nested_delimiter="__")()
    except PydanticSettingsError as error:
        wrong = ", ".join(name for name in sorted(os.environ) if name.upper().startswith(PREFIX) and _not_json(name))
        raise SettingsError(f"lists and objects in the environment are written as JSON: {wrong}") from error


def _not_json(variable: str) -> bool:
    try:
        json.loads(os.environ[variable])
    except ValueError:
        return True
    return False


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def names() -> list[str]:
    """All settings as dotted names."""
    return list(_names(Settings, ""))


def _names(model: type[Section], prefix: str) -> Iterator[str]:
    for name, info in model.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from _names(section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def value_of(settings: Settings, name: str) -> Any:
    """The value of a setting by its dotted name; None for an unknown name."""
    found: Any = settings
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _check_environment() -> None:
    known = names()
    for variable in os.environ:
        if variable.upper().startswith(PREFIX):
            parts = variable[len(PREFIX) :].lower().split("__")
            name = ".".join(parts)
            if not any(name == k or name.startswith(f"{k}.") or k.startswith(f"{name}.") for k in known):
                raise SettingsError(f"unknown setting {variable} in the environment{_suggest(name, known)}")


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if not name.isprintable():
        name = ascii(name)
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name}{_suggest(name, names())}"
    message = f"setting {name}: {first['msg'].removeprefix('Value error, ')}"
    given = first.get("input")
    if isinstance(given, Mapping | BaseModel) or _is_secret(name):
        return message
    return f"{message} (got {given!r})"


def _is_secret(name: str) -> bool:
    return name.rpartition(".")[2] in ("client_secret", "password", "secret", "signing_key", "token")
