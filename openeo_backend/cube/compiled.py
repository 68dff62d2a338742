"""Where compiled code comes from.

Kernels are functions that numba compiles, in modules of their own: importing numba takes half a second, which
processes that compute no pixels need not wait for. What is compiled is kept on disk, beside the module or in the
user's cache; where there is no place for it, nothing is compiled, and callers do the same with numpy.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any


@functools.cache
def kernels(module: str) -> Any:
    """A module of kernels by its name, or None where compiled code cannot be kept."""
    try:
        return import_module(module)
    except RuntimeError:  # numba's, when no folder for compiled code can be written to
        return None
