"""Processes of cubes, given cubes and other arguments that graphs rarely have, and what comes out written to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from explore import explore
from hypothesis import strategies as st
from limited import Stopped
from odd_arguments import CALLS, FORMATS
from odd_cubes import CUBES, VECTORS
from odd_engine import call, odd, run, with_odd_cubes

#: Most processes after one another.
LONGEST = 3


@st.composite
def chains(draw: st.DrawFn) -> dict[str, Any]:
    """A graph of one process or a few, of cubes, whose result is saved."""
    graph = {
        "cube": odd(draw(st.sampled_from([*CUBES]))),
        "second": odd(draw(st.sampled_from([*CUBES]))),
        "shapes": odd(draw(st.sampled_from([*VECTORS]))),
    }
    names = draw(st.lists(st.sampled_from([*CALLS]), min_size=1, max_size=draw(st.sampled_from([1, 1, LONGEST]))))
    last = "cube"
    for index, name in enumerate(names):
        usual, odd_ones = CALLS[name]
        arguments = dict(usual)
        for argument in draw(st.lists(st.sampled_from([*odd_ones]), max_size=3, unique=True)) if odd_ones else ():
            arguments[argument] = draw(st.sampled_from(odd_ones[argument]))
        text = json.dumps(arguments).replace('{"from_node": "cube"}', json.dumps({"from_node": last}))
        last = f"n{index}"
        graph[last] = call(name, **json.loads(text))
    graph["save"] = call("save_result", data={"from_node": last}, format=draw(st.sampled_from(FORMATS)))
    graph["save"]["result"] = True
    return graph


def test_odd_cubes(node: Any, tmp_path: Path) -> None:
    engine = with_odd_cubes(node.backend.engine)

    def check(graph: dict[str, Any]) -> None:
        try:
            error = run(graph, engine, tmp_path / "run").error or {}
        except Stopped:
            return
        assert error.get("code") != "Internal", f"{error} {json.dumps(graph)}"

    explore(check, chains(), examples=400, share=3)
