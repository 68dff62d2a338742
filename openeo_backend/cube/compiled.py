"""Where compiled code comes from.

Kernels are functions that numba compiles: modules of them, or single loops. Importing numba takes half a second, which
processes that compute no pixels need not wait for. What is compiled is kept on disk, beside the module or in the
user's cache; where there is no place for it, nothing is compiled, and callers do the same with numpy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any


@functools.cache
def kernels(module: str) -> Any:
    """A module of kernels by its name, or None where compiled code cannot be kept."""
    try:
        return import_module(module)
    except RuntimeError:  # numba's, when no folder for compiled code can be written to
        return None


@functools.cache
def compile_loop(loop: Callable[..., None], signature: str | None = None) -> Callable[..., None] | None:
    """A function that numba compiled, or None where compiled code cannot be kept.

    :param signature: the types that it is compiled for now; otherwise those that it is called with.
    """
    from numba import njit

    try:
        compiled: Callable[..., None] = njit(signature, nogil=True, cache=True, error_model="numpy")(loop)
    except RuntimeError:  # numba's, when no folder for compiled code can be written to
        return None
    return compiled
