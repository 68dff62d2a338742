"""Looking for inputs that break a property: some fixed ones in `make test`, as many as time allows in `make fuzz`."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

#: Seconds for each property in `make fuzz`; absent in `make test`.
SECONDS = float(os.environ.get("OPENEO_FUZZ_SECONDS", "0"))

#: Where a line is added for each property in `make fuzz`: how many inputs, in which time, from which seed on.
REPORT = os.environ.get("OPENEO_FUZZ_REPORT")

#: Inputs between two looks at the clock.
ROUND = 100

#: First seed of `make fuzz`; each round takes the next one.
SEED = int(os.environ.get("OPENEO_FUZZ_SEED", "0")) or random.SystemRandom().randrange(10**6)


def explore(check: Callable[[Any], None], inputs: SearchStrategy[Any], examples: int, share: float = 1.0) -> None:
    """Call `check`, which raises where the property is broken, with many inputs.

    :param examples: how many in `make test`: the same ones each time.
    :param share: of the time that a property has in `make fuzz`.
    """
    if not SECONDS:
        _run(check, inputs, settings(max_examples=examples, derandomize=True))
        return
    counted, started, number = _Counted(check), time.monotonic(), SEED
    try:
        while time.monotonic() - started < SECONDS * share:
            _run(seed(number)(_given(counted, inputs)), None, settings(max_examples=ROUND))
            number += 1
    finally:
        name = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("/")[2].partition(" ")[0]
        _report(name, counted.count, time.monotonic() - started, number)


class _Counted:
    def __init__(self, check: Callable[[Any], None]) -> None:
        self.check, self.count = check, 0

    def __call__(self, drawn: Any) -> None:
        self.count += 1
        self.check(drawn)


def _given(check: Callable[[Any], None], inputs: SearchStrategy[Any]) -> Callable[[], None]:
    def property(drawn: Any) -> None:
        check(drawn)

    return given(drawn=inputs)(property)


def _run(check: Callable[..., None], inputs: SearchStrategy[Any] | None, chosen: settings) -> None:
    run = check if inputs is None else _given(check, inputs)
    whole = settings(
        chosen,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        print_blob=False,
    )
    whole(run)()


def _report(name: str, count: int, seconds: float, last: int) -> None:
    if REPORT:
        line = {"property": name, "inputs": count, "seconds": round(seconds), "seeds": [SEED, last]}
        with Path(REPORT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
