"""An HTTP server of a folder that sends ranges, as far away as one likes, and fails as told.

python range_server.py FOLDER SECONDS: prints its port, and serves until its input ends.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

Fault = Callable[[str, int], str | None]
"""What goes wrong with a request for a path, given how many there were for it before: None, a status, `short` (fewer
bytes than the headers say), `cut` (an answer with fewer bytes than asked for), `whole` (no ranges), `other` (another
part), `changed` (another ETag) or `to URL` (a redirect)."""


class RangeServer:
    """Serves the files of a folder.

    :param seconds: of waiting before each answer, and for each connection.
    """

    def __init__(self, folder: Path, seconds: float = 0.0, fault: Fault = lambda path, count: None) -> None:
        self.fault = fault
        self.asked: list[tuple[str, str, str]] = []
        self.at_once = self.most_at_once = 0
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                time.sleep(seconds)

            def do_GET(self) -> None:  # noqa: N802
                fault = server.note(self.command, self.path, self.headers.get("Range", ""))
                time.sleep(seconds)
                self.answer(folder / unquote(self.path.partition("?")[0]).lstrip("/"), fault)
                with server._lock:
                    server.at_once -= 1

            do_HEAD = do_GET  # noqa: N815

            def answer(self, path: Path, fault: str | None) -> None:
                if fault and fault.startswith("to "):
                    return self.send(302, {"Location": fault[3:]}, b"")
                if fault and fault.isdigit() or not path.is_file():
                    return self.send(int(fault or 404), {}, b"")
                size = path.stat().st_size
                headers = {"Accept-Ranges": "bytes", "ETag": '"changed"' if fault == "changed" else f'"{size}"'}
                first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
                if not first or fault == "whole":
                    return self.send(200, headers, path.read_bytes())
                start, end = int(first) + (fault == "other"), min(int(last or size), size - 1) - (fault == "cut")
                with path.open("rb") as file:
                    file.seek(start)
                    data = file.read(end + 1 - start)
                headers["Content-Range"] = f"bytes {start}-{end}/{size}"
                return self.send(206, headers, data, short=fault == "short")

            def send(self, status: int, headers: dict[str, str], data: bytes, short: bool = False) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data[: len(data) // 2] if short else data)
                self.close_connection |= short

            def log_message(self, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                return  # clients that hang up

        self._http = Server(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.request_queue_size = 128
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def note(self, command: str, path: str, part: str) -> str | None:
        with self._lock:
            self.asked.append((command, path, part))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            count, self._counts[path] = self._counts[path], self._counts[path] + 1
        return self.fault(path, count)

    def of(self, path: str) -> list[str]:
        """The ranges that were asked for of a path."""
        return [part for _, asked, part in self.asked if asked == path]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


if __name__ == "__main__":
    served = RangeServer(Path(sys.argv[1]), float(sys.argv[2]))
    sys.stdout.write(served.url + "\n")
    sys.stdout.flush()
    sys.stdin.read()
