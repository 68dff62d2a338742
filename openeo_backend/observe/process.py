"""What each process has one of."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def one_per_process(make: Callable[[], T]) -> Callable[[], T]:
    """A function that gives what `make` made in this process: a fork does not have the threads of its parent."""

    @functools.cache
    def of(process: int) -> T:
        return make()

    return lambda: of(os.getpid())
