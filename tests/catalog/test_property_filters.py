"""Conditions on item properties: as CQL2, and evaluated on items."""

from __future__ import annotations

import cql2
import numpy as np
import pytest

from openeo_backend.catalog.filters import passes, to_cql2
from openeo_backend.catalog.item import read_item

VALUE = {"from_parameter": "value"}


def call(process, **arguments):
    return {"process_id": process, "arguments": arguments}


def item(**properties):
    return read_item({"id": "I", "bbox": [0, 0, 1, 1], "properties": {"datetime": "2023-01-01", **properties}}, "/i")


CASES = [
    ({"a": {**call("lte", x=VALUE, y=30), "result": True}}, [10, 30, 31, None]),
    ({"a": {**call("gt", x=30, y=VALUE), "result": True}}, [10, 30, 31]),
    ({"a": {**call("eq", x=VALUE, y=30), "result": True}}, [30, 31, None]),
    ({"a": {**call("neq", x=VALUE, y=30), "result": True}}, [30, 31, None]),
    ({"a": {**call("between", x=VALUE, min=10, max=30), "result": True}}, [9, 10, 30, 31]),
    ({"a": {**call("between", x=VALUE, min=10, max=30, exclude_max=True), "result": True}}, [10, 29, 30]),
    ({"a": {**call("array_contains", data=[1, 2], value=VALUE), "result": True}}, [1, 2, 3]),
    (
        {
            "low": call("lt", x=VALUE, y=10),
            "high": call("gte", x=VALUE, y=90),
            "any": {**call("or", x={"from_node": "low"}, y={"from_node": "high"}), "result": True},
        },
        [5, 10, 50, 90, None],
    ),
    (
        {
            "low": call("gt", x=VALUE, y=10),
            "high": call("lt", x=VALUE, y=90),
            "all": {**call("and", x={"from_node": "low"}, y={"from_node": "high"}), "result": True},
        },
        [5, 10, 50, 90],
    ),
]


@pytest.mark.parametrize(("graph", "values"), CASES)
def test_cql2_means_what_the_callback_means(condition, graph, values):
    callback = condition(graph)
    expression = to_cql2({"p": callback})
    assert expression is not None
    for value in values:
        here = passes(item(**({} if value is None else {"p": value})), "p", callback)
        there = value is not None and cql2.Expr(expression).matches({"p": value})
        assert here is bool(there), value


@pytest.mark.parametrize(
    "graph",
    [
        {"a": {**call("eq", x=VALUE, y="s2a", case_sensitive=False), "result": True}},
        {"a": {**call("text_begins", data=VALUE, pattern="S2"), "result": True}},
    ],
)
def test_what_cql2_cannot_tell_is_evaluated_here(condition, graph):
    callback = condition(graph)
    assert to_cql2({"p": callback}) is None
    assert passes(item(p="S2A"), "p", callback)
    assert not passes(item(p="L8"), "p", callback)


def test_conditions_of_several_properties_are_joined(condition):
    low = condition({"a": {**call("lte", x=VALUE, y=30), "result": True}})
    odd = condition({"a": {**call("text_begins", data=VALUE, pattern="S2"), "result": True}})
    same = condition({"a": {**call("eq", x=VALUE, y="ascending"), "result": True}})
    assert to_cql2({"c": low, "p": odd, "o": same}) == {
        "op": "and",
        "args": [
            {"op": "<=", "args": [{"property": "c"}, 30]},
            {"op": "=", "args": [{"property": "o"}, "ascending"]},
        ],
    }


def test_members_of_the_item_itself(condition):
    mine = condition({"a": {**call("eq", x=VALUE, y="I"), "result": True}})
    assert passes(item(), "id", mine)
    assert np.datetime_as_string(item().start, unit="D") == "2023-01-01"
