"""A STAC API over a season, and its files over HTTP: python stac_api.py FOLDER prints its URL and serves until killed.

With --files items refer to files over HTTP, else to those on disk.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import season

CLASSES = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]


class Catalog:
    """Answers by path."""

    def __init__(self, folder: Path, root: str, over_http: bool) -> None:
        self.root, self.items, self.folder = root, season.items(folder), folder.resolve()
        if over_http:
            for asset in (asset for item in self.items for asset in item["assets"].values()):
                asset["href"] = f"{root}/files/{Path(asset['href']).relative_to(self.folder)}"
        self.collection = json.loads((folder / "collection.json").read_text())
        here = f"{root}/collections/{self.collection['id']}"
        links = {"self": here, "root": root, "parent": root, "items": f"{here}/items"}
        self.collection["links"] = [{"rel": rel, "href": href} for rel, href in links.items()]
        bands = list(self.items[0]["assets"])
        self.collection["summaries"] = {"eo:bands": [{"name": band} for band in bands]}
        box = self.collection["extent"]["spatial"]["bbox"][0]
        sides = {axis: {"type": "spatial", "axis": axis, "extent": box[n::2]} for n, axis in enumerate("xy")}
        time = {"type": "temporal", "extent": self.collection["extent"]["temporal"]["interval"][0]}
        self.collection["cube:dimensions"] = {**sides, "t": time, "bands": {"type": "bands", "values": bands}}

    def answer(self, path: str, query: dict[str, Any]) -> dict[str, Any] | None:
        parts = [part for part in path.split("/") if part]
        if not parts:
            return self._landing()
        if parts == ["conformance"]:
            return {"conformsTo": CLASSES}
        if parts == ["search"]:
            return self._search(query)
        if parts == ["collections"]:
            return {"collections": [self.collection], "links": []}
        if parts[:2] != ["collections", self.collection["id"]]:
            return None
        if len(parts) == 2:
            return self.collection
        return self._search(query) if len(parts) == 3 else self._search({"ids": parts[3:]})["features"][0]

    def _landing(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.root}, {"rel": "root", "href": self.root}]
        links += [{"rel": "data", "href": f"{self.root}/collections"}]
        links += [{"rel": "conformance", "href": f"{self.root}/conformance"}]
        for method in ("GET", "POST"):
            links.append(
                {"rel": "search", "href": f"{self.root}/search", "method": method, "type": "application/geo+json"}
            )
        about = {"type": "Catalog", "stac_version": "1.0.0", "id": "bench", "description": "Made up."}
        return {**about, "conformsTo": CLASSES, "links": links}

    def _search(self, query: dict[str, Any]) -> dict[str, Any]:
        first, _, last = str(query.get("datetime") or "../..").partition("/")
        last = last or first
        found = []
        for item in self.items:
            moment = item["properties"]["datetime"][:19]
            early, late = first not in ("", "..") and moment < first[:19], last not in ("", "..") and moment > last[:19]
            if not early and not late and (not query.get("ids") or item["id"] in query["ids"]):
                found.append(item)
        links = [{"rel": "root", "href": self.root}, {"rel": "self", "href": f"{self.root}/search"}]
        return {"type": "FeatureCollection", "features": found, "links": links, "numberReturned": len(found)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    catalog: Catalog

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path.startswith("/files/"):
            self._file(self.catalog.folder / where.path.removeprefix("/files/"))
        else:
            self._send(where.path, dict(parse_qsl(where.query)))

    do_HEAD = do_GET

    def _file(self, path: Path) -> None:
        """A file of the season, or the range of it that is asked for."""
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or size - 1), size - 1)
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Type", "image/tiff")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        if self.command == "GET":
            with path.open("rb") as file:
                file.seek(start)
                self.wfile.write(file.read(end - start + 1))

    def do_POST(self) -> None:
        self._send(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _send(self, path: str, query: dict[str, Any]) -> None:
        found = self.catalog.answer(path, query)
        content = json.dumps(found).encode()
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Type", "application/geo+json" if "features" in (found or {}) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        """Says nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    Handler.catalog = Catalog(Path(sys.argv[1]), address, "--files" in sys.argv)
    print(address, flush=True)
    server.serve_forever()
