"""Options of formats that are sound by their specification: files, or an error that says what does not go together."""

from __future__ import annotations

from typing import Any

import pytest
from explore import explore
from hypothesis import strategies as st

from openeo_backend.formats.registry import FORMATS

ONE = {"id": "SENTINEL2_L2A", "spatial_extent": None, "temporal_extent": ["2025-05-01", "2025-05-02"], "bands": ["B04"]}
LOAD = {"process_id": "load_collection", "arguments": ONE}

#: Texts and numbers that a schema allows and nobody expects.
NASTY = [
    "",
    "nan",
    "-inf",
    "1e999",
    "nan(((",
    "\u0000",
    "../../x",
    "/etc/passwd",
    "a\r\nb: c",
    "é" * 300,
    "²",
    "%s{}",
    ".",
]
NUMBERS = [0, -1, 1e308, -1e308, 5e-324, 2**53, 1e-9, 255, 256]

PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(NASTY) | st.text(max_size=8),
    "number": st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.sampled_from([int(number) for number in NUMBERS]) | st.integers(-5, 600),
    "boolean": st.booleans(),
    "null": st.none(),
}

WRITABLE = sorted(name for name, format in FORMATS.items() if format.write is not None)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of the types that a schema names; most are within its bounds by chance only."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema.get("type", list(PLAIN))
    made = [PLAIN[kind] for kind in ([types] if isinstance(types, str) else types) if kind in PLAIN]
    if "array" in types:
        made.append(st.lists(values(schema.get("items", {})), max_size=4))
    if "object" in types:
        made.append(st.dictionaries(st.sampled_from(["0", "1", "B04", *NASTY]), values({}), max_size=2))
    return st.one_of(made)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers beyond a type become infinite
@pytest.mark.parametrize("name", WRITABLE)
def test_formats(node: Any, name: str) -> None:
    specified = FORMATS[name].parameters
    options = {option: values(schema) for option, schema in specified.items()}

    def check(chosen: dict[str, Any]) -> None:
        save = {"data": {"from_node": "l"}, "format": name, "options": chosen}
        graph = {"l": LOAD, "s": {"process_id": "save_result", "arguments": save, "result": True}}
        answer = node.ask("POST", "/result", json={"process": {"process_graph": graph}})
        assert answer.status_code < 500, f"{chosen} {answer.text}"

    def some(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({name: options[name] for name in names})

    if options:
        drawn = st.lists(st.sampled_from(sorted(options)), min_size=1, max_size=3, unique=True).flatmap(some)
        explore(check, drawn, examples=10, share=0.2)
