"""`make demo`: start a back-end on synthetic data and use it as a client does.

Writes demo-output/ and ends with status 0 only if every step worked. No process stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUT = Path("demo-output")
PORT = 8080
CROPS = "Crop-classification.tif"
LEAST_ACCURACY = 0.85
USER = PASSWORD = "demo"  # noqa: S105 - the user of the demo, on this machine only


def say(text: str) -> None:
    print(text, flush=True)


def free_port() -> int:
    """8080, or any other free port where that is taken."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")


def write_archive() -> Path:
    """The demo archive, with a progress bar, where it is absent; its folder."""
    from openeo_backend.catalog.demo.cache import ensure_archive
    from openeo_backend.cli.options import progress_bar

    started = time.monotonic()
    with progress_bar("Writing the demo archive") as advance:
        catalog = ensure_archive(None, advance)
    size = sum(file.stat().st_size for file in catalog.parent.rglob("*") if file.is_file())
    say(f"Demo archive: {size / 1e6:.0f} MB in {catalog.parent} ({time.monotonic() - started:.0f} s)")
    return catalog.parent


@contextlib.contextmanager
def server(port: int, data: Path) -> Iterator[str]:
    """A running back-end; ends with everything it started."""
    command = [sys.executable, "-m", "openeo_backend.cli", "serve", "--demo", "--port", str(port)]
    log = (OUTPUT / "server.log").open("w")
    process = subprocess.Popen(
        [*command, "--data-dir", str(data)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_healthy(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while time.monotonic() - started < 120:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}; see {OUTPUT / 'server.log'}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/openeo/1.2/health", timeout=5) as answer:
            if answer.status == 200:
                say(f"Server: healthy after {time.monotonic() - started:.1f} s at {url}")
                return
        time.sleep(0.2)
    raise SystemExit("the server did not become healthy in 120 s")


def process_of(name: str) -> dict[str, Any]:
    process: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return process


def compute_ndvi(connection: Any) -> None:
    """A synchronous request: monthly NDVI without clouds, as netCDF."""
    started = time.monotonic()
    target = OUTPUT / "ndvi_monthly_composite.nc"
    connection.download(process_of("ndvi_monthly_composite"), target)
    say(f"Synchronous: {target} ({target.stat().st_size / 1e6:.1f} MB) in {time.monotonic() - started:.1f} s")


def classify_crops(connection: Any) -> None:
    """A batch job: a random forest trained on the demo's reference polygons, as GeoTIFF with STAC metadata."""
    started = time.monotonic()
    job = connection.create_job(process_of("crop_classification"), title="Crop classification")
    job.start_and_wait(print=lambda text: say(f"  {text}"), max_poll_interval=3, connection_retry_interval=3)
    for entry in job.logs():
        say(f"  {entry['level']:7} {entry['message']}")
    results = job.get_results()
    paths = results.download_files(OUTPUT, include_stac_metadata=True)
    (OUTPUT / "job-results.json").replace(OUTPUT / "crop_classification.stac.json")
    if CROPS not in [path.name for path in paths]:
        raise SystemExit(f"the job did not publish {CROPS}, but {[path.name for path in paths]}")
    say(f"Batch job: {OUTPUT / CROPS} in {time.monotonic() - started:.1f} s")


def draw(archive: Path) -> None:
    """A picture of each result, and figures that show whether they make sense."""
    from pictures import accuracy, draw_crops, draw_ndvi

    crops = OUTPUT / CROPS
    say(draw_ndvi(OUTPUT / "ndvi_monthly_composite.nc", OUTPUT / "ndvi_monthly_composite.png"))
    say(draw_crops(crops, OUTPUT / "crop_classification.png"))
    share = accuracy(crops, archive / "reference" / "crops.geojson")
    say(f"Accuracy: {100 * share:.1f} % of the pixels of the validation fields have the right crop")
    if share < LEAST_ACCURACY:
        raise SystemExit(f"the classification is worse than {100 * LEAST_ACCURACY:.0f} %: something is wrong")


def main() -> None:
    import openeo

    OUTPUT.mkdir(exist_ok=True)
    archive = write_archive()
    with tempfile.TemporaryDirectory(prefix="openeo-demo-") as data, server(free_port(), Path(data)) as url:
        connection = openeo.connect(url)
        connection.authenticate_basic(USER, PASSWORD)
        collections = [collection["id"] for collection in connection.list_collections()]
        say(f"Collections: {', '.join(collections)}; {len(connection.list_processes())} processes")
        compute_ndvi(connection)
        classify_crops(connection)
    draw(archive)
    port = url.rpartition(":")[2]
    say(f"""
Results, pictures and metadata are in {OUTPUT}/.
Keep a server:   make serve          (or: .venv/bin/openeo-backend serve --demo --port {port})
Python:          import openeo
                 connection = openeo.connect("http://127.0.0.1:8080").authenticate_basic("demo", "demo")
Web Editor:      https://editor.openeo.org/?server=http://127.0.0.1:8080/openeo/1.2/""")


if __name__ == "__main__":
    main()
