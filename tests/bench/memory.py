"""How memory grows with area: the peak above the base of a workload on squares of several sizes, by `POST /result`.

Each is computed by a node that was started for it. The season of a square of 8192 pixels is that of 4096 four times,
in files whose tiles point to the same bytes.

python tests/bench/memory.py [--workloads abd] [--sizes 2048,4096,8192] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import season
import ways
import workload as work
from rasterio.warp import transform_bounds

from openeo_backend.formats.tiff import read_tags

#: Pixels along the season that is there, and that others are multiples of.
SIDE = 4096
#: struct's letters of the types of TIFF's values, and what is told of sizes and tiles.
LETTERS = {3: "H", 4: "I", 16: "Q"}
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, OFFSETS, LENGTHS = 256, 257, 322, 323, 324, 325


def repeated(source: Path, folder: Path, times: int) -> None:
    """The season of a folder as one of so many times its side, unless it is there."""
    if (folder / "collection.json").exists():
        return
    bounds = transform_bounds(season.TILE.epsg, 4326, *season.TILE.extent(SIDE * times))
    west, south, east, north = bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    links = []
    for path in sorted(source.glob("item-*.json")):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            image = Path(asset["href"])
            copy = folder / image.parent.name / image.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(_tiled(image.read_bytes(), times))
            asset |= {"href": str(copy.resolve()), "proj:shape": [times * side for side in asset["proj:shape"]]}
        item |= {"bbox": bounds, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        (folder / path.name).write_text(json.dumps(item))
        links.append({"rel": "item", "href": (folder / path.name).resolve().as_posix()})
    for name in ("points.json", "places.json"):
        shutil.copy(source / name, folder / name)
    collection = json.loads((source / "collection.json").read_text()) | {"links": links}
    collection["extent"]["spatial"]["bbox"] = [bounds]
    (folder / "collection.json").write_text(json.dumps(collection))


def _tiled(image: bytes, times: int) -> bytes:
    """A TIFF whose image is repeated so many times to the right and below, without overviews."""
    tags = read_tags(image)
    values = {
        tag: struct.unpack(f"<{n}{LETTERS[kind]}", raw) for tag, (kind, n, raw) in tags.items() if kind in LETTERS
    }
    columns = values[WIDTH][0] // values[TILE_WIDTH][0]
    rows = values[HEIGHT][0] // values[TILE_HEIGHT][0]
    order = [row % rows * columns + column for row in range(times * rows) for column in list(range(columns)) * times]
    for tag, own in (
        (WIDTH, [times * values[WIDTH][0]]),
        (HEIGHT, [times * values[HEIGHT][0]]),
        (OFFSETS, [values[OFFSETS][number] for number in order]),
        (LENGTHS, [values[LENGTHS][number] for number in order]),
    ):
        tags[tag] = 4, len(own), struct.pack(f"<{len(own)}I", *own)
    image += b"\0" * (len(image) % 2)
    entries = struct.pack("<H", len(tags))
    for tag, (kind, count, raw) in sorted(tags.items()):
        room = raw.ljust(4, b"\0")
        if len(raw) > 4:
            room = struct.pack("<I", len(image))
            image += raw + b"\0" * (len(raw) % 2)
        entries += struct.pack("<HHI", tag, kind, count) + room
    return image[:4] + struct.pack("<I", len(image)) + image[8:] + entries + struct.pack("<I", 0)


def measure(name: str, size: int, folder: Path, threads: int) -> dict[str, Any]:
    """A workload once, at a node of its own."""
    with tempfile.TemporaryDirectory(prefix="openeo-memory-") as scratch:
        out = Path(scratch)
        settings = {"COMPUTE__THREADS": str(threads)}
        with ways.node(out / "node", [str(folder / "collection.json")], settings=settings) as node:
            node.settle(work.process(name, 256, folder))
            return node.result(work.process(name, size, folder), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default="abd")
    parser.add_argument("--sizes", default="2048,4096,8192", help="pixels along the squares")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "openeo-bench")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    base = options.data / f"tile-{SIDE}"
    season.tile(base, SIDE)
    times = -(-max(sizes) // SIDE)
    folder = options.data / f"tile-{SIDE * times}"
    repeated(base, folder, times)
    sys.stdout.write(
        f"Peak above the base in MB, CPU seconds; {options.threads} threads, load {os.getloadavg()[0]:.1f}.\n"
    )
    for name in options.workloads:
        found = [measure(name, size, folder, options.threads) for size in sizes]
        told = (f"{size}: {each['mb']:.0f} MB, {each['cpu']:.1f} s" for size, each in zip(sizes, found, strict=True))
        sys.stdout.write(f"{name}  {'; '.join(told)}; {found[-1]['mb'] / found[0]['mb']:.2f} times\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
