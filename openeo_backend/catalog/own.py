"""Results of this back-end's own jobs as input: where they come from is handed in by whoever has the jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from openeo_backend.catalog.item import read_item
from openeo_backend.catalog.sources import FixedSource, Source
from openeo_backend.errors import OpenEOError
from openeo_backend.net.policy import shown, split


@dataclass(frozen=True)
class Result:
    """What a job made, as STAC whose assets are files on this machine."""

    address: str
    """Where users find it; without signature."""

    collection: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    root: Path
    """The folder of the files."""


class Results(Protocol):
    """Results by the id of their job, or by the URLs under which they are published."""

    def find(self, address: str, user: str | None, folder: Callable[[], Path]) -> Result | None:
        """The result at a URL, or of the job with an id; None for an address that is not one of ours.

        :param user: whose jobs may be loaded without a signed URL.
        :param folder: makes an empty folder for copies of files that are not on this machine.
        :raises OpenEOError: JobNotFound, JobNotFinished, ResultLinkExpired, PermissionsInsufficient.
        """


def source_of(result: Result) -> Source:
    """The items of a result as a source."""
    items = [read_item(document, result.address) for document in result.items]
    return FixedSource(result.collection, items, result.root)


def is_result(collection: Mapping[str, Any]) -> bool:
    """Whether a collection is the result of an openEO job: its dates are labels of a cube, not times of scenes."""
    return "openeo:status" in collection


def refuse_unfinished(collection: Mapping[str, Any], url: str) -> None:
    """Refuse the results of a job elsewhere that are not there (yet), as their `openeo:status` tells.

    :raises OpenEOError: JobNotFinished; where results may still come, its data ask for waiting (`waiting_for`).
        NoDataAvailable where that job has finished without any.
    """
    state = str(collection.get("openeo:status") or "finished").lower()
    if state == "finished":
        if is_result(collection) and _is_empty(collection):
            raise OpenEOError(
                "NoDataAvailable",
                f"The job whose results are at '{shown(url)}' has finished, but its results have no files to load.",
                hint="See the log of that job.",
            )
        return
    failed = state in ("error", "canceled")
    raise OpenEOError(
        "JobNotFinished",
        f"The results at '{shown(url)}' are those of a job that is '{state}'.",
        hint="Start that job again." if failed else "Wait until it has finished.",
        data=None if failed else {"waiting_for": url},
    )


def _is_empty(collection: Mapping[str, Any]) -> bool:
    leads_on = any(link.get("rel") in ("item", "items", "child") for link in collection.get("links") or ())
    return collection.get("type") == "Collection" and not collection.get("assets") and not leads_on


def perhaps_later(error: OpenEOError, url: str) -> OpenEOError:
    """The error of an address that cannot be read; one that leads to results still to come asks for waiting.

    Such addresses have `partial=true` in their query: who gave them to the graph knows that they are not there yet.
    """
    is_partial = ("partial", "true") in parse_qsl(split(url).query)
    if error.code != "UrlNotReachable" or not is_partial:
        return error
    return OpenEOError(error.code, error.message, hint=error.hint, data={"waiting_for": url})
