"""Processes of callbacks, given pixels of any kind for any of their parameters: a value or a refusal, no failure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from openeo_backend.cube.pixels import PixelArray, stack
from openeo_backend.errors import OpenEOError
from openeo_backend.processes import comparison, logic, math
from openeo_backend.processes.environment import Env
from openeo_backend.processes.registry import Registry

FLOATS = np.array([1.5, np.nan, 3], "float32")
INTEGERS = np.ma.MaskedArray(np.array([1, 2, 3], "uint8"), mask=[0, 1, 0])
TRUTH = np.ma.MaskedArray(np.array([True, False, True]), mask=[0, 0, 1])
TEXTS = np.array(["a", None, "2025-01-01"], dtype=object)
ODD: dict[str, Any] = {
    "floats": FLOATS,
    "integers": INTEGERS,
    "truth": TRUTH,
    "texts": TEXTS,
    "dates": np.array(["2025-01-01"] * 3, "M8[ns]"),
    "array": stack([FLOATS, INTEGERS]),
    "longer": stack([FLOATS, 1e300, 10**30]),
    "mixed": stack([FLOATS, "2025-05-01"]),
    "mixed truth": stack([TRUTH, "x"]),
    "array of texts": stack([TEXTS, TEXTS]),
    "number": 1,
    "text": "x",
    "null": None,
    "list": [1, "a", None],
}
#: Arguments of these are no pixels, or computed elsewhere.
APART = frozenset({"datacube", "raster-cube", "vector-cube", "process-graph", "ml-model"})
OUTSIDE = ("load_", "inspect")


def schemas(parameter: Any) -> list[Any]:
    schema = parameter["schema"]
    return schema if isinstance(schema, list) else [schema]


def cases(spec: Any) -> Iterator[dict[str, Any]]:
    needed = [p["name"] for p in spec["parameters"] if not p.get("optional")]
    for values in product(ODD.values(), repeat=min(len(needed), 2)):
        first = dict(zip(needed, values, strict=False)) | {name: FLOATS for name in needed[2:]}
        yield first
    for option, value in product([p["name"] for p in spec["parameters"] if p.get("optional")], ODD.values()):
        for array in (ODD["array"], ODD["mixed"], [1, 2]):
            yield {**dict.fromkeys(needed, 1), **({needed[0]: array} if needed else {}), option: value}


def test_pixels_of_any_kind() -> None:
    registry = Registry.predefined()
    tried = 0
    for id in registry.ids():
        process = registry[id]
        found = [schema.get("subtype") for p in process.spec["parameters"] for schema in schemas(p)]
        if id.startswith(OUTSIDE) or APART.intersection(found):
            continue
        for given in cases(process.spec):
            arguments = {
                name: value for name, value in given.items() if value is not None or name not in process.optional
            }
            told = f"{id} of { ({k: str(v) for k, v in arguments.items()}) }"
            try:
                process.admit(arguments)
                process.implementation(**arguments, **({"env": Env(log=unheard)} if process.wants_env else {}))
            except OpenEOError:
                pass
            except Exception as error:
                raise AssertionError(told) from error
            tried += 1
    assert tried > 10_000


def unheard(*_: Any, **__: Any) -> None:
    """A log that nobody reads."""


def test_texts_are_compared_with_texts_only() -> None:
    for process, wanted in (
        (comparison.eq, [[False] * 3, [True] * 3]),
        (comparison.gt, [[False] * 3, [False] * 3]),
        (comparison.lte, [[False] * 3, [True] * 3]),
    ):
        found = process(stack([np.array([1.0, 2, 3], "float32"), "x"]), "x")
        np.testing.assert_array_equal(found.values, wanted, err_msg=process.__name__)


def test_arrays_decide_element_by_element() -> None:
    condition = stack([np.array([1.0, 0, np.nan], "float32"), np.array([0.0, 2, 3], "float32")])
    wanted = [[10, 20, 20], [20, 10, 10]]
    tens = PixelArray(np.full((2, 3), 10.0))
    for accept, reject in ((10, 20), (tens, 20), (tens, PixelArray(tens.values * 2)), (10, np.full(3, 20.0))):
        found = logic.if_(condition, accept, reject)
        assert isinstance(found, PixelArray)
        np.testing.assert_array_equal(found.values, wanted)


def test_arrays_of_other_lengths_do_not_go_together() -> None:
    two, three = stack([FLOATS] * 2), stack([FLOATS] * 3)
    for process in (math.add, comparison.lt):
        with pytest.raises(OpenEOError, match="another length: 2 and 3 elements"):
            process(two, three)
        assert isinstance(process(two, two), PixelArray)
