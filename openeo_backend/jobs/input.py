"""Results of jobs as input of other graphs, resolved without HTTP by the processes that compute."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from openeo_backend.catalog.own import Result
from openeo_backend.errors import OpenEOError
from openeo_backend.files.objects import open_objects
from openeo_backend.files.places import database_url, objects_place, open_signer
from openeo_backend.files.scoped import Scoped, refuse_outside
from openeo_backend.files.signing import Signer
from openeo_backend.net.policy import split
from openeo_backend.run import results
from openeo_backend.settings import Settings
from openeo_backend.store import trash
from openeo_backend.store.jobs import COMING, Job, not_found
from openeo_backend.store.store import Store

_ID = r"j-[0-9a-f]{32}"
_OWNED = re.compile(rf"/jobs/({_ID})/results/?$")
_SIGNED = re.compile(rf"/results/({_ID})/?$")
_ITEM = re.compile(rf"/results/({_ID})/([0-9]+)/items/([^/]+)$")


class OwnResults:
    """The results of all jobs of this back-end, opened when the first one is asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _store(self) -> Store:
        return Store.open(database_url(self._settings))

    @cached_property
    def _signer(self) -> Signer:
        return open_signer(self._settings)

    def find(self, address: str, user: str | None, folder: Callable[[], Path]) -> Result | None:
        """See :class:`openeo_backend.catalog.own.Results`.

        An address counts as ours by the id of the job, whatever the host in it is: a server has several names.
        """
        if re.fullmatch(_ID, address):
            return self._result(self._of(user, address), folder)
        parts = split(address)
        query = dict(parse_qsl(parts.query))
        if match := _OWNED.search(parts.path):
            is_known = self._store.jobs.owner(match[1]) is not None
            return self._result(self._of(user, match[1]), folder) if is_known else None
        if match := _SIGNED.search(parts.path):
            return self._shared(
                match[1], None, ("results", match[1], query.get("partial") and "partial"), query, folder
            )
        if match := _ITEM.search(unquote(parts.path)):
            return self._shared(match[1], match[3], ("item", *match.groups()), query, folder)
        return None

    def _of(self, user: str | None, id: str) -> Job:
        if user is None:
            raise not_found(id)
        return self._store.jobs.get(user, id)

    def _shared(
        self,
        id: str,
        item: str | None,
        signed: tuple[str | None, ...],
        query: Mapping[str, str],
        folder: Callable[[], Path],
    ) -> Result | None:
        """The result that a signed link leads to; None where the job is not of this back-end."""
        owner = self._store.jobs.owner(id)
        if owner is None:
            return None
        self._signer.verify([part or "" for part in signed], query)
        job = self._store.jobs.get(owner, id)
        if item is not None and signed[2] != str(job.result_attempt):
            raise OpenEOError("ResultLinkExpired", "What this link leads to was deleted or replaced by its owner.")
        return self._result(job, folder, item)

    def _result(self, job: Job, folder: Callable[[], Path], only: str | None = None) -> Result:
        if job.status != "finished" or job.result is None:
            raise _missing(job)
        place = self._place(job, folder)
        server = self._settings.server
        root = (server.public_url or f"http://{server.host}:{server.port}").rstrip("/")
        address = f"{root}/openeo/1.2/jobs/{job.id}/results"
        # What is derived from a result refers to it as a whole: single items have signed links only.
        links = results.Links(address, self._signer.now(), lambda name: (place / name).as_uri(), lambda id: address)
        found = [results.item(job, id, links) for id in results.items(job) if only in (None, id)]
        return Result(address, results.collection(job, links), [item for item in found if item], place)

    def _place(self, job: Job, folder: Callable[[], Path]) -> Path:
        """The folder with the files of a job; those in S3 are copied to this machine first."""
        prefix = trash.prefix(job.id, job.result_attempt)
        for file in (job.result or {}).get("files", []):
            refuse_outside(prefix + str(file["name"]), prefix)
        where = objects_place(self._settings)
        if not where.startswith("s3://"):
            return Path(where).absolute() / prefix
        objects = Scoped(open_objects(where), prefix)
        copies = folder()
        for file in (job.result or {}).get("files", []):
            if file.get("bbox"):
                with (copies / file["name"]).open("wb") as stream:
                    stream.writelines(objects.stream(prefix + file["name"]))
        return copies


def _missing(job: Job) -> OpenEOError:
    told: dict[str, Any] = {
        "error": (
            "JobNotFinished",
            f"The job '{job.id}' failed and has no results.",
            "See its log, then start it again.",
        ),
        "finished": ("ResultLinkExpired", f"The results of the job '{job.id}' were deleted.", "Start the job again."),
    }
    unfinished = (
        "JobNotFinished",
        f"The job '{job.id}' is {job.status}: it has no results yet.",
        "Wait until its status is 'finished'.",
    )
    code, message, hint = told.get(job.status, unfinished)
    data = {"waiting_for": job.id} if job.status in COMING else None
    return OpenEOError(code, message, hint=hint, data=data)
