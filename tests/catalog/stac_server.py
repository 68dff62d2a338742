"""A small STAC API over a folder, with bbox, datetime, CQL2 and paging, static documents and assets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import shapely

PAGE = 3


class Server:
    """Serves a folder under /files, and the items of its TEST collection as a STAC API under /api."""

    def __init__(
        self, folder: Path, *, posts: bool = True, filters: bool = True, refuses: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.posts, self.filters = folder, posts, filters
        self.bodies: list[dict[str, Any]] = []
        self.listed = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                path, _, query = self.path.partition("?")
                if path.startswith("/files/"):
                    self.file(server.folder / path.removeprefix("/files/"))
                else:
                    self.answer(server.get(path, dict(part.split("=", 1) for part in query.split("&") if part)))

            do_HEAD = do_GET  # noqa: N815

            def do_POST(self) -> None:  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(body)
                refused = any(f'"{name}"' in json.dumps(body.get("filter")) for name in refuses)
                self.answer(server.search(body, "POST") if server.posts and not refused else None)

            def file(self, path: Path) -> None:
                if not path.is_file():
                    self.answer(None)
                    return
                content = path.read_bytes()
                start, end, status = 0, len(content) - 1, 200
                if self.headers.get("Range"):
                    first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
                    start, end, status = int(first), min(int(last or end), end), 206
                self.send_response(status)
                self.send_header("Accept-Ranges", "bytes")
                if status == 206:
                    self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
                self.send_header("Content-Length", str(end - start + 1))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content[start : end + 1])

            def answer(self, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def items(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted(self.folder.glob("*/item.json")):
            document = json.loads(path.read_text())
            for asset in document["assets"].values():
                asset["href"] = f"{self.url}/files/{path.parent.name}/{asset['href'].removeprefix('./')}"
            document["links"] = [{"rel": "self", "href": f"{self.url}/api/collections/TEST/items/{document['id']}"}]
            found.append(document)
        return found

    def collection(self) -> dict[str, Any]:
        document = json.loads((self.folder / "collection.json").read_text())
        root = f"{self.url}/api"
        document["links"] = [
            {"rel": "self", "href": f"{root}/collections/TEST"},
            {"rel": "root", "href": f"{root}/"},
            {"rel": "items", "href": f"{root}/collections/TEST/items"},
        ]
        return document

    def get(self, path: str, query: dict[str, str]) -> Any:
        root = f"{self.url}/api"
        if path == "/api/":
            methods = ["GET", "POST"] if self.posts else ["GET"]
            links = [{"rel": "search", "href": f"{root}/search", "method": method} for method in methods]
            links.append({"rel": "data", "href": f"{root}/collections"})
            conforms = ["https://api.stacspec.org/v1.0.0/item-search"]
            if self.filters:
                conforms += ["https://api.stacspec.org/v1.0.0/item-search#filter"]
                conforms += ["http://www.opengis.net/spec/cql2/1.0/conf/cql2-json"]
            return {"type": "Catalog", "id": "api", "description": "", "links": links, "conformsTo": conforms}
        if path == "/api/collections":
            return {"collections": [self.collection()], "links": []}
        if path == "/api/collections/TEST":
            return self.collection()
        if path == "/api/search":
            body: dict[str, Any] = {"collections": query["collections"].split(","), "limit": int(query["limit"])}
            if "bbox" in query:
                body["bbox"] = [float(side) for side in query["bbox"].replace("%2C", ",").split(",")]
            if "datetime" in query:
                body["datetime"] = query["datetime"].replace("%2F", "/").replace("%3A", ":")
            body["token"] = query.get("token", "0")
            return self.search(body, "GET")
        if path == "/api/collections/TEST/items":
            self.listed += 1
            body = {"collections": ["TEST"], "token": query.get("token", "0")}
            page = self.search(body, "GET")
            page["links"] = [{"rel": "collection", "href": f"{root}/collections/TEST"}]
            return page
        if path.startswith("/api/collections/TEST/items/"):
            return next((item for item in self.items() if item["id"] == path.rsplit("/", 1)[1]), None)
        return None

    def search(self, body: dict[str, Any], method: str) -> dict[str, Any]:
        found = [item for item in self.items() if item["collection"] in body["collections"]]
        area = shapely.geometry.shape(body["intersects"]) if "intersects" in body else None
        area = shapely.box(*body["bbox"]) if "bbox" in body else area
        if area is not None:
            found = [item for item in found if area.intersects(shapely.geometry.shape(item["geometry"]))]
        if "datetime" in body:  # closed at both ends, as the API specification says
            start, end = body["datetime"].split("/")
            times = [(item, item["properties"]["datetime"]) for item in found]
            found = [item for item, time in times if (start == ".." or time >= start) and (end == ".." or time <= end)]
        if "filter" in body:
            found = [item for item in found if self.holds(body["filter"], {"id": item["id"], **item["properties"]})]
        first = int(body.get("token", 0))
        answer: dict[str, Any] = {"type": "FeatureCollection", "features": found[first : first + PAGE], "links": []}
        if first + PAGE < len(found):
            following: dict[str, Any] = {"rel": "next", "href": f"{self.url}/api/search", "method": method}
            if method == "POST":
                following |= {"body": {"token": str(first + PAGE)}, "merge": True}
            else:
                kept = {"collections": ",".join(body["collections"]), "limit": "10", "token": str(first + PAGE)}
                kept |= {"bbox": ",".join(map(str, body["bbox"]))} if "bbox" in body else {}
                kept |= {"datetime": body["datetime"]} if "datetime" in body else {}
                following["href"] += "?" + "&".join(f"{key}={value}" for key, value in kept.items())
            answer["links"].append(following)
        return answer

    def holds(self, expression: dict[str, Any], properties: dict[str, Any]) -> bool:
        import cql2

        return bool(cql2.Expr(expression).matches({"properties": properties, **properties}))
