"""Where in the graph a computation belongs, also when it runs later in another thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from openeo_backend.errors import NodeRef, OpenEOError

P = ParamSpec("P")
R = TypeVar("R")

_path: ContextVar[tuple[NodeRef, ...]] = ContextVar("openeo_node_path", default=())


def path() -> tuple[NodeRef, ...]:
    """The nodes being evaluated, from the outermost graph inwards."""
    return _path.get()


@contextmanager
def entered(nodes: tuple[NodeRef, ...]) -> Iterator[None]:
    """Evaluate at `nodes`: errors raised inside carry this path.

    Unexpected exceptions become an `Internal` error whose cause is the original, for the operator's log.
    """
    token = _path.set(nodes)
    try:
        yield
    except OpenEOError as error:
        raise error.at(nodes) from error.__cause__
    except (MemoryError, RecursionError, KeyboardInterrupt):
        raise
    except Exception as error:  # the boundary between processes' code and openEO errors
        message = f"The process failed unexpectedly ({type(error).__name__})."
        raise OpenEOError("Internal", message, hint="Please report this to the operator.", path=nodes) from error
    finally:
        _path.reset(token)


def located(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which is to run later (in a dask task), at the nodes being evaluated now: its attribute `nodes`."""
    nodes = path()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with entered(nodes):
            return function(*args, **kwargs)

    call.__dict__["nodes"] = nodes
    return call
