"""Moving filters into the loads before them, from what processes declare (:mod:`.effects`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from openeo_backend.graph.effects import Block, Coarsen, Effect, Keep, Kind, LoadHints, Means, Narrow, Widen
from openeo_backend.graph.nodes import FromNode, Graph, Node

#: Which extents the dimension of a loaded cube belongs to.
KINDS: Mapping[str, Kind] = {"x": "spatial", "y": "spatial", "t": "temporal", "bands": "bands"}


class Effects(Protocol):
    """The registry, as push-down sees it."""

    def __contains__(self, id: object) -> bool: ...

    def __getitem__(self, id: str) -> Any: ...


@dataclass(frozen=True)
class _Need:
    """What is needed of one value."""

    spatial: tuple[Any, ...] = ()
    temporal: tuple[tuple[str | None, str | None], ...] = ()
    bands: tuple[str, ...] | None = None
    margin: int = 0
    means: Means | None = None

    def union(self, other: _Need) -> _Need:
        """What two consumers need together; where their needs differ, everything (bands: both)."""
        bands = None if self.bands is None or other.bands is None else (*self.bands, *other.bands)
        return _Need(
            self.spatial if self.spatial == other.spatial else (),
            self.temporal if self.temporal == other.temporal else (),
            None if bands is None else tuple(dict.fromkeys(bands)),
            max(self.margin, other.margin),
            self.means if self.means == other.means else None,
        )


def hints(graph: Graph, processes: Effects, loads: Iterable[str]) -> dict[str, LoadHints]:
    """What the graph needs of each node whose process is one of `loads`."""
    wanted = frozenset(loads)
    needs: dict[str, _Need] = {graph.result: _Need()}
    found: dict[str, LoadHints] = {}
    for node in reversed(list(graph)):
        need = needs.get(node.id, _Need())
        if node.process in wanted:
            found[node.id] = LoadHints(need.spatial, need.temporal, need.bands, need.margin, need.means)
        effect = processes[node.process].effect if node.process in processes else None
        carried = _carried(node, effect)
        for other in node.inputs():
            share = _before(node, effect, need) if other in carried and effect is not None else _Need()
            if effect is not None and FromNode(other) in [node.arguments.get(name) for name in effect.all_bands]:
                share = replace(share, bands=None)
            needs[other] = needs[other].union(share) if other in needs else share
    return found


def _carried(node: Node, effect: Effect | None) -> set[str]:
    """Nodes whose values are in cube arguments of `node`, and nowhere else in it."""
    if effect is None:
        return set()
    cubes = {name: value for name, value in node.arguments.items() if name in effect.cubes}
    others = {name: value for name, value in node.arguments.items() if name not in effect.cubes}
    direct = {value.node for value in cubes.values() if isinstance(value, FromNode)}
    return direct - Node("", "", others).inputs()


def _before(node: Node, effect: Effect, need: _Need) -> _Need:
    """What is needed of the cubes of `node`, given what is needed of its result."""
    along = node.arguments.get(effect.along) if effect.along else None
    blocked = {KINDS[along]} if isinstance(along, str) and along in KINDS else set()
    if effect.along and not blocked:
        return _Need()
    need = replace(need, means=_means(node, effect, need))
    need = _spatial(node, effect, need, "spatial" in blocked)
    need = _temporal(node, effect, need, "temporal" in blocked)
    return _bands(node, effect, need, "bands" in blocked)


def _spatial(node: Node, effect: Effect, need: _Need, blocked: bool) -> _Need:
    if blocked or isinstance(effect.spatial, Block):
        return replace(need, spatial=(), margin=0)
    if isinstance(effect.spatial, Narrow):
        need = replace(need, spatial=(), margin=0) if effect.spatial.alone else need
        extent = node.arguments.get(effect.spatial.argument)
        if isinstance(extent, Mapping) and effect.spatial.argument not in node.referring:
            return replace(need, spatial=(*need.spatial, extent))
        return need
    if isinstance(effect.spatial, Widen):
        margin = _margin(effect.spatial, node)
        return replace(need, spatial=(), margin=0) if margin is None else replace(need, margin=need.margin + margin)
    return need


def _temporal(node: Node, effect: Effect, need: _Need, blocked: bool) -> _Need:
    if blocked or isinstance(effect.temporal, Block):
        return replace(need, temporal=())
    if isinstance(effect.temporal, Narrow):
        extent = node.arguments.get(effect.temporal.argument)
        whole = isinstance(extent, list) and len(extent) == 2 and all(isinstance(e, str | None) for e in extent)
        if whole and node.arguments.get("dimension") in (None, "t"):
            assert isinstance(extent, list)
            return replace(need, temporal=(*need.temporal, (extent[0], extent[1])))
    return need


def _bands(node: Node, effect: Effect, need: _Need, blocked: bool) -> _Need:
    if blocked or isinstance(effect.bands, Block):
        return replace(need, bands=None)
    if isinstance(effect.bands, Narrow):
        names = node.arguments.get(effect.bands.argument)
        given = names if isinstance(names, list) and not node.arguments.get("wavelengths") else []
        if given and all(isinstance(name, str) for name in given):
            return replace(need, bands=tuple(given))
        return replace(need, bands=None)
    return need


def _means(node: Node, effect: Effect, need: _Need) -> Means | None:
    """The resampling after which nothing is needed of a cube but its means."""
    if isinstance(effect.coarse, Keep):
        return need.means
    if not isinstance(effect.coarse, Coarsen) or node.arguments.get("method") != "average":
        return None
    resolution, projection = node.arguments.get("resolution"), node.arguments.get("projection")
    align = node.arguments.get("align", "upper-left")
    steps: list[Any] = resolution if isinstance(resolution, list) else [resolution]
    if len(steps) not in (1, 2) or not all(map(_is_length, steps)):
        return None
    if not isinstance(projection, int | str | None) or not isinstance(align, str):
        return None
    return Means((float(steps[0]), float(steps[-1])), projection, align)


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _margin(widen: Widen, node: Node) -> int | None:
    """Pixels around; None where the arguments do not tell."""
    if widen.argument is None:
        return widen.pixels
    value = node.arguments.get(widen.argument)
    if isinstance(value, int | float):
        return widen.pixels + int(value)
    if not isinstance(value, list):
        return widen.pixels if value is None else None
    if all(isinstance(row, list) for row in value):  # a kernel
        return widen.pixels + max([len(value), *(len(row) for row in value)]) // 2
    margins = []
    for overlap in value:  # an overlap of apply_neighborhood
        if not isinstance(overlap, Mapping) or overlap.get("dimension") not in KINDS:
            return None
        if KINDS[overlap["dimension"]] == "spatial":
            if overlap.get("unit") != "px" or not isinstance(overlap.get("value"), int | float):
                return None
            margins.append(int(overlap["value"]))
    return widen.pixels + max(margins, default=0)
