"""From digital numbers of a radar image to backscatter: look-up tables, noise, interpolation, on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.compiled import compile_loop


@dataclass(frozen=True, eq=False)
class Table:
    """Values given at some pixels of some lines."""

    lines: np.ndarray
    """Rising."""

    pixels: tuple[np.ndarray, ...]
    """By line, rising."""

    values: tuple[np.ndarray, ...]

    def at(self, rows: slice, columns: slice) -> np.ndarray:
        """The values of a part of the image, (rows, columns), bilinear; beyond the table its outermost values."""
        wanted = np.arange(rows.start, rows.stop, dtype="float64")
        positions = np.arange(columns.start, columns.stop, dtype="float64")
        if len(self.lines) == 1:
            return np.broadcast_to(np.interp(positions, self.pixels[0], self.values[0]), (len(wanted), len(positions)))
        after = np.clip(np.searchsorted(self.lines, wanted), 1, len(self.lines) - 1)
        first, last = int(after.min(initial=1)) - 1, int(after.max(initial=1))
        along = np.stack(
            [np.interp(positions, self.pixels[index], self.values[index]) for index in range(first, last + 1)]
        )
        before = self.lines[after - 1].astype("float64")
        share = np.clip((wanted - before) / (self.lines[after] - before), 0, 1)[:, None]
        return np.asarray((1 - share) * along[after - 1 - first] + share * along[after - first])

    def points(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The values at fractional places of the image, bilinear; beyond the table its outermost values."""
        if len(self.lines) == 1:
            return np.asarray(np.interp(columns, self.pixels[0], self.values[0]))
        after = np.clip(np.searchsorted(self.lines, rows), 1, len(self.lines) - 1)
        found = np.full(rows.shape, np.nan)
        for index in np.unique(after):
            here = after == index
            span = float(self.lines[index] - self.lines[index - 1])
            share = np.clip((rows[here] - self.lines[index - 1]) / span, 0, 1)
            one, other = (np.interp(columns[here], self.pixels[i], self.values[i]) for i in (index - 1, index))
            found[here] = (1 - share) * one + share * other
        return found


@dataclass(frozen=True, eq=False)
class AzimuthNoise:
    """Factors along a rectangle of an image, by line."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    """First and last ones, both included."""

    lines: np.ndarray
    factors: np.ndarray


@dataclass(frozen=True, eq=False)
class Noise:
    """Thermal noise as intensity of digital numbers: a table across the swath, and factors along it."""

    table: Table
    blocks: Sequence[AzimuthNoise] = ()

    def at(self, rows: slice, columns: slice) -> np.ndarray:
        """The noise of a part of the image."""
        found = np.array(self.table.at(rows, columns))
        for block in self.blocks:
            top, bottom = max(rows.start, block.rows[0]), min(rows.stop, block.rows[1] + 1)
            left, right = max(columns.start, block.columns[0]), min(columns.stop, block.columns[1] + 1)
            if top < bottom and left < right:
                factors = np.interp(np.arange(top, bottom), block.lines, block.factors)
                place = (
                    slice(top - rows.start, bottom - rows.start),
                    slice(left - columns.start, right - columns.start),
                )
                found[place] *= factors[:, None]
        return found


def calibrate(numbers: np.ndarray, table: np.ndarray | None, noise: np.ndarray | None) -> np.ndarray:
    """Backscatter (linear) of digital numbers: (DN^2 - noise) / A^2, not below 0; NaN where the number is 0.

    :param table: A; None for 1, which leaves the intensity of the digital numbers.
    """
    power = numbers.astype("float64") ** 2
    if noise is not None:
        power = np.maximum(power - noise, 0)
    if table is not None:
        power = power / table**2
    return np.where(numbers == 0, np.nan, power)


def interpolate(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear values of an image at fractional rows and columns; NaN outside, and where one of the four is NaN."""
    compiled = compile_loop(_interpolate_all)
    if compiled is not None and rows.ndim == 2:
        out = np.empty(rows.shape)
        compiled(out, *(np.ascontiguousarray(values, "float64") for values in (image, rows, columns)))
        return out
    height, width = image.shape
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    row, column = np.where(inside, rows, 0), np.where(inside, columns, 0)
    top = np.minimum(row.astype("int64"), max(height - 2, 0))
    left = np.minimum(column.astype("int64"), max(width - 2, 0))
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, along = row - top, column - left
    # a weight of 0 takes no NaN from beyond an exact position
    found = np.zeros(row.shape)
    corners = ((top, left, (1 - down) * (1 - along)), (top, right, (1 - down) * along))
    for r, c, weight in (*corners, (bottom, left, down * (1 - along)), (bottom, right, down * along)):
        found += np.where(weight > 0, image[r, c] * weight, 0)
    return np.where(inside, found, np.nan)


def _interpolate_all(out: Any, image: Any, rows: Any, columns: Any) -> None:
    """As :func:`interpolate`, point by point; to be compiled."""
    height, width = image.shape
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            row, column = rows[i, j], columns[i, j]
            if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
                out[i, j] = np.nan
                continue
            top, left = min(int(row), max(height - 2, 0)), min(int(column), max(width - 2, 0))
            down, along = row - top, column - left
            found = 0.0
            for r, vertical in ((top, 1 - down), (top + 1, down)):
                for c, horizontal in ((left, 1 - along), (left + 1, along)):
                    if vertical * horizontal > 0:
                        found += image[r, c] * vertical * horizontal
            out[i, j] = found
