"""Parts of an array that reach over several blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def slices(chunks: Sequence[int]) -> list[slice]:
    """Where chunks of some lengths lie."""
    ends = np.cumsum(chunks).tolist()
    return [slice(end - length, end) for end, length in zip(ends, chunks, strict=True)]


def covering(chunks: Sequence[int], part: slice) -> tuple[list[int], int]:
    """Indices of the chunks that a part touches, and where the first of them begins."""
    places = slices(chunks)
    found = [i for i, own in enumerate(places) if own.start < part.stop and part.start < own.stop]
    return found, places[found[0]].start


def join(blocks: Sequence[Sequence[np.ndarray]], cut: tuple[slice, slice]) -> np.ndarray:
    """The rows and columns `cut` of neighbouring blocks (..., y, x), which are given row by row."""
    if len(blocks) == 1 and len(blocks[0]) == 1:
        return np.asarray(blocks[0][0][(..., *cut)])
    shape = tuple(part.stop - part.start for part in cut)
    out = np.empty((*blocks[0][0].shape[:-2], *shape), blocks[0][0].dtype)
    tops = slices([row[0].shape[-2] for row in blocks])
    lefts = slices([block.shape[-1] for block in blocks[0]])
    for top, row in zip(tops, blocks, strict=True):
        rows, own_rows = _meet(top, cut[0])
        for left, block in zip(lefts, row, strict=True):
            columns, own_columns = _meet(left, cut[1])
            out[..., rows, columns] = block[..., own_rows, own_columns]
    return out


def _meet(place: slice, part: slice) -> tuple[slice, slice]:
    """What a block and a part have in common, counted from the part's start and from the block's."""
    start, stop = max(place.start, part.start), min(place.stop, part.stop)
    return slice(start - part.start, stop - part.start), slice(start - place.start, stop - place.start)
