"""What the terrain does to a radar image: local incidence, contributing area, layover and shadow, on plain arrays.

Grids are (y, x) with a margin around; facets are the pixels of the elevation model, on the tangent planes through
their neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.compiled import compile_loop

#: Parts of a facet along each side that are laid into the image.
_PARTS = 3


@dataclass(frozen=True, eq=False)
class Facets:
    """The terrain as the sensor sees it."""

    areas: np.ndarray
    """Area vectors in square metres, upright to the surface, (y, x, 3)."""

    sight: np.ndarray
    """Unit vectors to the sensor, (y, x, 3)."""

    @classmethod
    def of(cls, points: np.ndarray, sensor: np.ndarray, up: np.ndarray) -> Facets:
        """The facets of ECEF positions (y, x, 3), seen from `sensor` positions; `up` tells their outer side."""
        right, down = _slope(points, 1), _slope(points, 0)
        areas = np.cross(right, down)
        areas *= np.where(np.sum(areas * up, axis=-1) < 0, -1.0, 1.0)[..., None]
        sight = sensor - points
        sight /= np.sqrt(np.sum(sight**2, axis=-1))[..., None]
        return cls(areas, sight)

    @property
    def size(self) -> np.ndarray:
        """Area of each facet in square metres."""
        return np.asarray(np.sqrt(np.sum(self.areas**2, axis=-1)))

    @property
    def seen(self) -> np.ndarray:
        """Area across the line of sight in square metres; negative where the facet faces away."""
        return np.asarray(np.sum(self.areas * self.sight, axis=-1))

    def incidence(self) -> np.ndarray:
        """Local incidence angle in degrees."""
        return np.asarray(np.degrees(np.arccos(np.clip(self.seen / self.size, -1, 1))))


def angle_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The angle between unit vectors in degrees."""
    return np.asarray(np.degrees(np.arccos(np.clip(np.sum(one * other, axis=-1), -1, 1))))


def _slope(values: np.ndarray, axis: int) -> np.ndarray:
    """Change per pixel along an axis, one-sided at the edges."""
    if values.shape[axis] == 1:
        return np.zeros_like(values)
    return np.asarray(np.gradient(values, axis=axis))


def accumulate(
    areas: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], hidden: np.ndarray
) -> np.ndarray:
    """How much area of all facets falls into each pixel of a radar image (Small 2011, doi:10.1109/TGRS.2011.2120616).

    :param rows: where facets are seen in the image, (y, x), as `columns`.
    :param hidden: facets that are not seen.
    """
    slopes = _slope(rows, 1), _slope(rows, 0), _slope(columns, 1), _slope(columns, 0)
    compiled = compile_loop(_lay_all)
    if compiled is not None:
        found = np.zeros(shape)
        compiled(found, _PARTS, areas, rows, columns, *slopes, hidden)
        return found
    row_x, row_y, column_x, column_y = slopes
    known = [np.isfinite(values) for values in (row_x, row_y, column_x, column_y, areas)]
    usable = ~hidden & np.logical_and.reduce(known)
    total = np.zeros(shape[0] * shape[1])
    offsets = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    for v in offsets:
        for u in offsets:
            row = (rows + u * row_x + v * row_y)[usable]
            column = (columns + u * column_x + v * column_y)[usable]
            _lay(total, shape, row, column, areas[usable] / _PARTS**2)
    return total.reshape(shape)


def _lay_all(
    total: Any,
    parts: int,
    areas: Any,
    rows: Any,
    columns: Any,
    row_x: Any,
    row_y: Any,
    column_x: Any,
    column_y: Any,
    hidden: Any,
) -> None:
    """As :func:`accumulate`, facet by facet; to be compiled."""
    height, width = total.shape
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            area = areas[i, j] / parts**2
            slopes = row_x[i, j] + row_y[i, j] + column_x[i, j] + column_y[i, j]
            if hidden[i, j] or not np.isfinite(area + slopes + rows[i, j] + columns[i, j]):
                continue
            for p in range(parts):
                v = (p + 0.5) / parts - 0.5
                for q in range(parts):
                    u = (q + 0.5) / parts - 0.5
                    row = rows[i, j] + u * row_x[i, j] + v * row_y[i, j]
                    column = columns[i, j] + u * column_x[i, j] + v * column_y[i, j]
                    if not (-1 <= row < height and -1 <= column < width):
                        continue
                    top, left = int(np.floor(row)), int(np.floor(column))
                    down, along = row - top, column - left
                    for r in range(max(top, 0), min(top + 2, height)):
                        for c in range(max(left, 0), min(left + 2, width)):
                            share = (down if r > top else 1 - down) * (along if c > left else 1 - along)
                            total[r, c] += share * area


def _lay(total: np.ndarray, shape: tuple[int, int], row: np.ndarray, column: np.ndarray, area: np.ndarray) -> None:
    """Add areas to the four pixels around their places, the nearer ones more."""
    top, left = np.floor(row).astype("int64"), np.floor(column).astype("int64")
    down, along = row - top, column - left
    for step_row, step_column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = top + step_row, left + step_column
        weight = (down if step_row else 1 - down) * (along if step_column else 1 - along)
        inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
        total += np.bincount((r * shape[1] + c)[inside], (weight * area)[inside], minlength=len(total))


def distorted(
    heights: np.ndarray, incidence: np.ndarray, away: tuple[float, float], metres: float, margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in layover and in shadow, without the margin.

    Along the line of sight, with ground range g and height h, slant range is g sin(i) - h cos(i): a pixel is in layover
    where a farther one is not farther in slant range, or a nearer one not nearer. It is in shadow where a nearer one
    stands above the line to the sensor. The earth is flat within the margin.

    :param incidence: angle on the ellipsoid in degrees.
    :param away: direction away from the sensor in (rows, columns), one pixel long.
    :param metres: length of that step.
    """
    inner = (slice(margin, heights.shape[0] - margin), slice(margin, heights.shape[1] - margin))
    own, angle = heights[inner], np.radians(incidence[inner])
    sine, cosine = np.sin(angle), np.cos(angle)
    layover, shadow = np.zeros(own.shape, dtype=bool), np.zeros(own.shape, dtype=bool)
    for step in range(1, _reach(heights, angle, metres, margin) + 1):
        distance = step * metres
        farther = _shifted(heights, away, step, margin) - own
        nearer = _shifted(heights, away, -step, margin) - own
        layover |= (farther * cosine >= distance * sine) | (-nearer * cosine >= distance * sine)
        shadow |= nearer * sine > distance * cosine
    return layover, shadow


def _reach(heights: np.ndarray, angle: np.ndarray, metres: float, margin: int) -> int:
    """Steps within which differences of height can matter."""
    if not np.isfinite(heights).any() or not np.isfinite(angle).any():
        return 0
    relief = float(np.nanmax(heights) - np.nanmin(heights))
    steepest = min(math.tan(float(np.nanmin(angle))), 1 / math.tan(float(np.nanmax(angle))))
    return min(margin, math.ceil(relief / (metres * steepest)))


def _shifted(heights: np.ndarray, away: tuple[float, float], step: int, margin: int) -> np.ndarray:
    row, column = margin + round(away[0] * step), margin + round(away[1] * step)
    return heights[row : row + heights.shape[0] - 2 * margin, column : column + heights.shape[1] - 2 * margin]
