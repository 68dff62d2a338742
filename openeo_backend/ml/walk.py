"""Kernels that walk pixels through the trees of a forest; see :mod:`.trees` for the arrays.

Some hundred pixels go through one tree after the other, so that both stay in the processor's fastest cache. The first
levels are compared for all of them at once, without a jump; then all pixels take one step at a time, and those that
are at a leaf drop out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Pixels that walk together; a power of two, because a feature's ranks are found by a shift.
TOGETHER = 256

_LOW = np.uint64(0xFFFF)
_HALF = np.uint64(32)
_SHIFTED, _FEATURE = np.uint64(8), np.uint64(0xFFFF * TOGETHER)
_ONE = np.uint64(1)


@njit(nogil=True, cache=True, error_model="numpy")
def rank(values: Any, thresholds: Any, starts: Any, start: int, size: int, ranks: Any, valid: Any) -> None:
    """How many thresholds of its feature each value exceeds, and whether all values of a pixel are finite.

    A binary search whose steps are the same for all pixels, so that several go at a time.
    """
    low = np.empty(TOGETHER, np.uint32)
    for feature in range(values.shape[0]):
        own = thresholds[starts[feature] : starts[feature + 1]]
        pixels = values[feature, start : start + size]
        left = own.size
        low[:] = 0
        while left > 1:
            half = np.uint32(left >> 1)
            for i in range(size):
                below = own[np.uint64(low[i] + half - np.uint32(1))] < pixels[i]
                low[i] += half if below else np.uint32(0)
            left -= half
        for i in range(size):
            above = left == 1 and own[np.uint64(low[i])] < pixels[i]
            ranks[feature, i] = np.uint16(low[i] + (np.uint32(1) if above else np.uint32(0)))
            valid[start + i] &= np.isfinite(pixels[i])


@njit(nogil=True, cache=True, error_model="numpy")
def descend(ranks: Any, features: Any, limits: Any, right: Any, exit_: Any) -> None:
    """Which of the eight nodes of the fourth level each pixel comes to."""
    for node in range(7):
        limit, own, bits = limits[node], ranks[features[node]], right[node]
        for i in range(TOGETHER):
            bits[i] = own[i] > limit
    for i in range(TOGETHER):
        first = right[0, i]
        second = right[1, i] ^ (first & (right[1, i] ^ right[2, i]))
        left = right[3, i] ^ (second & (right[3, i] ^ right[4, i]))
        other = right[5, i] ^ (second & (right[5, i] ^ right[6, i]))
        exit_[i] = first * 4 + second * 2 + (left ^ (first & (left ^ other)))


@njit(nogil=True, cache=True, error_model="numpy")
def follow(ranks: Any, nodes: Any, leaves: Any, exits: Any, exit_: Any, size: int, at: Any, active: Any) -> None:
    """Walk pixels from the fourth level on to their leaves."""
    flat = ranks.reshape(-1)
    count = np.uint64(0)
    for i in range(np.uint64(size)):
        node = np.uint64(exits[np.uint64(exit_[i])])
        at[i] = node
        active[count] = i
        count += np.uint64(leaves[node] == 0)
    while count > np.uint64(0):
        left = np.uint64(0)
        for place in range(count):
            pixel = np.uint64(active[place])
            node = nodes[np.uint64(at[pixel])]
            above = flat[((node >> _SHIFTED) & _FEATURE) + pixel] > np.uint16(node & _LOW)
            child = (node >> _HALF) + np.uint64(above)
            at[pixel] = child
            active[left] = pixel
            left += np.uint64(leaves[child] == 0)
        count = left


@njit(nogil=True, cache=True, error_model="numpy")
def vote(leaves: Any, values: Any, at: Any, size: int, sums: Any) -> None:
    """Add what the leaves say: a full vote for one class, or a value per output."""
    for i in range(size):
        leaf = leaves[np.uint64(at[i])]
        if leaf > 0:
            sums[i, leaf - 1] += 1.0
        else:
            for output in range(values.shape[1]):
                sums[i, output] += values[-leaf - 1, output]


@njit(nogil=True, cache=True, error_model="numpy")
def add(pixels: Any, group: Any, sums: Any, valid: Any) -> None:
    """Add what the trees of a group say about pixels (features, pixels) to `sums` (pixels, outputs).

    :param group: the arrays of a :class:`.trees.Group`.
    :param valid: made false where any feature is not finite.
    """
    thresholds, starts, nodes, leaves, values, features, limits, exits = group
    ranks = np.zeros((pixels.shape[0], TOGETHER), np.uint16)
    right, exit_ = np.empty((7, TOGETHER), np.uint8), np.empty(TOGETHER, np.uint8)
    at, active = np.empty(TOGETHER, np.uint32), np.empty(TOGETHER, np.uint32)
    for start in range(0, pixels.shape[1], TOGETHER):
        size = min(TOGETHER, pixels.shape[1] - start)
        rank(pixels, thresholds, starts, start, size, ranks, valid)
        own = sums[start : start + size]
        for tree in range(exits.shape[0]):
            descend(ranks, features[tree], limits[tree], right, exit_)
            follow(ranks, nodes, leaves, exits[tree], exit_, size, at, active)
            vote(leaves, values, at, size, own)


@njit(nogil=True, cache=True, error_model="numpy")
def largest(sums: Any, count: float, out: Any) -> None:
    """The output with the largest mean of `count` votes, the first of equal ones."""
    for i in range(sums.shape[0]):
        best, found = -np.inf, 0
        for output in range(sums.shape[1]):
            value = sums[i, output] / count
            if value > best:
                best, found = value, output
        out[i] = found
