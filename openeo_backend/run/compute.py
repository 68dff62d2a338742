"""Where cubes are computed: the seam between a run and the machines it has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import dask
from dask.local import get_sync

from openeo_backend.cube import memory
from openeo_backend.errors import OpenEOError
from openeo_backend.settings import ComputeSettings

#: Seconds to wait for a scheduler to answer.
CONNECT_SECONDS = 15


@contextmanager
def computing(settings: ComputeSettings, threads: int | None = None, memory_mb: float | None = None) -> Iterator[None]:
    """Within, cubes are computed where the settings say, in as much memory as they say.

    Processes and writers learn of it by Dask's configuration only (`scheduler`, `num_workers`, and what
    :mod:`openeo_backend.cube.memory` reads), so that another kind of cluster is one more branch here.

    :param threads: how many compute at the same time, instead of what the settings say.
    :param memory_mb: memory to plan with, instead of what the settings say.
    :raises OpenEOError: InfrastructureBusy, when the cluster cannot be reached or has no workers; OutOfMemory, when
        its workers died of what they were to compute.
    """
    if settings.kind == "threads":
        planned = {memory.CONFIG: memory_mb or settings.memory_mb}
        with dask.config.set(planned, num_workers=threads or settings.threads):
            yield
        return
    # Only here: most back-ends have no cluster, and importing it takes a second.
    from distributed import Client

    if not settings.scheduler:
        raise OpenEOError("InfrastructureBusy", "There is no cluster to compute on: compute.scheduler is not set.")
    try:
        client = Client(settings.scheduler, timeout=CONNECT_SECONDS, set_as_default=False, name="openeo-run")
    except (OSError, TimeoutError) as error:
        raise _unreachable("does not answer") from error
    with client:
        there = sum(client.nthreads().values())
        if not there:
            raise _unreachable("has no workers")
        together = {memory.CONFIG: (memory_mb or settings.memory_mb) * len(client.nthreads())}
        with dask.config.set(together, scheduler=_Get(client), num_workers=min(there, threads or there)):
            yield


class _Get:
    """Computes keys of a graph as one task on one of the cluster's workers, in Dask's interface of schedulers.

    Each window of a result is such a task, so windows are computed side by side and what is under way is bounded by
    who asks. A task whose worker is lost goes to another one; after several losses the cluster gives up.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, graph: Any, keys: Any, **options: Any) -> Any:
        from distributed import KilledWorker

        work = graph.__dask_graph__() if hasattr(graph, "__dask_graph__") else graph
        # As bytes, since the client would look for tasks of its own in a graph.
        future = self._client.submit(_compute, cloudpickle.dumps((dict(work), keys)), key=f"openeo-{uuid.uuid4().hex}")
        try:
            return future.result()
        except KilledWorker as error:
            raise OpenEOError(
                "OutOfMemory",
                "Several workers of the cluster died of the same part of the computation, most likely for want of "
                "memory.",
                hint="Use a smaller extent, fewer dates or fewer bands.",
                status=500,
            ) from error
        finally:
            future.release()


def _compute(work: bytes) -> Any:
    """On a worker of the cluster: the values of keys of a graph."""
    graph, keys = cloudpickle.loads(work)
    return get_sync(graph, keys)


def _unreachable(what: str) -> OpenEOError:
    return OpenEOError("InfrastructureBusy", f"The cluster that computes {what}.", hint="Try again later.")
