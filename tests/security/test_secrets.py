"""T31: secrets are planted wherever there are any; then all that was written, stored and answered is searched."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accounting_server
import numpy as np
import pytest
import rasterio
import sqlalchemy
from affine import Affine
from cryptography.hazmat.primitives.asymmetric import rsa
from hostile_server import HostileServer
from hostile_server import Request as Asked
from live_server import Server, serving
from token_issuer import CLIENT, TokenIssuer, issuing

from openeo_backend.errors import OpenEOError
from openeo_backend.store.schema import metadata

SECRETS = {
    "signing key": "planted-signing-key-5f1b7c2e",
    "database password": "planted-database-93d2",
    "basic password": "planted-password-81c4",
    "S3 key": "PLANTEDAKIA0000000000",
    "S3 secret": "planted-s3-secret-000000000000000000000",
    "accounting secret": "s3cret&=ü",  # the one that the stand-in of the accounting service knows
    "opaque token": "planted-opaque-token-5502",
    "unknown token": "planted-unknown-token-1b3f",
    "asset token": "planted-asset-token-77ab",
    "password in a URL": "planted-url-password-4e21",
    "token in a URL": "planted-url-token-c0de",
}
ADD = {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}


def picture(folder: Path) -> bytes:
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
    with rasterio.open(folder / "a.tif", "w", transform=Affine(10, 0, 600_000, 0, -10, 5_700_000), **profile) as file:
        file.write(np.arange(1, 65, dtype="uint8").reshape(8, 8), 1)
    return (folder / "a.tif").read_bytes()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[HostileServer]:
    """Items whose assets have tokens, and storage that tells everybody everything it was sent."""
    content = picture(tmp_path)

    def answer(asked: Asked) -> None:
        path, _, query = asked.path.partition("?")
        if path == "/item.json":
            asked.send(item(server.url))
        elif path == "/a.tif" and SECRETS["asset token"] in query:
            first, _, last = asked.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            where = {"Content_Range": f"bytes {first}-{end}/{len(content)}"} if "Range" in asked.headers else {}
            asked.send(content[int(first) : end + 1], 206 if where else 200, Accept_Ranges="bytes", **where)
        else:
            asked.send(f"You sent {asked.path} {dict(asked.headers)} {SECRETS['S3 key']}".encode(), 403)

    with HostileServer(answer) as server:
        yield server


def item(url: str) -> dict[str, Any]:
    ring = [[4.43, 51.43], [4.45, 51.43], [4.45, 51.45], [4.43, 51.45], [4.43, 51.43]]
    token = SECRETS["asset token"]
    asset = {"type": "image/tiff; application=geotiff", "roles": ["data"], "eo:bands": [{"name": "B"}]}
    asset |= {"proj:shape": [8, 8], "proj:transform": [10, 0, 600_000, 0, -10, 5_700_000]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "i",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [4.43, 51.43, 4.45, 51.45],
        "properties": {"datetime": "2024-05-01T00:00:00Z", "proj:epsg": 32631},
        "links": [{"rel": "self", "href": f"{url}/item.json?sig={token}"}],
        "assets": {"B": {**asset, "href": f"{url}/a.tif?sv=1&sig={token}"}},
    }


@pytest.fixture(scope="module")
def provider() -> Iterator[TokenIssuer]:
    with issuing(rsa.generate_private_key(65537, 2048)) as issuer:
        issuer.people[SECRETS["opaque token"]] = {"sub": "eve"}
        yield issuer


@pytest.fixture
def database(postgresql: str, migrated_postgresql: str) -> str:
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_postgresql}"')  # type: ignore[call-overload]
    return f"{postgresql.replace('tests@', 'tests:' + SECRETS['database password'] + '@')}/{name}"


def planted(database: str, outside: HostileServer, provider: TokenIssuer, accounts: str, form: str) -> dict[str, str]:
    """Settings with a secret in each that may have one."""
    source = f"http://reader:{SECRETS['password in a URL']}@127.0.0.1:9/catalog?token={SECRETS['token in a URL']}"
    return {
        "STORE__URL": database,
        "STORE__SIGNING_KEY": SECRETS["signing key"],
        "AUTH__OIDC": json.dumps({"test": {"issuer": provider.url, "clients": [CLIENT]}}),
        "BILLING__ACCOUNTING__URL": accounts,
        "BILLING__ACCOUNTING__TOKEN_URL": f"{accounts}/token",
        "BILLING__ACCOUNTING__CLIENT_ID": "us",
        "BILLING__ACCOUNTING__CLIENT_SECRET": SECRETS["accounting secret"],
        "BILLING__TARIFF__SYNC_REQUEST": "1",
        "BILLING__TARIFF__JOB_START": "1",
        "CATALOG__SOURCES": json.dumps([source]),
        "CATALOG__BUCKETS": json.dumps(["private"]),
        "NET__ALLOW": json.dumps([outside.url.removeprefix("http://")]),
        "LOG__LEVEL": "debug",
        "LOG__FORMAT": form,
    }


class Client:
    """Asks, and keeps all answers in `told` but what users sent themselves: the graphs of their own jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.told: list[str] = []
        self.authorization = ""

    def __call__(self, method: str, path: str, body: Any = None, authorization: str | None = None) -> Any:
        url = path if path.startswith("http") else self._server.root + path
        headers = {"Authorization": authorization or self.authorization, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=300) as sent:
                raw, head = sent.read(), dict(sent.headers)
        except urllib.error.HTTPError as error:
            raw, head = error.read(), dict(error.headers)
        document = json.loads(raw) if "json" in head.get("Content-Type", "") and raw else {}
        if re.fullmatch("/jobs/[^/]+", path):
            document.pop("process", None)
        self.told.append(f"{head} {json.dumps(document) if document else raw.decode('latin-1')}")
        return document, head

    def finish(self, job: str) -> str:

        while (status := self("GET", f"/jobs/{job}")[0]["status"]) in ("queued", "running"):
            time.sleep(0.2)
        return str(status)


def graphs(outside: HostileServer) -> list[dict[str, Any]]:
    """One that works, with a token in its URL; one of storage that tells secrets; one with a password in its URL."""
    host = outside.url.removeprefix("http://")
    places = [
        f"{outside.url}/item.json?token={SECRETS['token in a URL']}",
        f"{outside.url}/denied.json?X-Amz-Signature={SECRETS['token in a URL']}",
        f"http://ada:{SECRETS['password in a URL']}@{host}/item.json",
    ]
    loads = [{"process_id": "load_stac", "arguments": {"url": place}, "result": True} for place in places]
    return [ADD, *({"l": load} for load in loads)]


def use(client: Client, outside: HostileServer, provider: TokenIssuer) -> None:
    """All that a user sees: metadata, failures, requests, jobs with their logs, results and files."""
    for path in ("/", "/me", "/collections", "/processes", "/file_formats", "/jobs", "/credentials/oidc", "/nowhere"):
        client("GET", path)
    jwt = provider.token()
    for token in (f"oidc/test/{jwt}", jwt, f"oidc/test/{SECRETS['opaque token']}", f"oidc/test/{jwt[:-5]}AAAAA"):
        client("GET", "/me", authorization=f"Bearer {token}")
    for word in (f"Bearer basic//{SECRETS['unknown token']}", f"Token {SECRETS['unknown token']}"):
        client("GET", "/me", authorization=word)
    jobs = []
    for graph in graphs(outside):
        process = {"process_graph": graph}
        client("POST", "/validation", process)
        client("POST", "/result", {"process": process})
        jobs.append(client("POST", "/jobs", {"process": process, "log_level": "debug"})[1]["OpenEO-Identifier"])
        client("POST", f"/jobs/{jobs[-1]}/results")
    assert [client.finish(job) for job in jobs] == ["finished", "finished", "error", "error"]
    for job in jobs:
        client("GET", f"/jobs/{job}/logs?level=debug")
        document, _ = client("GET", f"/jobs/{job}/results")
        links = [asset["href"] for asset in document.get("assets", {}).values()]
        links += [link["href"] for link in document.get("links", []) if link["rel"] in ("canonical", "item")]
        for link in links:
            client("GET", link)


@pytest.mark.parametrize("form", ["text", "json"])
def test_t31_secrets_are_nowhere_to_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    outside: HostileServer,
    provider: TokenIssuer,
    form: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS["S3 key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["S3 secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", outside.url)
    with accounting_server.running() as accounts:
        accounts.moods.append("500")
        settings = planted(database, outside, provider, accounts.address, form)
        settings |= {"CATALOG__SOURCES": "[]"}
        with serving(tmp_path / "s", None, "ada", SECRETS["basic password"], settings=settings) as server:
            client = Client(server)
            name = base64.b64encode(f"ada:{SECRETS['basic password']}".encode()).decode()
            access = client("GET", "/credentials/basic", authorization=f"Basic {name}")[0]["access_token"]
            client.told.clear()
            client.authorization = f"Bearer basic//{access}"
            client("GET", "/credentials/basic", authorization=f"Basic {name[:-4]}")
            use(client, outside, provider)
    log = (tmp_path / "s" / "log").read_text()
    assert "POST /openeo/1.2/jobs" in log
    assert ('"level": "info"' in log) == (form == "json")
    places = {"answers": "\n".join(client.told), "log": log, "database": rows(database)}
    places |= {
        str(file): file.read_bytes().decode("latin-1")
        for file in (tmp_path / "s" / "data").rglob("*")
        if file.is_file()
    }
    assert len(places) > 4, "files of results were kept"
    for what, secret in {**SECRETS, "access token": access, "basic credentials": name}.items():
        for place, text in places.items():
            where = text.find(secret)
            assert where < 0, f"{what} in {place}: ...{text[max(0, where - 300) : where + 100]}"


def rows(database: str) -> str:
    """All that is stored but what users sent themselves: the graphs of their jobs."""
    engine = sqlalchemy.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    found = []
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [column for column in table.columns if (table.name, column.name) != ("jobs", "process")]
            found += [f"{table.name}: {tuple(row)}" for row in connection.execute(sqlalchemy.select(*columns))]
    engine.dispose()
    assert any(row.startswith("job_logs: ") for row in found)
    return "\n".join(found)


def test_t31_errors_quote_addresses_without_their_secrets() -> None:
    """Whoever made the message: the first of several lines of defence, which a whole run does not tell apart."""
    password, token = SECRETS["password in a URL"], SECRETS["token in a URL"]
    error = OpenEOError("X", f"'https://ada:{password}@a.example/b?c=1&X-Amz-Signature={token}&d=2' is no file.")
    told = f"{error} {error.json()} {error.args}"
    assert password not in told
    assert token not in told
    assert "a.example/b?c=1&" in told
    assert "&d=2' is no file." in told


def test_t31_check_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: HostileServer, provider: TokenIssuer
) -> None:
    """Also where the database cannot be reached, whose URL holds the password."""
    nowhere = f"postgresql://tests:{SECRETS['database password']}@127.0.0.1:9/none"
    for name, value in planted(nowhere, outside, provider, outside.url, "text").items():
        monkeypatch.setenv(f"OPENEO_BACKEND__{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS["S3 key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["S3 secret"])
    command = [sys.executable, "-m", "openeo_backend.cli", "check", "--data-dir", str(tmp_path / "data")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    told = run.stdout + run.stderr
    assert "signing_key = (set, not shown)" in told
    assert "client_secret = (set, not shown)" in told
    assert "FAILED  database" in told
    for name, secret in SECRETS.items():
        assert secret not in told, name
