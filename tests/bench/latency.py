"""`make latency`: NDVI and median of a season on a server some way off, ours beside an odc-stac script; in turns.

The files lie behind a server on this machine that waits before each answer and for each connection, as if it were
50 ms away, and stands for S3, too (it does not look at signatures). docs/remote-data.md tells the result.

python tests/bench/latency.py [--size 1024] [--milliseconds 50] [--rounds 5] [--page]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import compare
import season
import workload as work
from turn import Meter

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "remote-data.md"
NAMES = {
    "ours": "ours",
    "script": "odc-stac script, a thread per core",
    "script-16": "odc-stac script, 16 threads",
    "ours-s3": "ours, S3",
    "script-s3": "odc-stac script, S3, a thread per core",
    "near": "ours, files on this machine",
}
Run = Callable[[Path, Path], Path]


def ours(size: int) -> Run:
    from openeo_backend.sandbox.gdal import gdal_environment

    os.environ.update(gdal_environment())
    from openeo_backend.run.engine import Engine
    from openeo_backend.run.execute import execute
    from openeo_backend.run.request import RunRequest
    from openeo_backend.settings import Settings

    def run(folder: Path, out: Path) -> Path:
        sources = {"sources": [str(folder / "collection.json")], "buckets": [f"tile-{size}"]}
        settings = {"catalog": sources, "net": {"allow": ["127.0.0.1"]}}
        engine = Engine.open(Settings.model_validate(settings))
        request = RunRequest(id="latency", process=work.process("a", size, folder), folder=out)
        outcome = execute(request, engine, lambda event: None)
        if outcome.error:
            raise RuntimeError(str(outcome.error))
        return next(path for path in sorted(out.iterdir()) if path.suffix == ".tif")

    return run


def script(size: int, threads: int | None = None) -> Run:
    """What a practitioner writes, with the options for data elsewhere that the libraries recommend."""
    import dask
    import odc.stac
    import pystac
    import xarray as xr  # noqa: F401
    from odc.geo.xr import write_cog  # noqa: F401 - registers the accessor

    odc.stac.configure_rio(cloud_defaults=True, GDAL_HTTP_MAX_RETRY=3)

    def run(folder: Path, out: Path) -> Path:
        items = [pystac.Item.from_dict(item) for item in season.items(folder)]
        west, south, east, north = season.TILE.extent(size)
        grid: dict[str, Any] = {"x": (west, east), "y": (south, north), "crs": season.TILE.epsg, "resolution": 10}
        with dask.config.set(scheduler="threads", **({"num_workers": threads} if threads else {})):
            data = odc.stac.load(items, bands=["B04", "B08"], chunks={"x": 1024, "y": 1024}, **grid).astype("float32")
            data = data.where(data != 0)
            ndvi = (data.B08 - data.B04) / (data.B08 + data.B04)
            result = ndvi.chunk(time=-1).median("time").compute()
        result.odc.write_cog(str(out / "script.tif"), overwrite=True, nodata=float("nan"))
        return out / "script.tif"

    return run


def turn(name: str, near: Path, far: Path, size: int, out: Path) -> dict[str, Any]:
    """One measurement in this process; the first run, on files of this machine, is for imports and compiled code."""
    run = script(size, 16 if name == "script-16" else None) if name.startswith("script") else ours(size)
    with tempfile.TemporaryDirectory(dir=out) as spare:
        run(near, Path(spare))
    with Meter() as meter:
        path = run(near if name == "near" else far, out)
    return {"wall": meter.wall, "cpu": meter.cpu, "mb": meter.peak - meter.base, "path": str(path)}


@contextmanager
def serving(folder: Path, seconds: float) -> Iterator[str]:
    command = [sys.executable, str(HERE.parent / "range_server.py"), str(folder), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def environment(name: str, url: str) -> dict[str, str]:
    """The variables for S3 at a server, as obstore and as GDAL know them."""
    if not name.endswith("-s3"):
        return dict(os.environ)
    found = os.environ | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    if name == "ours-s3":
        return found | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}
    host = url.removeprefix("http://")
    return found | {"AWS_S3_ENDPOINT": host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}


def moved(folder: Path, target: Path, url: str) -> None:
    """The season with its files at another place."""
    target.mkdir()
    for path in folder.glob("*.json"):
        text = path.read_text()
        if path.name.startswith("item-"):
            text = text.replace(f'"{folder.resolve()}/S2_', f'"{url}/S2_')
        (target / path.name).write_text(text.replace(str(folder.resolve()), str(target.resolve())))


def measure(options: argparse.Namespace) -> tuple[dict[str, dict[str, float]], str]:
    """Medians by implementation, with their ratios to ours in the same round; and how far the pixels are apart."""
    near = options.data / f"tile-{options.size}"
    season.tile(near, options.size)
    rounds: list[dict[str, dict[str, Any]]] = []
    apart = ""
    with tempfile.TemporaryDirectory() as scratch, serving(options.data, options.milliseconds / 1000) as url:
        http, s3 = Path(scratch) / "http", Path(scratch) / "s3"
        moved(near, http, f"{url}/{near.name}")
        moved(near, s3, f"s3://{near.name}")
        for number in range(options.rounds):
            found = {}
            for name in NAMES:
                out = Path(scratch) / f"{name}-{number}"
                out.mkdir()
                far = s3 if name.endswith("-s3") else http
                command = [sys.executable, __file__, "--turn", name, str(near), str(far), str(options.size), str(out)]
                run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(name, url))
                if run.returncode:
                    raise RuntimeError(f"{name}: {run.stderr[-2000:]}")
                found[name] = json.loads(run.stdout.splitlines()[-1])
                sys.stderr.write(f"round {number + 1} {name}: {found[name]['wall']:.2f} s\n")
            apart = compare.difference(Path(found["script"]["path"]), Path(found["ours"]["path"]), "a")
            rounds.append(found)
    medians = {}
    for name in NAMES:
        one = {key: statistics.median(each[name][key] for each in rounds) for key in ("wall", "cpu", "mb")}
        own = "ours-s3" if name.endswith("-s3") else "ours"
        one["ratio"] = statistics.median(each[name]["wall"] / each[own]["wall"] for each in rounds)
        medians[name] = one
    return medians, apart


def table(medians: dict[str, dict[str, float]], apart: str, options: argparse.Namespace) -> str:
    head = f"{options.size} x {options.size} pixels, 12 dates, 2 bands at {options.milliseconds:g} ms; "
    head += f"{options.rounds} rounds in turns, medians, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores."
    samples = 24 * options.size**2 / 1e6
    lines = [head, "", "| | wall s | CPU s | memory MB | Mpixel/s | wall to ours |", "|---|---|---|---|---|---|"]
    for name, title in NAMES.items():
        one = medians[name]
        rate = samples / one["wall"]
        lines.append(
            f"| {title} | {one['wall']:.2f} | {one['cpu']:.2f} | {one['mb']:.0f} | {rate:.0f} | {one['ratio']:.2f} |"
        )
    return "\n".join([*lines, "", f"Pixels of the script against ours: {apart}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--milliseconds", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-bench")
    parser.add_argument("--page", action="store_true", help="write the result into docs/remote-data.md")
    options = parser.parse_args()
    text = table(*measure(options), options)
    sys.stdout.write(text + "\n")
    if options.page:
        page = PAGE.read_text(encoding="utf-8")
        marks = r"(<!-- measured -->\n).*?(\n<!-- end -->)"
        PAGE.write_text(re.sub(marks, lambda match: f"{match[1]}{text}{match[2]}", page, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--turn"]:
        _, _, kind, here, there, pixels, target = sys.argv
        sys.stdout.write(json.dumps(turn(kind, Path(here), Path(there), int(pixels), Path(target))) + "\n")
    else:
        main()
