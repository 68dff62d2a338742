"""The catalog of a back-end: the collections of all its sources, and loading from them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from openeo_backend.catalog.address import open_address, open_source
from openeo_backend.catalog.bands import AssetBand, collection_bands, item_bands, pick_bands
from openeo_backend.catalog.bound import Least, least, published_area, refuse
from openeo_backend.catalog.describe import describe, dimension_names
from openeo_backend.catalog.documents import Documents, Door
from openeo_backend.catalog.exported import ExportedSource
from openeo_backend.catalog.fresh import KEPT, PAUSE
from openeo_backend.catalog.grd.load import load_grd, needs_imaging
from openeo_backend.catalog.handles import Handles
from openeo_backend.catalog.hrefs import Gate, is_url
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.levels import DIGITAL_NUMBERS
from openeo_backend.catalog.load import Assembler, Assembly
from openeo_backend.catalog.loads import Basis, Loaded, Loads
from openeo_backend.catalog.mosaic import Step, group
from openeo_backend.catalog.origins import provenance, summary
from openeo_backend.catalog.own import Result, Results, is_result, refuse_unfinished, source_of
from openeo_backend.catalog.published import Published
from openeo_backend.catalog.queryables import queryables
from openeo_backend.catalog.request import LoadRequest, Surroundings
from openeo_backend.catalog.search import Search, find, no_data
from openeo_backend.catalog.searches import uncollected
from openeo_backend.catalog.series import Series
from openeo_backend.catalog.sources import ItemQuery, Source, links
from openeo_backend.catalog.summaries import federated
from openeo_backend.catalog.viewer import Viewer, Withheld, not_found, place_of
from openeo_backend.cube import Cube
from openeo_backend.cube.extent import Interval, parse_area, parse_interval, parse_surroundings
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints
from openeo_backend.settings import CatalogSettings, CollectionSettings, SettingsError

#: Items from which the size of pixels is learned.
_SAMPLE = 20


class Catalog:
    """The collections of all sources, as one user sees them: at first as somebody unknown does.

    :param sources: paths and URLs of static catalogs, collections and STAC APIs.
    :param results: results of jobs that may be loaded.
    :param outside: the way out to addresses that users name; by default that to the sources.
    :raises SettingsError: for a source that cannot be used, in one line.
    """

    def __init__(
        self,
        sources: Iterable[str],
        settings: CatalogSettings,
        door: Door,
        results: Results | None = None,
        outside: Door | None = None,
    ) -> None:
        self._settings = settings
        self._door = door
        self._outside = outside or door
        self._buckets: Sequence[str] = settings.buckets
        self._results = results
        self._viewer = Viewer()
        self._handles = Handles(door, keeps=True)
        self._loads = Loads(settings.search_kept_seconds)
        opened = [
            open_source(address, door, settings.max_items, settings.search_seconds, settings.search_kept_seconds)
            for address in sources
        ]
        self._sources = [Published(source, settings.collections) for source in opened]
        self._places = [place_of(address) for address in sources]
        if settings.exports:
            exported = ExportedSource(settings.exports, door, settings.max_items)
            self._sources.append(Published(exported, settings.collections, grows=True))
        self._described: dict[str, tuple[float, dict[str, Any]]] = {}
        unknown = set(settings.collections) - {id for source in self._sources for id in source.source.ids()}
        if unknown and self._sources:
            raise SettingsError(
                f"catalog.collections names collections that no source has: {', '.join(sorted(unknown))}"
            )

    def seen_by(self, viewer: Viewer) -> Catalog:
        """The same catalog with the collections that somebody may see."""
        catalog = copy(self)
        catalog._viewer = viewer
        return catalog

    @property
    def differs(self) -> bool:
        """Whether users with different roles see different collections."""
        return any(settings.roles for settings in self._settings.collections.values())

    def ids(self) -> list[str]:
        """Ids of all collections that may be seen; of several with one id the first source's is meant."""
        by_id: dict[str, Published] = {}
        for source in self._sources:
            for id in source.ids():
                by_id.setdefault(id, source)
        return [id for id, source in by_id.items() if self._viewer.may(source.settings(id))]

    def is_taken(self, id: str) -> bool:
        """Whether there is a collection with an id, whoever may see it."""
        return any(id in source.ids() for source in self._sources)

    def is_of_operator(self, id: Any) -> bool:
        """Whether the operator, and no user, published a collection."""
        source = next((source for source in self._sources if id in source.ids()), None)
        return source is not None and not source.grows

    def collections(self) -> list[dict[str, Any]]:
        """All collections that may be seen, as openEO publishes them."""
        return [self.collection(id) for id in self.ids()]

    def collection(self, id: str) -> dict[str, Any]:
        """A collection as openEO publishes it, in STAC 1.0.0, with links to the outside only.

        :raises OpenEOError: CollectionNotFound, also for one that may not be seen.
        """
        source = self._source(id)
        until, known = self._described.get(id, (0.0, {}))
        if time.monotonic() >= until or source.grows:
            sample = source.sample(id)
            known = describe(source.collection(id), sample, source.settings(id), source.complete())
            known = federated(known) if self._settings.summaries == "federated" else known
            self._described[id] = (time.monotonic() + (KEPT if sample else PAUSE), known)
        return dict(known)

    def require(self, id: str) -> None:
        """Whether a collection may be loaded.

        :raises OpenEOError: CollectionNotFound; PermissionsInsufficient, with the roles that a user lacks.
        """
        source = next((source for source in self._sources if id in source.ids()), None)
        if source is None or not self._viewer.may(source.settings(id)):
            raise self._viewer.refuse(id, source.settings(id) if source else None)

    def queryables(self, id: str) -> dict[str, Any]:
        """What items of a collection can be filtered by, as JSON Schema without `$id`.

        :raises OpenEOError: CollectionNotFound.
        """
        source = self._source(id)
        return queryables(id, source.queryables(id), source.sample(id))

    def items(self, id: str, query: ItemQuery) -> list[Item]:
        """Items of a collection, the oldest first.

        :raises OpenEOError: CollectionNotFound.
        """
        return self._source(id).items(id, replace(query, most=self._settings.max_items))

    def items_elsewhere(self, id: str) -> str | None:
        """The address at which the STAC API that a collection comes from lists its items.

        :raises OpenEOError: CollectionNotFound.
        """
        source = self._source(id)
        if source.complete():
            return None
        return next((href for href in links(source.collection(id), "", "items") if is_url(href)), None)

    def load(self, id: str, request: LoadRequest, env: Surroundings) -> Cube:
        """A lazy cube of a collection of this back-end.

        :raises OpenEOError: CollectionNotFound, NoDataAvailable, TemporalExtentEmpty, ProcessParameterInvalid.
        """
        self.require(id)
        source = self._source(id)
        with uncollected():
            return self._load(source, id, request, env, source.settings(id), None if source.grows else self._handles)

    def reads(self) -> int:
        """How many blocks of pixels of collections were read so far, roughly: it grows with each."""
        return self._handles.reads

    def least(self, id: str, request: LoadRequest, hint: LoadHints) -> Least | None:
        """The least that loading a collection reads, told without searching items; None where that is not known.

        :raises OpenEOError: as `load`, but NoDataAvailable.
        """
        source = self._source(id)
        return self._loads.least(
            id, request, hint, source, lambda: _least(source, id, _search(request, hint), request, hint)
        )

    def load_url(self, url: str, request: LoadRequest, env: Surroundings) -> Cube:
        """A lazy cube of a STAC item, collection, catalog, API or search result; of own results without HTTP.

        :raises OpenEOError: as `load`, and for an address that cannot be read or is not STAC.
        """
        own = self._results.find(url, env.user, env.scratch) if self._results is not None else None
        if own is not None:
            return self._load_own(own, request, env)
        source, id = open_address(
            url, Documents(self._outside, seconds=self._settings.search_seconds), self._settings.max_items
        )
        refuse_unfinished(source.collection(id), url)
        mosaic = "none" if is_result(source.collection(id)) else CollectionSettings().mosaic
        settings = CollectionSettings(mosaic=mosaic)
        if not self.differs:
            return self._load(source, id, request, env, settings)
        return self._strange()._load(Withheld(source, self._withheld(), url), id, request, env, settings)

    def load_result(self, id: str, request: LoadRequest, env: Surroundings) -> Cube:
        """A lazy cube of the results of a job, by its id or the URL of its results.

        :raises OpenEOError: as `load_url`, and JobNotFound.
        """
        if is_url(id):
            return self.load_url(id, request, env)
        own = self._results.find(id, env.user, env.scratch) if self._results is not None else None
        if own is None:
            raise OpenEOError("JobNotFound", f"There is no job '{id[:80]}' of yours.", hint="See GET /jobs.")
        return self._load_own(own, request, env)

    def _load_own(self, own: Result, request: LoadRequest, env: Surroundings) -> Cube:
        id = str(own.collection["id"])
        return self._load(source_of(own), id, request, env, CollectionSettings(mosaic="none"))

    def _source(self, id: str) -> Published:
        for source in self._sources:
            if id in source.ids():
                if self._viewer.may(source.settings(id)):
                    return source
                break
        raise not_found(id)

    def _strange(self) -> Catalog:
        """The catalog with what files of addresses may be read that users name: nothing the operator opened for
        collections that not everybody may load."""
        catalog = copy(self)
        catalog._door, catalog._buckets = self._outside, ()
        return catalog

    def _withheld(self) -> dict[tuple[str | None, str], OpenEOError]:
        """Errors for the collections that may not be loaded, by their server and id there."""
        found: dict[tuple[str | None, str], OpenEOError] = {}
        for source, place in zip(self._sources, self._places, strict=False):
            for id, inner in source.names().items():
                if place is not None and not self._viewer.may(source.settings(id)):
                    found[place, inner] = self._viewer.refuse(id, source.settings(id))
        return found

    def _load(
        self,
        source: Source,
        id: str,
        request: LoadRequest,
        env: Surroundings,
        settings: CollectionSettings,
        handles: Handles | None = None,
    ) -> Cube:
        """:param handles: open files that loads share."""
        asked = self._loads.asked(id, request, env) if handles is not None else None
        known = self._loads.get(asked)
        if known is not None and not known.fits(request.most):
            known = None
        search = known.basis.search if known is not None else _search(request, env.hint)
        if known is None and not request.is_expected:
            _refuse_larger(source, id, search, request, env.hint)
        collection = source.collection(id)
        found = find(source, id, search, self._settings.max_items, lambda message: env.log("warning", message))
        sample = source.sample(id)
        if known is None or not known.basis.is_same(collection, sample, found):
            known = self._assembled(
                Basis(search, collection, sample, found), source, id, request, env, settings, handles
            )
            self._loads.put(asked, known)
        for message in known.told:
            env.log("info", message)
        return known.cube

    def _assembled(
        self,
        basis: Basis,
        source: Source,
        id: str,
        request: LoadRequest,
        env: Surroundings,
        settings: CollectionSettings,
        handles: Handles | None,
    ) -> Loaded:
        """A load made of what was found."""
        search, collection = basis.search, basis.collection
        gate = Gate(source.root, self._door.check, self._buckets)
        handles = handles or Handles(self._door)
        soft = (lambda message: env.log("warning", message)) if env.options.get("soft_errors") else None
        series = Series(gate, handles, soft)
        items = series.complete(basis.items)
        bands = _choose(collection, [*series.complete(_newest(basis.sample)), *_newest(items)], request, env.hint, id)
        items = series.unfold(items, bands, search.interval)
        steps = [step for step in group(items, settings.mosaic) if search.labels.contains(np.asarray(step.label))]
        steps = _with_bands(steps, bands)
        if not steps:
            raise no_data(source, id, search, ["The items in the extents have none of the bands asked for"])
        assembly = Assembly(
            steps=steps,
            bands=bands,
            kept=_needed(bands, env.hint.bands),
            gate=gate,
            handles=handles,
            area=search.area,
            near=search.near,
            where=search.lonlat(),
            margin=env.hint.margin,
            geobox=request.geobox,
            means=env.hint.means,
            overviews=settings.overviews,
            scaled=settings.apply_scale,
            names=dimension_names(collection),
            soft=soft,
            most=request.most,
        )
        origin = provenance(collection, id, steps, bands)
        if needs_imaging(steps):
            cube = load_grd(assembly, self._door)
            origin = replace(origin, coefficients=(DIGITAL_NUMBERS,))
            return Loaded(basis, cube.patch(provenance=origin), summary(id, cube, steps))
        assembler = Assembler(assembly)
        cube = assembler.cube()
        told = summary(id, cube, steps)
        if assembler.coarse is not None:
            size = assembler.coarse.factor
            told += [f"{id}: means of {size} x {size} pixels are read, from overviews where files have them."]
        is_sure = not (series.has_looked or assembler.has_looked)
        return Loaded(basis, cube.patch(provenance=origin), told, is_sure)


def _refuse_larger(source: Source, id: str, search: Search, request: LoadRequest, hint: LoadHints) -> None:
    """:raises OpenEOError: ProcessGraphComplexity, before items are searched, for a load of more than it may read."""
    expected = _least(source, id, search, request, hint) if request.most is not None else None
    if request.most is not None and expected is not None and expected.samples > request.most:
        raise refuse(expected.samples, request.most, f"{id}: {expected.describe()}", at_least=True)


def _least(source: Source, id: str, search: Search, request: LoadRequest, hint: LoadHints) -> Least | None:
    collection = source.collection(id)
    sample = _newest(source.sample(id))[:_SAMPLE]
    bands = _choose(collection, sample, request, hint, id)
    area = search.lonlat()
    unlimited = area is None and search.times() == Interval() and not search.properties
    if unlimited and not source.complete():
        area = published_area(collection)
    return least(area, bands, len(_needed(bands, hint.bands)), sample)


def _search(request: LoadRequest, hint: LoadHints) -> Search:
    labels = Interval()
    for interval in hint.temporal:
        labels = labels.meet(parse_interval(interval))
    near = [area for area in map(parse_surroundings, hint.spatial) if area is not None]
    return Search(
        area=parse_area(request.spatial_extent),
        near=near,
        interval=parse_interval(request.temporal_extent),
        labels=labels,
        properties=request.properties,
    )


def _newest(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.start, item.id), reverse=True)


def _choose(
    collection: Mapping[str, Any], items: Iterable[Item], request: LoadRequest, hint: LoadHints, id: str
) -> dict[str, AssetBand]:
    """The bands asked for, in order, with scale and offset as the collection has them.

    :param items: to learn from what the metadata of the collection leave out, the first one first.
    """
    available = collection_bands(collection, items)
    if request.bands is None:
        return {name: available[name] for name in _needed(available, hint.bands)}
    try:
        return {name: available[name] for name in pick_bands(request.bands, available)}
    except KeyError as error:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The collection '{id}' has no band {error}.",
            hint=f"Available: {', '.join(_labels(available))}.",
        ) from error


def _needed(bands: Mapping[str, AssetBand], hint: Iterable[str] | None) -> list[str]:
    """The bands that later filters keep; all where they say nothing or nothing that is there."""
    wanted = set(hint or ())
    return [name for name, band in bands.items() if {name, band.common_name} & wanted] or list(bands)


def _labels(available: Mapping[str, AssetBand]) -> list[str]:
    return [f"{name} ({band.common_name})" if band.common_name else name for name, band in available.items()]


def _with_bands(steps: Iterable[Step], bands: Mapping[str, AssetBand]) -> list[Step]:
    """The steps without items that have none of the bands, and without steps that have no items then."""
    kept = [
        Step(step.label, tuple(item for item in step.items if any(name in bands for name in item_bands(item))))
        for step in steps
    ]
    return [step for step in kept if step.items]
