"""Loads that were made lately: the same items of a collection give the same lazy cube, which has no pixels yet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from openeo_backend.catalog.item import Item
from openeo_backend.catalog.latest import Latest
from openeo_backend.catalog.request import LoadRequest, Surroundings
from openeo_backend.catalog.search import Search
from openeo_backend.catalog.sources import Source
from openeo_backend.cube import Cube
from openeo_backend.graph import trace
from openeo_backend.graph.effects import LoadHints

T = TypeVar("T")

#: Most loads that are kept, most characters of what one asks for, most items and blocks that it has.
_MOST, _MOST_TEXT, _MOST_ITEMS, _MOST_BLOCKS = 64, 10_000, 100, 64


@dataclass(frozen=True, eq=False)
class Basis:
    """What a load is made of."""

    search: Search
    collection: Mapping[str, Any]
    sample: Sequence[Item]
    items: Sequence[Item]

    def is_same(self, collection: Mapping[str, Any], sample: Sequence[Item], items: Sequence[Item]) -> bool:
        """Whether these are the very same objects: what was read again is another."""
        if collection is not self.collection or sample is not self.sample or len(items) != len(self.items):
            return False
        return all(one is other for one, other in zip(items, self.items, strict=True))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A load that was made."""

    basis: Basis
    cube: Cube
    told: Sequence[str]
    """What the user is told."""

    is_sure: bool = False
    """Whether nothing but metadata made it: a file may be another one the next time."""

    until: float = 0.0
    """When it is made anew."""

    def fits(self, most: float | None) -> bool:
        """Whether it reads no more samples than it may."""
        return most is None or self.cube.data.size <= most


class Loads:
    """The latest loads, by what was asked and where in the graph.

    :param seconds: how long they are kept at most; 0 keeps none.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._kept: Latest[Loaded] = Latest(_MOST)
        self._leasts: Latest[tuple[Any, Any, Any]] = Latest(_MOST)

    def asked(self, id: str, request: LoadRequest, env: Surroundings) -> str | None:
        """What a load asks for; None where more than the metadata of its items decides on its cube."""
        if env.options.get("soft_errors"):  # it tells while it reads
            return None
        place = [vars(node) for node in trace.path()]  # errors of its blocks name it
        return self._text(id, request, env.hint, place)

    def _text(self, id: str, request: LoadRequest, hint: LoadHints, place: Sequence[Any]) -> str | None:
        if not self._seconds or request.properties or request.geobox is not None or hint.means is not None:
            return None
        extents = [request.spatial_extent, request.temporal_extent, request.bands]
        try:
            text = json.dumps([id, extents, hint.spatial, hint.temporal, hint.bands, hint.margin, place])
        except (TypeError, ValueError):  # a cube of geometries
            return None
        return text if len(text) <= _MOST_TEXT else None

    def least(self, id: str, request: LoadRequest, hint: LoadHints, source: Source, find: Callable[[], T]) -> T:
        """What `find` found out of a collection and its sample when the same was asked for, or finds now."""
        asked = self._text(id, request, hint, ())
        if asked is None:
            return find()
        collection, sample = source.collection(id), source.sample(id)
        known = self._leasts.get(asked)
        if known is None or known[0] is not collection or known[1] is not sample:
            known = (collection, sample, find())
            self._leasts.put(asked, known)
        found: T = known[2]
        return found

    def get(self, asked: str | None) -> Loaded | None:
        """What was loaded when the same was asked for."""
        known = self._kept.get(asked) if asked is not None else None
        return known if known is not None and self._clock() < known.until else None

    def put(self, asked: str | None, loaded: Loaded) -> None:
        """Keep a load, if it is small and sure to be the same again."""
        if asked is None or not loaded.is_sure or len(loaded.basis.items) > _MOST_ITEMS:
            return
        if loaded.cube.data.data.npartitions <= _MOST_BLOCKS:
            self._kept.put(asked, replace(loaded, until=self._clock() + self._seconds))
