"""How large cubes may become, known before they are made, and how far coordinates may reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from openeo_backend.errors import OpenEOError

#: Most values of a cube that is computed block by block.
MOST_VALUES = 10**13

#: Most values that are made at once.
MOST_AT_ONCE = 2 * 10**8

#: Most labels of a dimension.
MOST_LABELS = 10**7

#: Largest coordinate, in any unit: a thousand times as far as the sun in metres.
FARTHEST = 1e14


def refuse_large(sizes: Mapping[Any, float], what: str, lazy: bool = True) -> None:
    """Refuse a cube before it is made.

    :param sizes: labels by dimension.
    :param what: what would make it, for the message.
    :param lazy: computed block by block rather than at once.
    :raises OpenEOError: ProcessGraphComplexity, with the numbers.
    """
    values, most = math.prod(sizes.values()), MOST_VALUES if lazy else MOST_AT_ONCE
    if values > most or max(sizes.values(), default=0) > MOST_LABELS:
        shape = " x ".join(f"{size:,.0f} {name}" for name, size in sizes.items())
        raise OpenEOError(
            "ProcessGraphComplexity",
            f"{what} would make a data cube of {shape}; at most {most:,} values with {MOST_LABELS:,} labels "
            "along a dimension are possible.",
            hint="Use a smaller extent, a coarser resolution, larger periods or windows, or fewer labels.",
        )


def refuse_many(count: float, most: int, what: str) -> None:
    """Refuse what is too many, before it is made.

    :raises OpenEOError: ProcessGraphComplexity, with the numbers.
    """
    if count > most:
        raise OpenEOError(
            "ProcessGraphComplexity",
            f"{count:,.0f} {what} are more than the {most:,} that are possible.",
            hint="Use larger steps, or a smaller cube.",
        )


def refuse_far(coordinates: np.ndarray, what: str) -> None:
    """Refuse coordinates that are no numbers, or so large that nothing can be computed with them.

    :param what: what has them, for the message.
    :raises OpenEOError: ProcessParameterInvalid.
    """
    with np.errstate(invalid="ignore"):
        is_near = np.abs(coordinates) <= FARTHEST
    if not is_near.all():
        worst = coordinates[~is_near].flat[0]
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"{what} must be numbers from {-FARTHEST:g} to {FARTHEST:g}, but one is {worst:g}.",
            hint="Give coordinates in the units of the reference system.",
        )
