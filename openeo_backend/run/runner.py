"""Running requests in children: a crash, an out-of-memory kill or a deadline ends the child, never the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from openeo_backend.errors import NodeRef, OpenEOError
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.sandbox.child import Ending, NotStartedError, run_child
from openeo_backend.sandbox.forkserver import Forks, own
from openeo_backend.sandbox.pool import Pool
from openeo_backend.settings import Settings

Runner = Callable[[RunRequest, Callable[[Event], None], Callable[[], bool]], Outcome]


class ChildRunner:
    """Runs each request in a child of its own.

    :param target: what the child does ("module:function"): by default :func:`openeo_backend.run.child.work`.
    :param server: where children come from; by default a fork server of this process.
    :param ready: how many children are prepared in advance; requests that are plain share them.
    """

    def __init__(
        self,
        settings: Settings,
        target: str = "openeo_backend.run.child:work",
        server: Forks | None = None,
        ready: int = 0,
    ) -> None:
        self._settings = settings
        self._target = target
        self._server = server
        self._pool: Pool | None = None
        self._told = settings.model_dump_json()
        if ready:
            prepare = target.partition(":")[0] + ":prepare", {"settings": self._told}
            self._pool = Pool(server or own(), prepare, ready)
            self._pool.start()

    def __call__(
        self, request: RunRequest, on_event: Callable[[Event], None], is_cancelled: Callable[[], bool]
    ) -> Outcome:
        """Evaluate a request; files appear in its folder.

        :param on_event: log entries, progress and usage, in order, called in this thread.
        :param is_cancelled: True ends the run.
        """

        path: tuple[NodeRef, ...] = ()

        def forward(event: Mapping[str, Any]) -> None:
            nonlocal path
            if event["kind"] == "place":
                path = (NodeRef(**event["data"]),)
            else:
                on_event(Event(event["kind"], event["data"]))

        payload = {"settings": self._told, "request": request.json()}
        limits = (request.seconds, request.memory_mb)
        ending: Ending | None = None
        if self._pool is not None:
            with suppress(NotStartedError):
                goes_on = request.is_plain
                ending = self._pool.run(self._target, payload, forward, is_cancelled, *limits, goes_on=goes_on)
        if ending is None:
            ending = run_child(self._target, payload, forward, is_cancelled, *limits, self._server)
        if ending.kind == "done":
            assert ending.answer is not None
            return Outcome(**{**ending.answer, "files": tuple(ending.answer["files"])})
        if ending.kind == "cancelled":
            return Outcome(cancelled=True)
        return _ended(ending, request, self._settings, path)

    def close(self) -> None:
        """End the children that were prepared."""
        if self._pool is not None:
            self._pool.close()


def _ended(ending: Ending, request: RunRequest, settings: Settings, path: tuple[NodeRef, ...]) -> Outcome:
    """How a run without an answer ended, which was last at `path`.

    A run that took more than it may would do so again. What the system killed may have had bad neighbours, and
    what crashed bad luck: those are losses, which another attempt may survive.
    """
    lost = None
    hint = "Use a smaller extent, fewer dates or fewer bands, or ask for more with the job option 'memory'."
    if ending.kind == "deadline":
        error = OpenEOError(
            "RequestTimeout",
            f"The computation took longer than the {request.seconds:g} seconds it may take.",
            hint="Use a smaller extent, fewer dates or fewer bands, or a batch job with a larger max_runtime.",
        )
    elif ending.kind == "memory":
        error = OpenEOError(
            "OutOfMemory",
            f"The computation needed {ending.memory_mb:,.0f} MB of memory and more; it may take "
            f"{request.memory_mb:,.0f} MB.",
            hint=hint,
            status=400,
            data={"needed_mb": round(ending.memory_mb), "limit_mb": request.memory_mb},
        )
    elif ending.exit_code == -9:
        lost = "killed"
        limit = request.memory_mb or settings.compute.memory_mb
        error = OpenEOError(
            "OutOfMemory",
            "The computation was killed by the system, most likely because the machine ran out of memory: it held "
            f"{ending.memory_mb:,.0f} MB of {limit:,.0f} MB that it may take.",
            hint=hint,
            status=500,
            data={"needed_mb": round(ending.memory_mb), "limit_mb": limit},
        )
    else:
        lost = f"exit status {ending.exit_code}"
        error = OpenEOError("Internal", f"The computing process crashed ({lost}).", hint="Please tell the operator.")
    return Outcome(error={**error.at(path).json(), "status": error.status}, lost=lost)
