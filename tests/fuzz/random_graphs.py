"""Random process graphs, made from the specifications of the processes: sound ones as far as types tell, and spoilt."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

#: Somewhere in the tiny archive, and around it.
BOXES = [
    {"west": 11.9672, "south": 48.5190, "east": 11.9720, "north": 48.5225},
    {"west": 719160, "south": 5378300, "east": 719400, "north": 5378600, "crs": 32632},
    {"west": 11.96, "south": 48.51, "east": 11.98, "north": 48.53},
    {"west": 0, "south": 0, "east": 1, "north": 1},
]
#: Read by no process that is tried: the policy refuses them before anything connects.
URLS = ["http://127.0.0.1:9/x", "file:///etc/passwd", "https://169.254.169.254/", "x"]
DATES = ["2025-05-01", "2025-05-06T00:00:00Z", "2025-06-01", "2025-05-01T10:10:31Z", "2025"]
TEXTS = ["t", "x", "y", "bands", "B02", "B04", "B08", "near", "bilinear", "mean", "GTiff", "JSON", "netCDF", "PNG", "a"]
NUMBERS = st.one_of(
    st.integers(-3, 10), st.floats(-1e3, 1e3, allow_nan=False), st.sampled_from([0, 1, 2, 10, 20, 0.5, 1e-300, 4326])
)
NASTY: list[Any] = [
    None, True, False, -1, 0, 1.5, 10**30, -(10**30), 1e308, 5e-324, 2**63, "",
    "NaN", "-Infinity", "null", "\x00", "é" * 300,
    [], {}, [[]], [None], [1, "a", None, True], {"a": 1}, {"from_node": "nobody"}, {"from_parameter": "nobody"},
    {"process_graph": {}}, {"process_graph": {"a": 5}}, {"from_node": "n0"}, {"from_node": 5}, {"from_node": ["n0"]},
    [{"from_node": "n1"}], {"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon", "coordinates": "x"},
    {"west": 1}, {"west": "a", "south": 1, "east": 2, "north": 3}, ["2025-05-01", None], [None, None], ["x", "y"],
    "a" * 5000, "(" * 50, "2025-13-45", "9999999-01-01", [[0] * 3] * 3, "EPSG:0", "B99", "Bänd", 99999, list(range(50)),
]  # fmt: skip

#: Of these, values that nodes and elements of arrays can have.
PLAIN = [value for value in NASTY if "from_" not in str(value) and "process_graph" not in str(value)]
PLAIN += [2.0, 1e300, [1.0, 2.0], ["t", "t"], [["2025-05-01", "2025-06-01"]], [[1, 2], ["a"]], {"a": {"b": [None]}}]
PLAIN += [[{"dimension": "x", "value": 8, "unit": "px"}], [{"dimension": 5}], {"west": {}, "south": [], "east": 1}]


class Maker:
    """Makes graphs of the processes with these specifications, loading these collections."""

    def __init__(self, specs: Sequence[Mapping[str, Any]], collections: Mapping[str, Sequence[str]]) -> None:
        """:param collections: the bands by id of the collection."""
        self.specs = {spec["id"]: spec for spec in specs}
        self.collections = collections
        self.inner = sorted(id for id, spec in self.specs.items() if not _takes_cube(spec))
        self.outer = sorted(id for id in self.specs if id not in ("load_collection",))

    def graphs(self, most: int = 6) -> st.SearchStrategy[dict[str, Any]]:
        """Processes with a graph each; about two in five spoilt."""
        return _processes(self, most)


def _takes_cube(spec: Mapping[str, Any]) -> bool:
    return any("datacube" in str(parameter["schema"]) for parameter in spec["parameters"])


@st.composite
def _processes(draw: st.DrawFn, maker: Maker, most: int) -> dict[str, Any]:
    graph = draw(_sound(maker, most))
    spoilt = {"process_graph": copy.deepcopy(graph)}
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 5]))):
        _spoil(draw, spoilt, maker)
    return spoilt


@st.composite
def _sound(draw: st.DrawFn, maker: Maker, most: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    pool: list[tuple[str, Any]] = []
    for index in range(draw(st.sampled_from([1, 1, 2, 0]))):
        nodes[f"load{index}"] = draw(_load(maker))
        pool.append(("cube", {"from_node": f"load{index}"}))
    for index in range(draw(st.sampled_from([0, 0, 1, 2]))):
        kind, made = draw(_odd(maker, f"odd{index}"))
        nodes |= made
        pool.append((kind, {"from_node": list(made)[-1]}))
    for index in range(draw(st.integers(1, most))):
        id = draw(st.sampled_from(maker.outer))
        nodes[f"n{index}"] = draw(_call(maker, id, tuple(pool), 0))
        pool.append((_kind(maker.specs[id]["returns"]["schema"]), {"from_node": f"n{index}"}))
    if draw(st.booleans()) and pool:
        arguments = {"data": pool[-1][1], "format": draw(st.sampled_from(["GTiff", "JSON", "netCDF", "PNG", "CSV"]))}
        nodes["save"] = {"process_id": "save_result", "arguments": arguments}
    nodes[list(nodes)[-1]]["result"] = True
    return nodes


def _kind(schema: Any) -> str:
    text = str(schema)
    if "datacube" in text:
        return "cube"
    first = schema[0] if isinstance(schema, list) else schema
    types = first.get("type", "any")
    return types[0] if isinstance(types, list) else types


@st.composite
def _load(draw: st.DrawFn, maker: Maker) -> dict[str, Any]:
    id = draw(st.sampled_from(sorted(maker.collections)))
    bands = draw(st.none() | st.lists(st.sampled_from(sorted(maker.collections[id])), min_size=1, max_size=3))
    extent = draw(st.sampled_from([*BOXES[:3], *BOXES[:3], *BOXES, None]))
    is_series = id.startswith("SENTINEL")
    period = draw(st.sampled_from([None, ["2025-05-01", "2025-06-01"], ["2025-05-01", None]] if is_series else [None]))
    arguments = {"id": id, "spatial_extent": extent, "temporal_extent": period, "bands": bands}
    return {"process_id": "load_collection", "arguments": arguments}


@st.composite
def _odd(draw: st.DrawFn, maker: Maker, id: str) -> tuple[str, dict[str, Any]]:
    """Nodes, of which the last one has a value that graphs rarely have where it is expected, and its kind."""

    def call(process: str, **arguments: Any) -> dict[str, Any]:
        return {"process_id": process, "arguments": arguments}

    def one(process: str, **arguments: Any) -> dict[str, Any]:
        return {"process_graph": {"c": {**call(process, **arguments), "result": True}}}

    mean, loaded = one("mean", data={"from_parameter": "data"}), {"from_node": f"{id}-load"}
    names = st.sampled_from(["t", "bands", "x", "y"])
    steps = {
        "less": lambda: call("reduce_dimension", data=loaded, dimension=draw(names), reducer=mean),
        "everywhere": lambda: call("reduce_spatial", data=loaded, reducer=mean),
        "empty": lambda: call("filter_labels", data=loaded, dimension=draw(names), condition=one("eq", x=1, y=2)),
        "areas": lambda: call("aggregate_spatial", data=loaded, geometries=draw(_geojson()), reducer=mean),
        "more": lambda: call("add_dimension", data=loaded, name="more", label=draw(st.sampled_from(["a", 1]))),
        "flat": lambda: call("flatten_dimensions", data=loaded, dimensions=["bands", "t"], target_dimension="both"),
        "labels": lambda: call("dimension_labels", data=loaded, dimension=draw(names)),
        "saved": lambda: call("save_result", data=loaded, format="GTiff"),
        "trained": lambda: call("fit_regr_random_forest", predictors=loaded, target=draw(_geojson()), num_trees=2),
    }
    what = draw(st.sampled_from(["value", "value", "value", "vector", "bare", *steps]))
    if what == "value":
        return "odd", {id: call("constant", x=copy.deepcopy(draw(st.sampled_from(PLAIN))))}
    if what == "vector":
        properties = draw(st.sampled_from([[], ["a"], ["b"]]))
        return "cube", {id: call("load_geojson", data=draw(_geojson()), properties=properties)}
    if what == "bare":
        return "cube", {id: call("create_data_cube")}
    kind = "odd" if what in ("labels", "saved", "trained") else "cube"
    return kind, {f"{id}-load": draw(_load(maker)), id: steps[what]()}


@st.composite
def _call(draw: st.DrawFn, maker: Maker, id: str, pool: tuple[tuple[str, Any], ...], depth: int) -> dict[str, Any]:
    """A call of a process with arguments of the right types, as far as there are any."""
    arguments = {}
    for parameter in maker.specs[id]["parameters"]:
        if parameter.get("optional") and draw(st.booleans()):
            continue
        schemas = parameter["schema"] if isinstance(parameter["schema"], list) else [parameter["schema"]]
        schema = draw(st.sampled_from(schemas))
        arguments[parameter["name"]] = draw(_value(maker, schema, parameter["name"], pool, depth))
    return {"process_id": id, "arguments": arguments}


@st.composite
def _value(  # noqa: C901 - one case per kind of schema
    draw: st.DrawFn, maker: Maker, schema: Mapping[str, Any], name: str, pool: tuple[tuple[str, Any], ...], depth: int
) -> Any:
    subtype, types = schema.get("subtype", ""), schema.get("type", "any")
    types = [types] if isinstance(types, str) else types
    odd = [value for kind, value in pool if kind == "odd"]
    if pool and draw(st.sampled_from([*[False] * (7 if odd else 30), True])):
        return draw(st.sampled_from(odd or [value for _, value in pool]))
    if "anyOf" in schema:
        return draw(_value(maker, draw(st.sampled_from(schema["anyOf"])), name, pool, depth))
    fitting = [value for kind, value in pool if kind in types or (kind == "cube") == (subtype == "datacube")]
    if fitting and (subtype == "datacube" or draw(st.integers(0, 3)) == 0):
        return draw(st.sampled_from(fitting))
    if subtype == "process-graph":
        handed = [(_kind(p["schema"]), {"from_parameter": p["name"]}) for p in schema.get("parameters", ())]
        return {"process_graph": draw(_callback(maker, tuple(handed), depth + 1))}
    if subtype == "datacube" or "geojson" in subtype:
        return draw(_geojson())
    if subtype == "bounding-box":
        return draw(st.sampled_from(BOXES))
    if "temporal-interval" in subtype:
        interval = [draw(st.sampled_from(DATES)), draw(st.sampled_from([*DATES, None]))]
        return [interval] if subtype.endswith("s") else interval
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kind = draw(st.sampled_from(types))
    if kind in ("number", "integer"):
        return draw(_number(schema, kind))
    if kind == "string":
        return draw(_text(maker, subtype, name))
    if kind == "boolean":
        return draw(st.booleans())
    if kind == "array":
        items = schema.get("items", {})
        least = schema.get("minItems", 0)
        inner = _value(maker, items if isinstance(items, dict) else {}, name, pool, depth)
        if draw(st.sampled_from([*[False] * 15, True])):
            inner = st.one_of(inner, st.sampled_from(PLAIN).map(copy.deepcopy))
        return draw(st.lists(inner, min_size=least, max_size=min(schema.get("maxItems", 4), max(least, 4))))
    if kind == "object" and schema.get("properties"):
        members = {name: _value(maker, member, name, pool, depth) for name, member in schema["properties"].items()}
        wanted = {name: members.pop(name) for name in schema.get("required", ())}
        return draw(st.fixed_dictionaries(wanted, optional=members))
    if kind == "object":
        return draw(st.dictionaries(st.sampled_from(TEXTS), NUMBERS, max_size=2))
    if kind == "null":
        return None
    plain = st.sampled_from(PLAIN).map(copy.deepcopy)
    return draw(st.one_of(NUMBERS, st.sampled_from(TEXTS), st.booleans(), st.none(), NUMBERS, plain))


@st.composite
def _number(draw: st.DrawFn, schema: Mapping[str, Any], kind: str) -> Any:
    number = draw(NUMBERS)
    number = max(number, schema.get("minimum", number))
    number = min(number, schema.get("maximum", number))
    return int(number) if kind == "integer" else number


@st.composite
def _text(draw: st.DrawFn, maker: Maker, subtype: str, name: str) -> str:
    if "date" in subtype or "time" in subtype or "date" in name:
        return draw(st.sampled_from(DATES))
    if subtype == "collection-id":
        return draw(st.sampled_from(sorted(maker.collections)))
    if subtype == "uri":
        return draw(st.sampled_from(URLS))
    if name.startswith("dim"):
        return draw(st.sampled_from(["t", "bands", "x", "y"]))
    return draw(st.sampled_from(TEXTS))


@st.composite
def _geojson(draw: st.DrawFn) -> dict[str, Any]:
    west, south = draw(st.sampled_from([(11.968, 48.519), (11.97, 48.52), (11.96, 48.51), (0, 0)]))
    size = draw(st.sampled_from([0.0005, 0.002, 0.02]))
    ring = [[west, south], [west + size, south], [west + size, south + size], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    if draw(st.booleans()):
        return geometry
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {"a": 1}, "geometry": geometry}],
    }


@st.composite
def _callback(draw: st.DrawFn, maker: Maker, pool: tuple[tuple[str, Any], ...], depth: int) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    many = depth < 3
    for index in range(draw(st.integers(1, 3 if many else 1))):
        id = draw(st.sampled_from(maker.inner if many else ["add", "mean", "eq", "is_nodata"]))
        nodes[f"c{index}"] = draw(_call(maker, id, pool, depth))
        pool = (*pool, (_kind(maker.specs[id]["returns"]["schema"]), {"from_node": f"c{index}"}))
    nodes[list(nodes)[-1]]["result"] = True
    return nodes


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with each of its keys or positions."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield value, key
        yield from _places(entry)


def _spoil(draw: st.DrawFn, process: dict[str, Any], maker: Maker) -> None:
    """Change something somewhere."""
    places = list(_places(process))[:400]
    if not places:
        return
    container, key = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "delete", "add", "process", "deep", "cycle", "copy"]))
    if kind == "replace":
        container[key] = copy.deepcopy(draw(st.sampled_from(NASTY)))
    elif kind == "delete":
        del container[key]
    elif kind == "add" and isinstance(container, dict):
        member = draw(st.sampled_from(["result", "arguments", "data", "x", "namespace", "zz", "process_graph"]))
        container[member] = copy.deepcopy(draw(st.sampled_from(NASTY)))
    elif kind == "process" and isinstance(container, dict) and "process_id" in container:
        container["process_id"] = draw(st.sampled_from([*maker.outer, "no_such_process", "", 5]))
    elif kind == "deep":
        deep: Any = 1
        for _ in range(draw(st.sampled_from([30, 60, 500]))):
            deep = draw(st.sampled_from([[deep], {"a": deep}]))
        container[key] = deep
    elif kind == "cycle" and isinstance(container, dict):
        container[key] = {"from_node": draw(st.sampled_from(["n0", "n1", "save", "load0"]))}
    elif kind == "copy":
        container[key] = copy.deepcopy(draw(st.sampled_from(places))[0])
