"""Cases of processes that look at neighbours, geometries and other grids, and of radar images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from archive import (
    BANDS,
    DATES,
    EPSG,
    METRES,
    RADAR,
    TOP_OF_ATMOSPHERE,
    Archive,
    Window,
    digital_numbers,
    extent,
    grd,
    height,
    widen_pass,
)
from cases import KERNEL, N1, N2, Case, X, collection, compare, inside, kernel, means, pixels, raw, s2, steps, within
from graphs import Graph, callback, chain, load, node, over, parameter
from pyproj import Transformer
from results import Raster, value
from shapely import Polygon, box
from shapely.geometry.base import BaseGeometry

# -- geometries -----------------------------------------------------------------------------------------


def diamond(archive: Archive) -> list[BaseGeometry]:
    """Half of the tile."""
    n = archive.size
    return [Polygon([(n / 2, 0.2), (n - 0.2, n / 2), (n / 2, n - 0.2), (0.2, n / 2)])]


def fields(archive: Archive) -> list[BaseGeometry]:
    """A hundred fields of a square kilometre, and half of the tile."""
    step = archive.size / 10.5
    corners = [(step * (0.2 + i), step * (0.3 + j)) for i in range(10) for j in range(10)]
    return [*(box(x, y, x + 100, y + 100) for x, y in corners), *diamond(archive)]


def states(archive: Archive) -> list[BaseGeometry]:
    """Four squares of a third of the tile."""
    n = archive.size
    return [box(x * n, y * n, x * n + n / 3, y * n + n / 3) for x in (0.1, 0.55) for y in (0.05, 0.6)]


def by_geometry(archive: Archive, shapes: list[BaseGeometry]) -> np.ndarray:
    """Means (geometry, t, band), strip by strip."""
    found = np.full((len(shapes), len(DATES), len(BANDS)), np.nan)
    for number, shape in enumerate(shapes):
        left, top, right, bottom = (int(side) for side in shape.bounds)
        total, count = np.zeros(found.shape[1:]), np.zeros(found.shape[1:])
        bottom = min(bottom + 1, archive.size)
        for row in range(top, bottom, 512):
            window = Window(row, left, min(512, bottom - row), min(right + 1, archive.size) - left)
            values = archive.values(window)[..., inside(archive, window, shape)]
            total += np.nansum(values, axis=-1)
            count += np.count_nonzero(~np.isnan(values), axis=-1)
        with np.errstate(invalid="ignore"):
            found[number] = total / count
    return found


def _zonal(statistic: str, geometries: Any) -> Case:
    def check(archive: Archive, folder: Path) -> int:
        wanted = by_geometry(archive, geometries(archive))
        return compare(value(folder), np.moveaxis(wanted, 0, 1), 1e-4)

    return Case(
        "aggregate_spatial",
        lambda a: chain(
            s2(a),
            node("aggregate_spatial", data=N1, geometries=collection(a, *geometries(a)), reducer=over(statistic)),
            format="JSON",
        ),
        check,
        f"{statistic} of a hundred fields and of half of the tile",
    )


def _spatial_mean(archive: Archive, folder: Path) -> int:
    n = archive.size
    return compare(value(folder), np.moveaxis(by_geometry(archive, [box(0, 0, n, n)]), 0, 1), 1e-4)


def _labels(archive: Archive, folder: Path) -> int:
    found = json.loads((folder / "value.json").read_text())
    assert [label[:10] for label in found] == [date[:10] for date in DATES]
    return len(found)


def _trimmed(archive: Archive, folder: Path) -> int:
    """The bounding box of the diamond is the whole tile but for its lower and right half."""
    raster, n = Raster(folder), archive.size
    assert raster.shape == (n // 4 + 1, n // 4 + 1) or raster.shape == (n // 4, n // 4), raster.shape
    return pixels(within(raw, corner))(archive, folder)


def corner(archive: Archive) -> list[BaseGeometry]:
    """A sixteenth of the tile."""
    n = archive.size
    return [box(n // 2, n // 4, n // 2 + n // 4, n // 4 + n // 4)]


# -- other grids ----------------------------------------------------------------------------------------


def _warped(archive: Archive, folder: Path) -> int:
    """Bilinear values at places that are exact to 0.01 pixels either way; pixels beside missing ones are left out."""
    raster, total = Raster(folder), 0
    back = Transformer.from_crs(3857, EPSG, always_xy=True)
    west, _, _, north = extent(archive.size)
    for window in raster.windows(30):
        rows, columns = np.mgrid[: window.rows, : window.columns]
        at = raster.transform @ (columns + window.column + 0.5, rows + window.row + 0.5)
        x, y = back.transform(*at)
        column, row = (x - west) / METRES - 0.5, (north - y) / METRES - 0.5
        if row.min() < 2 or column.min() < 2 or max(row.max(), column.max()) > archive.size - 3:
            continue
        top, left = int(row.min()) - 1, int(column.min()) - 1
        part = Window(top, left, int(row.max()) + 3 - top, int(column.max()) + 3 - left)
        values = archive.values(part).reshape(-1, part.rows, part.columns)
        r, c = row - top, column - left
        i, j = r.astype(int), c.astype(int)
        down, along = r - i, c - j
        corners = np.stack([values[:, i + m, j + n] for m in (0, 1) for n in (0, 1)])
        weights = np.stack([(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along])
        wanted = (corners * weights[:, None]).sum(axis=0)
        apart = np.abs(raster.planes(window) - wanted)[np.isfinite(wanted)]
        assert (apart <= 0.01 + 0.02 * np.ptp(corners, axis=0)[np.isfinite(wanted)]).all(), apart.max()
        total += apart.size
    assert total
    return total


# -- radar ----------------------------------------------------------------------------------------------


def _radar(added: int) -> Any:
    """Backscatter against the geometry of the pass, on slopes of a degree: within some per cent."""

    def check(archive: Archive, folder: Path) -> int:
        widen_pass(archive.size)
        raster, total = Raster(folder), 0
        for window in raster.windows(20):
            rows, columns = np.mgrid[: window.rows, : window.columns]
            x, y = raster.transform @ (columns + window.column + 0.5, rows + window.row + 0.5)
            lon, lat = Transformer.from_crs(raster.crs, 4326, always_xy=True).transform(x, y)
            ground = grd.place(lon, lat, height(x, y) + 47.0)
            line, pixel = grd.locate(ground)
            incidence = _incidence(ground, lon, lat)
            found = raster.planes(window).reshape(len(DATES), -1, window.rows, window.columns)
            for index in range(len(DATES)):
                for place, band in enumerate(("vv", "vh")):
                    number = digital_numbers(index, band, line, pixel)
                    beta = (number**2 - grd.noise(line, pixel)) / grd.table("betaNought", 0, 0) ** 2
                    flat = beta * np.tan(incidence)
                    np.testing.assert_allclose(np.median(found[index, place] / flat), 1, atol=0.04)
                    np.testing.assert_allclose(found[index, place], flat, rtol=0.12)
                    total += flat.size
                if added:
                    assert (found[index, 2] == 1).all()
                    np.testing.assert_allclose(found[index, 3], np.degrees(incidence), atol=1.5)
        return total

    return check


def _incidence(ground: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    to_sensor = grd.ORBIT.position(grd.ORBIT.nearest(ground)) - ground
    to_sensor /= np.linalg.norm(to_sensor, axis=-1)[..., None]
    lam, phi = np.radians(lon), np.radians(lat)
    up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    return np.arccos((up * to_sensor).sum(axis=-1))


def _radar_graph(process: str) -> Any:
    return lambda a: chain(load(RADAR, ["vv", "vh"], a.box), node(process, data=N1))


KERNEL_NODE: Graph = {"kernel": KERNEL.tolist(), "factor": 1 / 256}
SQUARE = [{"dimension": name, "value": 128, "unit": "px"} for name in ("x", "y")]
AROUND = [{"dimension": name, "value": 4, "unit": "px"} for name in ("x", "y")]

SPATIAL = [
    Case(
        "dimension_labels",
        lambda a: chain(s2(a), node("dimension_labels", data=N1, dimension="t"), format=None),
        _labels,
    ),
    _zonal("mean", fields),
    Case(
        "filter_spatial",
        lambda a: chain(s2(a), node("filter_spatial", data=N1, geometries=collection(a, *diamond(a)))),
        pixels(within(raw, diamond)),
    ),
    Case(
        "mask_polygon",
        lambda a: chain(s2(a), node("mask_polygon", data=N1, mask=collection(a, *states(a)))),
        pixels(within(raw, states)),
    ),
    Case("apply_kernel", steps(node("apply_kernel", data=N1, **KERNEL_NODE)), pixels(kernel)),
    Case(
        "apply_neighborhood",
        steps(
            node(
                "apply_neighborhood",
                data=N1,
                process=callback(node("apply_kernel", data=parameter("data"), **KERNEL_NODE)),
                size=SQUARE,
                overlap=AROUND,
            )
        ),
        pixels(kernel),
        "a kernel in squares of 128 with 4 around",
    ),
    Case(
        "apply_polygon",
        lambda a: chain(
            s2(a),
            node("load_geojson", data=collection(a, *states(a))),
            node(
                "apply_polygon",
                data=N1,
                geometries=N2,
                process=callback(node("apply", data=parameter("data"), process=callback(node("multiply", x=X, y=2)))),
            ),
        ),
        pixels(within(lambda a, w: 2 * a.values(w), states)),
    ),
    Case(
        "aggregate_spatial_window",
        steps(node("aggregate_spatial_window", data=N1, reducer=over("mean"), size=[10, 10])),
        pixels(means(10), metres=100),
    ),
    Case("reduce_spatial", steps(node("reduce_spatial", data=N1, reducer=over("mean")), format="JSON"), _spatial_mean),
    Case(
        "resample_cube_spatial",
        lambda a: chain(s2(a, "SCL"), s2(a), node("resample_cube_spatial", data=N1, target=N2, method="near")),
        pixels(lambda a, w: a.values(w, ["SCL"])),
        "20 m to 10 m",
    ),
    Case(
        "resample_spatial",
        steps(node("resample_spatial", data=N1, projection=3857, resolution=15, method="bilinear")),
        _warped,
        "to EPSG:3857, bilinear",
    ),
    Case(
        "trim_cube",
        lambda a: chain(
            s2(a), node("mask_polygon", data=N1, mask=collection(a, *corner(a))), node("trim_cube", data=N2)
        ),
        _trimmed,
    ),
]

RADAR_CASES = [
    Case("sar_backscatter", _radar_graph("sar_backscatter"), _radar(0), "gamma0-terrain"),
    Case("ard_normalized_radar_backscatter", _radar_graph("ard_normalized_radar_backscatter"), _radar(2)),
]


def _dark(archive: Archive, folder: Path) -> int:
    """COST with the dark object of each band and date, 0.01 % of all valid pixels of the tile in bins of 0.0001."""
    zenith = np.cos(np.radians(90 - 55.0))
    raster, total = Raster(folder), 0
    haze = np.zeros((len(DATES), len(BANDS)))
    for i, date in enumerate(DATES):
        for j, band in enumerate(BANDS):
            with rasterio.open(archive.folder / "SCALE_L2A" / date[:10] / f"{band}.tif") as file:
                counts = np.bincount(file.read(1).ravel(), minlength=2**16)
            counts[0] = 0
            dark = int(np.argmax(np.cumsum(counts) >= 1e-4 * counts.sum()))
            haze[i, j] = dark * 0.0001 - 0.1 - 0.01 * zenith
    for window in raster.windows():
        toa = archive.values(window) * 0.0001 - 0.1
        wanted = np.maximum(0, (toa - haze[..., None, None]) / zenith)
        total += compare(raster.planes(window), wanted.reshape(-1, window.rows, window.columns), 2.5e-4)
    return total


OPTICAL_CASES = [
    Case(
        "atmospheric_correction",
        lambda a: chain(s2(a, id=TOP_OF_ATMOSPHERE), node("atmospheric_correction", data=N1, method=None)),
        _dark,
        "level 1, dark objects of the whole tile",
    ),
]
