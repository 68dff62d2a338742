"""Labels of dimensions between process graphs (JSON) and cubes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import shapely

from openeo_backend.cube.bounds import refuse_far
from openeo_backend.cube.cube import Cube
from openeo_backend.cube.dimension import Dimension, DimensionType
from openeo_backend.errors import OpenEOError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


def instant(text: Any) -> np.datetime64 | None:
    """The UTC instant that an RFC 3339 date or date-time text names, or None for anything else.

    Instants outside of the years 1678 to 2261 are not known as such.
    """
    if isinstance(text, np.datetime64):
        return text.astype("datetime64[ns]")
    if not isinstance(text, str) or not _DATE.fullmatch(text.strip()):
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "T"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return np.datetime64(moment, "ns") if 1678 <= moment.year <= 2261 else None


def to_json(label: Any) -> Any:
    """A label as process graphs see it: text, or a number; dates as ISO 8601 in UTC, geometries as WKT."""
    if isinstance(label, np.datetime64 | pd.Timestamp | datetime):
        stamp = pd.Timestamp(label)
        fraction = f".{stamp.microsecond:06d}".rstrip("0") if stamp.microsecond else ""
        return f"{stamp:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    if isinstance(label, np.generic):
        return label.item()
    if isinstance(label, shapely.Geometry):
        return shapely.to_wkt(label, rounding_precision=-1)
    return label


def labels_json(labels: Iterable[Any]) -> list[Any]:
    """All labels of a dimension as process graphs see them."""
    return [to_json(label) for label in labels]


def coordinate(labels: Sequence[Any], type: DimensionType = "other") -> np.ndarray:
    """The coordinate for labels from a process graph, of a dimension of a type.

    Dates become datetime64[ns] on temporal dimensions if all labels are dates, WKT becomes geometries on
    geometry dimensions; numbers and texts stay what they are (object dtype where mixed).

    :raises OpenEOError: ProcessParameterInvalid for labels that the type does not allow.
    """
    known = [to_json(label) for label in labels]
    if type == "temporal":
        instants = [instant(label) for label in known]
        if known and all(moment is not None for moment in instants):
            return np.asarray(instants, "datetime64[ns]")
    if type == "spatial" and not all(_is_number(label) for label in known):
        raise OpenEOError("ProcessParameterInvalid", f"Labels of spatial dimensions must be numbers, not {known}.")
    if type == "geometry":
        return _geometries(known)
    if known and all(_is_number(label) for label in known):
        numbers = np.asarray(known)
        if numbers.dtype.kind not in "iuf":  # whole numbers beyond 64 bits
            numbers = numbers.astype(np.float64)
        if type == "spatial":
            refuse_far(numbers, "Labels of spatial dimensions")
        return numbers
    texts = np.empty(len(known), dtype=object)
    texts[:] = known
    return texts


def _is_number(label: Any) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)


def _geometries(labels: Sequence[Any]) -> np.ndarray:
    shapes = np.empty(len(labels), dtype=object)
    try:
        shapes[:] = [shapely.from_wkt(label) for label in labels]
    except (shapely.GEOSException, TypeError) as error:
        message = f"Labels of geometry dimensions must be geometries as WKT: {error}."
        raise OpenEOError("ProcessParameterInvalid", message) from error
    refuse_far(shapely.get_coordinates(shapes), "Coordinates of geometries")
    return shapes


def positions(cube: Cube, dimension: str, labels: Sequence[Any]) -> list[int | None]:
    """Where each label is in a dimension; None for labels that it does not have.

    Dates are compared as instants, numbers by value, everything else as text.
    """
    known = {_key(label): index for index, label in reversed(list(enumerate(cube.labels(dimension))))}
    return [known.get(_key(label, known)) for label in labels]


def _key(label: Any, known: Any = ()) -> Any:
    label = to_json(label)
    if label in known:
        return label
    moment = instant(label)
    return label if moment is None else to_json(moment)


def number(label: Any) -> float:
    """A label as independent variable: numbers as they are, dates as seconds since 1970-01-01T00:00:00Z.

    :raises OpenEOError: ProcessParameterInvalid for other labels.
    """
    label = to_json(label)
    if _is_number(label):
        return float(label)
    moment = instant(label)
    if moment is None:
        raise OpenEOError("ProcessParameterInvalid", f"The label '{label}' is neither a number nor a date.")
    return float((moment - np.datetime64(0, "ns")) / np.timedelta64(1, "s"))


def temporal_dimension(cube: Cube, name: str | None = None) -> Dimension:
    """The temporal dimension called `name`, or the only one.

    :raises OpenEOError: DimensionNotAvailable, TooManyDimensions.
    """
    found = cube.of_type("temporal")
    if name is not None:
        if cube.dimension(name) not in found:
            raise OpenEOError("DimensionNotAvailable", f"The dimension '{name}' is not temporal.")
        return cube.dimension(name)
    if not found:
        raise OpenEOError("DimensionNotAvailable", "The data cube has no temporal dimension.")
    if len(found) > 1:
        raise OpenEOError(
            "TooManyDimensions",
            f"The data cube has several temporal dimensions: {', '.join(d.name for d in found)}.",
            hint="Name one of them in the parameter 'dimension'.",
        )
    return found[0]
