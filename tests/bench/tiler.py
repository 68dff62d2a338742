"""titiler-openeo as it is served: uvicorn in its own environment, over the season's STAC API."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environments
from ways import Watch, family, free_port

#: Its defaults refuse the benchmark: most pixels; it loads stored numbers, as all do here.
SETTINGS = {
    "PROCESSING_MAX_PIXELS": "1000000000",
    "PROCESSING_MAX_ITEMS": "100",
    "PROCESSING_APPLY_SCALE_OFFSET": "false",
}
#: The largest image that fits into the memory of a usual machine: it holds all dates.
MOST = 2048


class Tiler:
    """A running titiler-openeo."""

    def __init__(self, root: str, pid: int) -> None:
        self.root, self.pid = root, pid

    def post(self, process: Mapping[str, Any]) -> bytes:
        """What POST /result answers."""
        token = base64.b64encode(b"test:test").decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer basic//{token}"}
        request = urllib.request.Request(f"{self.root}/result", json.dumps({"process": process}).encode(), headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"titiler-openeo: {error.code} {error.read()[:300].decode()}") from None

    def result(self, process: Mapping[str, Any], out: Path) -> dict[str, Any]:
        """POST /result, the file saved; figures of the server."""
        used = seconds(self.pid)
        with Watch(self.pid) as watch:
            start = time.perf_counter()
            content = self.post(process)
            wall = time.perf_counter() - start
        path = out / "peer.tif"
        path.write_bytes(content)
        return {"cpu": seconds(self.pid) - used, "wall": wall, "mb": watch.mb, "path": str(path)}


def seconds(pid: int) -> float:
    """CPU seconds of a family of processes, those that ended and were waited for among them."""
    total = 0
    for each in family(pid):
        try:
            text = Path(f"/proc/{each}/stat").read_text()
        except OSError:
            continue
        total += sum(map(int, text.rsplit(")", 1)[1].split()[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def adapted(process: Mapping[str, Any], size: int) -> dict[str, Any]:
    """A graph in its words: loads say how many pixels they want, bands in callbacks go by their places."""
    text = json.dumps(process["process_graph"])
    for node in process["process_graph"].values():
        for place, band in enumerate(node["arguments"].get("bands", ())):
            text = text.replace(f'"label": "{band}"', f'"index": {place}')
    graph = json.loads(text)
    for node in graph.values():
        if node["process_id"] == "load_collection":
            node["arguments"] |= {"width": size, "height": size}
            node["arguments"]["temporal_extent"] = [f"{d}T00:00:00Z" for d in node["arguments"]["temporal_extent"]]
    return {"process_graph": graph}


@contextmanager
def serving(folder: Path, stac: str) -> Iterator[Tiler]:
    """titiler-openeo over a STAC API; what it keeps lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "services.json").write_text("{}")
    port, python = free_port(), environments.python("titiler")
    names = {"STAC_API_URL": stac, "STORE_URL": str(folder / "services.json"), **SETTINGS}
    environment = environments.variables(**{f"TITILER_OPENEO_{name}": value for name, value in names.items()})
    command = [python, "-m", "uvicorn", "titiler.openeo.main:app", "--port", str(port), "--log-level", "warning"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    root = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{root}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise RuntimeError(f"titiler-openeo does not start: {(folder / 'log').read_text()[-500:]}")
        yield Tiler(root, server.pid)
    finally:
        server.kill()
        server.wait()
