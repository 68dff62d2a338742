"""Where the pixels of a grid lie in another one: exactly at control points, interpolated between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Positions of points, as rows and columns of the other grid in one array (2, ...), for x and y of any shape.
Exact = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Control:
    """Control points of a block of a grid, at some of its rows and columns, the first and the last among them."""

    rows: np.ndarray
    cols: np.ndarray
    """Fractional positions (control rows, control columns) in the other grid."""
    at_y: np.ndarray
    at_x: np.ndarray
    """The rows and columns of the block that they belong to."""


def control(x: np.ndarray, y: np.ndarray, exact: Exact, error: float, steps: Sequence[int]) -> Control | None:
    """Control points between which interpolated positions are wrong by at most `error` pixels; None where they are not.

    The error of bilinear interpolation over a cell is at most the sum of the errors along its two directions, and these
    are largest in the middle: both are measured in the middle of every edge and cell. The error of the middle of a
    cell alone would not do: in conformal projections those of the two directions cancel out there.

    :param x: coordinates of the centres of the columns, evenly spaced; `y`: of the rows.
    :param steps: distances of control points in pixels to try.
    """
    for step in steps:
        at_x, at_y = _knots(len(x), step), _knots(len(y), step)
        fine = exact(*np.meshgrid(_halves(x, at_x), _halves(y, at_y)))
        if not np.isfinite(fine).all():
            return None
        across = fine[:, :, 1::2] - (fine[:, :, :-2:2] + fine[:, :, 2::2]) / 2
        down = fine[:, 1::2] - (fine[:, :-2:2] + fine[:, 2::2]) / 2
        if np.abs(across).max() + np.abs(down).max() <= error:
            rows, cols = np.ascontiguousarray(fine[:, ::2, ::2])
            return Control(rows, cols, at_y, at_x)
    return None


def _knots(length: int, step: int) -> np.ndarray:
    """Every `step`th index and the last one; there are always two."""
    return np.append(np.arange(0, length - 1, step), length - 1) if length > 1 else np.array([0, 1])


def _halves(centres: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Coordinates of the knots and of the middles between them."""
    indices = np.empty(2 * len(knots) - 1)
    indices[::2] = knots
    indices[1::2] = (knots[1:] + knots[:-1]) / 2
    distance = (centres[-1] - centres[0]) / (len(centres) - 1) if len(centres) > 1 else 0.0
    return np.asarray(centres[0] + indices * distance)
