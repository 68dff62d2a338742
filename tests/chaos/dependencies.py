"""What a back-end depends on, run on this machine behind fronts, and the lies that each of them may tell."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import shapely
from disturbed import Answer, Asked, Lie, instead

from openeo_backend.catalog.demo import Scenario
from openeo_backend.catalog.demo.archive import write_collections
from openeo_backend.catalog.demo.collections import sentinel2
from openeo_backend.catalog.demo.landscape import make_landscape

COLLECTION = "SENTINEL2_L2A"
BUCKET = "results"
#: Items in a page of search results.
PAGE = 3
HTML = Answer(200, {"Content-Type": "text/html"}, b"<html><body>It works!</body></html>")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_archive(folder: Path) -> None:
    """Six optical scenes of 192 x 192 pixels."""
    days = tuple(range(0, 60, 10))
    bands = ("B02", "B03", "B04", "B08", "SCL")
    scenario = Scenario(width=192, height=192, days=days, radar_days=(), bands=bands, neighbour=None, edge_every=0)
    write_collections(folder, scenario, make_landscape(scenario), [sentinel2(scenario)], lambda done, all: None)


class StacServer:
    """A STAC API over a folder; `public` is the URL that its documents name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                if path.startswith("/files/"):
                    self.file(server.folder / path.removeprefix("/files/"))
                    return
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self.answer(server.document(path, query))

            do_HEAD = do_GET

            def do_POST(self) -> None:
                self.answer(server.search(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

            def file(self, path: Path) -> None:
                if not path.is_file():
                    self.answer(None)
                    return
                content, status, told = path.read_bytes(), 200, {}
                if wanted := self.headers.get("Range"):
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
                    told, status = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}, 206
                    content = content[start : end + 1]
                self.send(status, content, {"Accept-Ranges": "bytes", "Content-Type": "image/tiff", **told})

            def answer(self, document: Any) -> None:
                status = 404 if document is None else 200
                self.send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

            def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Be quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = ("127.0.0.1", self._http.server_port)
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def _read(self, path: Path) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        place = path.parent.relative_to(self.folder)
        for asset in (document.get("assets") or {}).values():
            asset["href"] = f"{self.public}/files/{place}/{asset['href'].removeprefix('./')}"
        return document

    def _items(self) -> list[dict[str, Any]]:
        root = f"{self.public}/api/collections/{COLLECTION}"
        items = [self._read(path) for path in sorted(self.folder.glob("*/*/*.json"))]
        return [{**item, "links": [{"rel": "self", "href": f"{root}/items/{item['id']}"}]} for item in items]

    def _collection(self) -> dict[str, Any]:
        root = f"{self.public}/api"
        links = {"self": f"/collections/{COLLECTION}", "root": "/", "items": f"/collections/{COLLECTION}/items"}
        document = self._read(self.folder / COLLECTION.lower() / "collection.json")
        return {**document, "links": [{"rel": rel, "href": f"{root}{path}"} for rel, path in links.items()]}

    def document(self, path: str, query: Mapping[str, str]) -> Any:
        root = f"{self.public}/api"
        if path == "/api/":
            links = [{"rel": "search", "href": f"{root}/search", "method": method} for method in ("GET", "POST")]
            links.append({"rel": "data", "href": f"{root}/collections"})
            conforms = ["https://api.stacspec.org/v1.0.0/item-search"]
            return {"type": "Catalog", "id": "api", "description": "", "links": links, "conformsTo": conforms}
        if path == "/api/collections":
            return {"collections": [self._collection()], "links": []}
        if path == f"/api/collections/{COLLECTION}":
            return self._collection()
        if path == f"/api/collections/{COLLECTION}/items":
            return self.search({})
        return next((item for item in self._items() if path.endswith(f"/items/{item['id']}")), None)

    def search(self, body: Mapping[str, Any]) -> dict[str, Any]:
        found = self._items()
        if "intersects" in body:
            area = shapely.geometry.shape(body["intersects"])
            found = [item for item in found if area.intersects(shapely.geometry.shape(item["geometry"]))]
        if "datetime" in body:
            start, end = body["datetime"].split("/")
            times = [(item, item["properties"]["datetime"]) for item in found]
            found = [item for item, time in times if (start == ".." or time >= start) and (end == ".." or time <= end)]
        first = int(body.get("token", 0))
        page = found[first : first + PAGE]
        counts = {"numberMatched": len(found), "numberReturned": len(page)}
        answer: dict[str, Any] = {"type": "FeatureCollection", "features": page, "links": [], **counts}
        if first + PAGE < len(found):
            following = {"rel": "next", "href": f"{self.public}/api/search", "method": "POST"}
            answer["links"].append({**following, "body": {"token": str(first + PAGE)}, "merge": True})
        return answer


class S3:
    """moto's server in a process of its own."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", free_port())
        code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{self.address[1]}'])"
        command = [sys.executable, "-W", "ignore", "-c", code]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self) -> Any:
        """A client that goes straight to it."""
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.address[1]}", **keys)

    def open(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(self.address, 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self.client().create_bucket(Bucket=BUCKET)

    def objects(self) -> dict[str, str]:
        """Checksums (SHA-256) of all objects, by key, but for those that the node deletes meanwhile."""
        import hashlib

        from botocore.exceptions import ClientError

        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        found = {}
        for key in keys:
            try:
                body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                continue
            found[key] = hashlib.sha256(body).hexdigest()
        return found


def s3_environment(url: str) -> dict[str, str]:
    """What tells a back-end about an S3 server."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    return {**os.environ, **keys, "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}


def _changed(answer: Answer, body: Any) -> Answer:
    return instead(answer, json.dumps(body).encode())


def _is_object(asked: Asked) -> bool:
    return "?" not in asked.path and asked.path.count("/") > 1


def _forgetful(asked: Asked, _: random.Random) -> Answer:
    if asked.method == "PUT":
        return Answer(200, {"ETag": '"0123456789abcdef0123456789abcdef"'}, b"")
    return asked.pass_on()


def _flipped(asked: Asked, chance: random.Random) -> Answer:
    answer = asked.pass_on()
    if asked.method != "GET" or not _is_object(asked) or not answer.body or answer.status >= 300:
        return answer
    body = bytearray(answer.body)
    body[chance.randrange(len(body))] ^= 0xFF
    return instead(answer, bytes(body))


def _not_there(asked: Asked, _: random.Random) -> Answer:
    if asked.method in ("GET", "HEAD") and _is_object(asked):
        return Answer(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
    return asked.pass_on()


def _lists_nothing(asked: Asked, _: random.Random) -> Answer:
    answer = asked.pass_on()
    if asked.method != "GET" or "list-type" not in asked.path:
        return answer
    xml = f"<ListBucketResult><Name>{BUCKET}</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>"
    return instead(answer, f"{xml}</ListBucketResult>".encode())


def _keeps(asked: Asked, _: random.Random) -> Answer:
    if asked.method == "DELETE":
        return Answer(204, {}, b"")
    if asked.method == "POST" and "delete" in asked.path:
        return Answer(200, {"Content-Type": "application/xml"}, b"<DeleteResult></DeleteResult>")
    return asked.pass_on()


def _page(asked: Asked, _: random.Random) -> Answer:
    return HTML


S3_LIES: dict[str, Lie] = {
    "says stored, stores nothing": _forgetful,
    "one byte is another": _flipped,
    "denies objects": _not_there,
    "lists nothing": _lists_nothing,
    "says deleted, deletes nothing": _keeps,
    "a page instead": _page,
}


def _document(asked: Asked) -> tuple[Answer, Any]:
    answer = asked.pass_on()
    if "/files/" in asked.path or answer.status != 200:
        return answer, None
    return answer, json.loads(answer.body)


def _finds_nothing(asked: Asked, _: random.Random) -> Answer:
    answer, document = _document(asked)
    if isinstance(document, dict) and "features" in document:
        return _changed(answer, {"type": "FeatureCollection", "features": [], "links": []})
    if isinstance(document, dict) and "collections" in document:
        return _changed(answer, {"collections": [], "links": []})
    return answer


def _fewer(asked: Asked, _: random.Random) -> Answer:
    answer, document = _document(asked)
    if isinstance(document, dict) and "features" in document:
        return _changed(answer, {**document, "features": document["features"][:1], "links": []})
    return answer


def _no_more(asked: Asked, _: random.Random) -> Answer:
    answer, document = _document(asked)
    if isinstance(document, dict) and "features" in document:
        return _changed(answer, {**document, "links": []})
    return answer


def _hollow(asked: Asked, _: random.Random) -> Answer:
    answer, document = _document(asked)
    if not isinstance(document, dict) or "features" not in document:
        return answer
    hollow = [{**item, "properties": None, "assets": {"B04": None}} for item in document["features"]]
    return _changed(answer, {**document, "features": hollow})


def _moved(asked: Asked, _: random.Random) -> Answer:
    """Items that say that their pixels lie 30 m further east than they do."""
    answer, document = _document(asked)
    if not isinstance(document, dict) or "features" not in document:
        return answer
    for item in document["features"]:
        for holder in (item["properties"], *item["assets"].values()):
            if "proj:transform" in holder:
                holder["proj:transform"][2] += 30.0
    return _changed(answer, document)


def _unknown(asked: Asked, _: random.Random) -> Answer:
    return Answer(404, {"Content-Type": "application/json"}, b'{"code": "NotFound", "description": "No."}')


def _shifted(asked: Asked, chance: random.Random) -> Answer:
    answer = asked.pass_on()
    if "/files/" not in asked.path or len(answer.body) < 2:
        return answer
    by = chance.randrange(1, len(answer.body))
    return instead(answer, answer.body[by:] + answer.body[:by])


def _zeros(asked: Asked, _: random.Random) -> Answer:
    answer = asked.pass_on()
    return instead(answer, bytes(len(answer.body))) if "/files/" in asked.path else answer


def _whole(asked: Asked, _: random.Random) -> Answer:
    """The first bytes of a file, whatever bytes were asked for, and it says so."""
    answer = asked.pass_on()
    told = answer.headers.get("Content-Range")
    if told is None:
        return answer
    size = int(told.rpartition("/")[2])
    count = min(len(answer.body), size)
    return instead(answer, answer.body, Content_Range=f"bytes 0-{count - 1}/{size}")


STAC_LIES: dict[str, Lie] = {
    "finds nothing": _finds_nothing,
    "a part of what it says it has": _fewer,
    "keeps further pages back": _no_more,
    "hollow items": _hollow,
    "items are elsewhere than their files": _moved,
    "nothing is there": _unknown,
    "a page instead": _page,
    "bytes from elsewhere": _shifted,
    "zeros": _zeros,
    "another range than asked for": _whole,
}


def oidc_lies(other: Mapping[str, Any]) -> dict[str, Lie]:
    """Lies of an identity provider.

    :param other: a public key that is nobody's, as JWK without `kid`.
    """

    def other_keys(asked: Asked, _: random.Random) -> Answer:
        answer = asked.pass_on()
        if not asked.path.endswith("/jwks"):
            return answer
        known = json.loads(answer.body)["keys"]
        return _changed(answer, {"keys": [{**key, **other} for key in known]})

    def no_keys(asked: Asked, _: random.Random) -> Answer:
        answer = asked.pass_on()
        return _changed(answer, {"keys": []}) if asked.path.endswith("/jwks") else answer

    def denying(asked: Asked, _: random.Random) -> Answer:
        if asked.path.endswith("/userinfo"):
            return Answer(401, {"Content-Type": "application/json"}, b'{"error": "invalid_token"}')
        return asked.pass_on()

    return {"other keys": other_keys, "no keys": no_keys, "denies tokens": denying, "a page instead": _page}
