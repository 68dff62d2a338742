"""Reference systems as users and catalogs give them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from odc.geo.crs import CRS
from pyproj.exceptions import ProjError

#: Longest text of a reference system; those in use have some thousand letters.
LONGEST = 50_000

#: What makes PROJ open a file of this machine; `@null` is the name for none.
_FILES = re.compile(
    r"(?i)(?:grids|file|model)\s*=\s*(?!@null(?:[\s+\"']|$))|init\s*=\s*(?!epsg:\d)|parameterfile|\bfile\"\s*,\s*\"value"
)


def read_crs(value: Any) -> CRS:
    """A reference system of places on the Earth, from an EPSG code (number or text), WKT, PROJ or PROJJSON.

    :raises ValueError: for anything else, and for one that refers to files.
    """
    if isinstance(value, Mapping):
        value = json.dumps(value, ensure_ascii=False)
    text = f"EPSG:{value}" if isinstance(value, int) or str(value).isdigit() else str(value)
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text):,} letters")
    if text.lstrip().startswith("{"):
        text = json.dumps(json.loads(text), ensure_ascii=False)  # no escapes
    if _FILES.search(text):
        raise ValueError("it refers to a file")
    try:
        crs = CRS(text)
        is_horizontal = crs.geographic or crs.projected
    except (ProjError, TypeError, RecursionError) as error:
        raise ValueError(str(error)[:200]) from error
    if not is_horizontal:
        raise ValueError("it is neither geographic nor projected")
    return crs
