"""Official cases (openEO processes 2.0.0-rc.2) that contradict the specifications, and why.

They cannot pass; test_repaired_cases.py runs corrected versions of them.
"""

from __future__ import annotations

_KEYWORD = "the callback uses `from_argument`, a keyword that does not exist, for `from_parameter`"
_CONDITION = "the callback is given as `process`, the parameter is called `condition`"
_INVERTED = "the expectation is the opposite of what the process description says"
_DATA = "the expectation counts with 165 for a pixel that is 255, i.e. missing, in the data"
_AXIS = "the spatial dimensions expected have no axis, those of the data have"
_MONTHS = "the intervals are in January, the data in June, and values are expected nevertheless"

#: Reason by process and index of the case.
DEFECTIVE: dict[tuple[str, int], str] = {
    ("aggregate_temporal", 5): _MONTHS,
    ("aggregate_temporal", 6): _MONTHS,
    ("aggregate_temporal", 7): _MONTHS,
    ("aggregate_temporal", 8): _MONTHS,
    ("aggregate_temporal", 9): _MONTHS,
    ("aggregate_temporal", 10): "the reducer is mean, medians are expected",
    ("aggregate_temporal_period", 3): "daily labels are expected for the period hour",
    ("aggregate_temporal_period", 4): "the labels expected for the period day are neither days of the year nor hours",
    ("aggregate_temporal_period", 8): "the dimension `t2` is expected to be called `t` afterwards",
    ("aggregate_temporal_period", 9): "the dimension `t2` is expected to be called `t` afterwards",
    ("apply", 1): f"{_KEYWORD}; {_AXIS}",
    ("apply", 2): _DATA,
    ("apply_dimension", 1): f"{_AXIS}; {_DATA}",
    ("apply_dimension", 2): "there is no dimension `bands` in the data, and the dimensions expected are a list",
    **{("array_apply", index): _KEYWORD for index in range(8)},
    ("array_apply", 8): f"{_KEYWORD}; the process `mulitply` does not exist",
    ("array_append", 0): "0 is appended, 1 is expected",
    ("array_element", 3): "the label asked for is not the label of the array (letter O for the digit 0)",
    ("array_filter", 0): f"{_CONDITION}; `gt` lacks its parameter `y`",
    **{("array_filter", index): f"{_CONDITION}; {_KEYWORD}" for index in range(1, 7)},
    ("array_find", 6): "the value is the first element, the index of the second is expected",
    ("count", 4): "the callback is not wrapped in `process_graph`, its parameter is called `element`",
    ("count", 5): "the callback is not wrapped in `process_graph`, its parameter is called `element`",
    ("filter_bands", 3): _AXIS,
    ("filter_bands", 4): "other bands are expected than asked for",
    ("filter_temporal", 4): _AXIS,
    ("lte", 15): "infinity is expected not to be less than or equal to itself, against IEEE 754, `eq` and `gte`",
    ("mask", 0): _INVERTED,
    ("mask", 1): "the data file does not exist",
    ("mask", 2): _INVERTED,
    ("mask_polygon", 0): _INVERTED,
    ("mask_polygon", 1): _INVERTED,
    ("mask_polygon", 6): "four pixels outside of the polygon keep their value in the expectation",
    ("merge_cubes", 3): _KEYWORD,
    ("product", 10): "NaN is expected for 1 * -infinity * 3 * infinity, which is -infinity by IEEE 754",
    ("reduce_dimension", 1): f"{_KEYWORD} and `from_node`; {_AXIS}; {_DATA}",
    ("rename_dimension", 3): "the other spatial dimension is expected to be renamed",
    ("rename_dimension", 4): "the other spatial dimension is expected to be renamed",
    ("rename_dimension", 5): "a key of the expectation is misspelt (`order: `)",
    ("rename_labels", 5): f"the required parameter `target` is missing; {_AXIS}",
    ("rename_labels", 7): "the required parameter `target` is missing",
}

#: Defective ones that can pass all the same: their array is empty, so that the callback is never called.
HARMLESS = {("array_apply", 0)}
