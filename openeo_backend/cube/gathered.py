"""Pixels that geometries select, handed on by blocks until all of a geometry are there.

Large ones wait in files, and come back one plane (a date of a band, for example) at a time: a geometry of the size of a
country does not fit into memory with all its dates and bands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openeo_backend.cube import spill
from openeo_backend.cube.inside import Selection


@dataclass(frozen=True, eq=False)
class Gathered:
    """Values of the selected pixels of one block, geometry by geometry."""

    ids: np.ndarray
    starts: np.ndarray
    """Where the pixels of each geometry start, and the last ones end."""

    others: tuple[int, ...]
    dtype: np.dtype
    values: np.ndarray | Path
    """(pixels, others), or a file of (others, pixels)."""

    def all_of(self, position: int) -> np.ndarray:
        """Values of a geometry's pixels (pixels, others), where they are in memory."""
        assert isinstance(self.values, np.ndarray)
        return self.values[self.starts[position] : self.starts[position + 1]]

    def at(self, position: int, place: tuple[int, ...]) -> np.ndarray:
        """Values of a geometry's pixels at one place of the others (pixels, 1, ...)."""
        if isinstance(self.values, np.ndarray):
            return self.all_of(position)[(slice(None), *(slice(i, i + 1) for i in place))]
        start, end = self.starts[position : position + 2].tolist()
        plane = int(np.ravel_multi_index(place, self.others)) if place else 0
        first = plane * int(self.starts[-1]) + start
        found = np.fromfile(self.values, self.dtype, end - start, offset=first * self.dtype.itemsize)
        return found.reshape(-1, *(1,) * len(self.others))

    def forget(self) -> None:
        """Delete the file, which nothing needs any more."""
        if isinstance(self.values, Path):
            self.values.unlink(missing_ok=True)


def gather(flat: np.ndarray, selection: Selection, chosen: np.ndarray, folder: Path | None) -> Gathered:
    """The values of a block (pixels, others) that the chosen geometries select.

    :param folder: for large ones; None keeps them in memory, and so does a folder that is not on this machine.
    """
    lengths = np.diff(selection.starts)[chosen]
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=int)])
    pixels = [selection.pixels[selection.starts[i] : selection.starts[i + 1]] for i in chosen]
    which = np.concatenate(pixels) if pixels else np.empty(0, int)
    others = flat.shape[1:]
    place = spill.place_for(flat.dtype, len(which) * math.prod(others) * flat.dtype.itemsize, folder)
    values: np.ndarray | Path = flat[which] if place is None else spill.write(_planes_of(flat, which), place)
    return Gathered(selection.ids[chosen], starts, others, flat.dtype, values)


def _planes_of(flat: np.ndarray, which: np.ndarray) -> Iterator[np.ndarray]:
    for place in np.ndindex(*flat.shape[1:]):
        yield flat[(slice(None), *place)][which]


def join(parts: Sequence[Gathered]) -> Iterator[tuple[int, Iterator[tuple[tuple[slice, ...], np.ndarray]]]]:
    """By geometry, ids in order: the number of its pixels, and their values by the places of the others they are for.

    Small ones come with all others at once, others one place after the other (pixels, 1, ...).
    """
    pieces: dict[int, list[tuple[Gathered, int]]] = defaultdict(list)
    for part in parts:
        for position, id in enumerate(part.ids.tolist()):
            pieces[id].append((part, position))
    for id in sorted(pieces):
        count = sum(int(part.starts[position + 1] - part.starts[position]) for part, position in pieces[id])
        yield count, _planes(pieces[id])


def _planes(pieces: Sequence[tuple[Gathered, int]]) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    others = pieces[0][0].others
    if not any(isinstance(part.values, Path) for part, _ in pieces):
        found = [part.all_of(position) for part, position in pieces]
        yield tuple(slice(None) for _ in others), found[0] if len(found) == 1 else np.concatenate(found)
        return
    for place in np.ndindex(*others):
        found = [part.at(position, place) for part, position in pieces]
        yield tuple(slice(i, i + 1) for i in place), np.concatenate(found)
