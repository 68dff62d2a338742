"""A folder over HTTP, with ranges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class Ranges(SimpleHTTPRequestHandler):
    """Whole files, or one range of their bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            super().do_GET()
            return
        size = path.stat().st_size
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or size) + 1, size)
        with path.open("rb") as file:
            file.seek(start)
            part = file.read(max(stop - start, 0))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{size}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
