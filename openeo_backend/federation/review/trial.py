"""What the checks need to have been done once: stored processes, jobs and requests of the review's own.

Each part happens when the first check asks for it, and what it made is deleted in the end.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from openeo_backend.errors import OpenEOError
from openeo_backend.federation.review import graphs, parts
from openeo_backend.federation.review.check import HOSTILE, Exchange, unexpected
from openeo_backend.federation.review.place import Place, choose, interval, labels, place_of, written
from openeo_backend.federation.review.rasters import read_netcdf
from openeo_backend.federation.review.record import Record
from openeo_backend.net.door import Reply
from openeo_backend.observe.clock import now

if TYPE_CHECKING:
    from openeo_backend.federation.review.node import Node

#: Processes and jobs made to see whether lists are whole.
MANY = 60
#: Pixels along a side of a file that is large enough for tiles and overviews.
MANY_PIXELS = 700
#: Collections that are loaded, where the declaration names none.
LOADED = 4
#: Longest wait for a synchronous request.
SYNC_SECONDS = 330
#: Requests without any answer after which no more are sent.
SILENCES = 2
#: How often a request is sent again that the back-end is too busy for.
TRIES = 5


class Trial:
    """The review's own use of a back-end.

    :param tag: how everything that it makes is named, so that nothing of the user's is touched.
    :param pause: how it waits.
    """

    def __init__(self, node: Node, *, tag: str | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        self.node = node
        self.pause = pause
        self.tag = tag or f"openeo_review_{secrets.token_hex(4)}"
        self._silences = 0
        self._made: dict[str, None] = {}
        self._computed: dict[str, tuple[Reply, Exchange]] = {}

    def account(self, name: str) -> str | None:
        """The token of a second account: the declaration names (`accounts.NAME`) the variable that holds it."""
        variable = self.node.declares("accounts", name)
        return os.environ.get(variable) if isinstance(variable, str) else None

    @property
    def place(self) -> Place:
        """Where the trial looks at data.

        :raises OpenEOError: CollectionNotFound.
        """
        if isinstance(self._chosen, OpenEOError):
            raise self._chosen
        return self._chosen

    @cached_property
    def _chosen(self) -> Place | OpenEOError:
        try:
            return choose(self.node)
        except HOSTILE as error:
            return unexpected(error)

    @property
    def many(self) -> int:
        """How many processes and jobs are made to see whether lists are whole (declaration: `trial.many`)."""
        number = self.node.declares("trial", "many")
        return number if isinstance(number, int) and number > 0 else MANY

    # ------------------------------------------------------------------------------------------- synchronous requests

    def compute(self, graph: graphs.Graph, **members: Any) -> Reply:
        """What `/result` answers to a process graph; the same one is computed once.

        :raises OpenEOError: where no answer comes.
        """
        body = {"process": {"process_graph": graph}, **members}
        key = json.dumps(body, sort_keys=True)
        if key not in self._computed:
            reply = self._send(body)
            self._computed[key] = reply, self.node.exchanges[-1]
        reply, exchange = self._computed[key]
        self.node.cite(exchange)
        return reply

    def _send(self, body: dict[str, Any]) -> Reply:
        if self._silences >= SILENCES:
            raise OpenEOError(
                "UnexpectedAnswer", f"POST /result gave no answer {SILENCES} times, and is asked no more."
            )
        for attempt in range(TRIES):
            try:
                reply = self.node.request("POST", "/result", body, auth=True, seconds=SYNC_SECONDS)
            except OpenEOError:
                self._silences += 1
                raise
            if reply.status not in (429, 503) or attempt == TRIES - 1:
                break
            self.pause(2.0 + 3 * attempt)
        return reply

    @property
    def netcdf(self) -> Reply:
        """The pixels of the place as netCDF."""
        return self.compute(graphs.chain(graphs.load(self.place), graphs.save("netCDF")))

    @cached_property
    def collections(self) -> list[str]:
        """Ids of the collections that are loaded (declaration: `trial.collections`)."""
        named = self.node.declares("trial", "collections")
        if isinstance(named, list) and named:
            return [str(id) for id in named]
        listed = sorted({str(entry["id"]) for entry in self.node.collections if entry.get("id")})
        first = self.place.collection
        return [first, *(id for id in listed if id != first)][:LOADED]

    def loaded(self, id: str) -> tuple[Place, Reply]:
        """Some pixels of a collection as netCDF: of some weeks, or of all its time where they have none.

        :raises OpenEOError: CollectionNotFound where its metadata do not say where and when there are data.
        """
        place = place_of(self.node, id)
        reply = self.compute(graphs.chain(graphs.load(place), graphs.save("netCDF")))
        start, end = interval(self.node.collection(id))
        if reply.status >= 400 and start is not None:
            place = replace(place, interval=(written(start), written((end or now()) + timedelta(seconds=1))))
            reply = self.compute(graphs.chain(graphs.load(place), graphs.save("netCDF")))
        return place, reply

    @property
    def five_bands(self) -> list[str]:
        """Five bands of the collection, where it has so many."""
        known = labels(self.node.collection(self.place.collection))
        return (
            [*self.place.bands, *(name for name in known if name not in self.place.bands)][:5] if len(known) > 4 else []
        )

    @property
    def large(self) -> Reply:
        """One band of the place as a GeoTIFF file with many small pixels."""
        place = self.place
        metres = (place.box[3] - place.box[1]) * 111_320 / MANY_PIXELS
        finer = {"projection": 3857, "resolution": round(metres, 3)}
        steps = graphs.flat(place, bands=place.bands[:1])
        return self.compute(graphs.chain(*steps, ("resample_spatial", finer), graphs.save("GTiff")))

    @property
    def dates(self) -> int:
        """How many dates the place has.

        :raises OpenEOError: FileContentInvalid, UnexpectedAnswer where nobody can know.
        """
        reply = self.netcdf
        if reply.status != 200:
            raise OpenEOError("UnexpectedAnswer", f"POST /result for netCDF answers with HTTP status {reply.status}.")
        return max((len(times) for times in read_netcdf(reply.content).times.values()), default=0)

    # ---------------------------------------------------------------------------------------- parts, each done once

    @cached_property
    def stored(self) -> Record:
        """Stored processes from their making to their deletion."""
        return parts.stored(self)

    @cached_property
    def drafts(self) -> Record:
        """Jobs that are never started: made, listed, described, deleted."""
        return parts.drafts(self)

    @cached_property
    def finished(self) -> Record:
        """A job that ends well, with its results and its log."""
        return parts.finished(self)

    @property
    def ended(self) -> dict[str, Any]:
        """The description of the job that ends well.

        :raises OpenEOError: UnexpectedAnswer where it does not.
        """
        reply = self.finished["described"]
        status = self.finished.polls[-1][0] if self.finished.polls else None
        if status != "finished":
            raise OpenEOError("UnexpectedAnswer", f"The trial did not come to this: the small job stays '{status}'.")
        return parts.opened(reply)

    @cached_property
    def failing(self) -> Record:
        """A job that fails while it computes, or is refused at its start."""
        return parts.failing(self)

    @cached_property
    def stopped(self) -> Record:
        """Three larger jobs, started at the same time and stopped as soon as one of them runs."""
        return parts.stopped(self)

    @cached_property
    def unpaid(self) -> Record:
        """A job of a user without credits, whose token the declaration names."""
        return parts.unpaid(self)

    # ----------------------------------------------------------------------------------------------------- the end

    def own(self, path: str) -> str:
        """A path to delete in the end."""
        self._made[path] = None
        return path

    def forget(self, path: str) -> None:
        """A path that needs not be deleted any more."""
        self._made.pop(path, None)

    def close(self) -> list[str]:
        """Delete what is left of the trial; the paths of what could not be deleted."""
        left = []
        self._find()
        for path in reversed(self._made):
            try:
                if not self._delete(path):
                    left.append(path)
            except OpenEOError:
                left.append(path)
        self._made.clear()
        return left

    def _find(self) -> None:
        """Own, by their titles, jobs that were made although the answer did not tell their ids, or never came."""
        if not {"drafts", "finished", "failing", "stopped"} & self.__dict__.keys():
            return
        try:
            listed = self.node.request("GET", "/jobs", auth=True).json()["jobs"]
            own = [str(job["id"]) for job in listed if str(job.get("title")).startswith(f"{self.tag} ")]
        except HOSTILE:
            return
        for id in own:
            self.own(f"/jobs/{id}")

    def _delete(self, path: str) -> bool:
        for attempt in range(TRIES):
            status = self.node.request("DELETE", path, auth=True).status
            if status < 300 or status == 404:
                return True
            if path.startswith("/jobs/"):
                self.node.request("DELETE", f"{path}/results", auth=True)
            self.pause(1.0 + attempt)
        return False
