"""Evaluating one request: plan, evaluate lazily, stream the results into files."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any

import dask
import numpy as np

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.catalog.viewer import OPERATOR, Viewer
from openeo_backend.cube import Cube, Provenance
from openeo_backend.cube.bounds import refuse_many
from openeo_backend.cube.pixels import LabeledList, missing
from openeo_backend.errors import NodeRef, OpenEOError, conceal_urls
from openeo_backend.formats.asset import Asset
from openeo_backend.formats.preview import preview
from openeo_backend.formats.writing import default_format, write_result
from openeo_backend.graph import schema, trace
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.net.door import Door
from openeo_backend.observe.clock import timestamp
from openeo_backend.observe.software import software
from openeo_backend.processes.environment import SCRATCH, Env, Saved
from openeo_backend.run.compute import computing
from openeo_backend.run.describe import describe
from openeo_backend.run.engine import Engine, foreseen
from openeo_backend.run.estimate import refuse_effects, size_of, without_pixels
from openeo_backend.run.exports import export_all
from openeo_backend.run.journal import Journal, Meter
from openeo_backend.run.plan import Plan
from openeo_backend.run.request import Event, Outcome, RunRequest
from openeo_backend.sandbox.allocator import return_blocks

#: Most values of a result that is no cube.
MOST_JSON = 5_000_000

#: Types of values that JSON has as they are.
_LEAVES = frozenset({bool, int, float, str, type(None)})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metered:
    """The catalog, counting what is loaded and keeping where it comes from."""

    engine: Engine
    meter: Meter
    expected: frozenset[str] = frozenset()
    """Ids of the nodes whose loads were compared with the limit before: :func:`openeo_backend.run.engine.foreseen`."""
    origins: list[Provenance] = field(default_factory=list)

    def origin(self) -> Provenance:
        """Where all that was loaded comes from."""
        return reduce(Provenance.merge, self.origins, Provenance())

    def load(self, id: str, request: Any, env: Env) -> Cube:
        return self._count(self.engine.catalog.load(id, self._bounded(request, env), env), id)

    def load_url(self, url: str, request: Any, env: Env) -> Cube:
        return self._count(self.engine.catalog.load_url(url, self._bounded(request, env), env), "load_stac")

    def load_result(self, id: str, request: Any, env: Env) -> Cube:
        return self._count(self.engine.catalog.load_result(id, self._bounded(request, env), env), "load_result")

    def _bounded(self, request: LoadRequest, env: Env) -> LoadRequest:
        is_expected = env.node in self.expected and len(trace.path()) == 1
        return replace(request, most=self.meter.left, is_expected=is_expected)

    def _count(self, cube: Cube, what: str) -> Cube:
        shape = " x ".join(f"{size} {name}" for name, size in cube.data.sizes.items())
        self.origins.append(cube.provenance)
        self.meter.read(int(cube.data.size), f"{what}: {shape}")
        return cube


def execute(request: RunRequest, engine: Engine, report: Callable[[Event], None]) -> Outcome:
    """Evaluate a request in this process.

    Never raises for a failure of the graph: the outcome tells it, and whoever asked logs it.
    """
    return_blocks()
    journal = Journal(report, request.log_level)
    meter = Meter(request.limit_samples, engine.door.traffic)
    try:
        with journal.alive(meter.usage):
            return _execute(request, engine, journal, meter)
    except OpenEOError as error:
        return _failed(error, meter)
    except MemoryError:
        message = f"The computation needs more memory than there is ({engine.settings.compute.memory_mb} MB planned)."
        hint = "Use a smaller extent, fewer dates or fewer bands."
        return _failed(OpenEOError("OutOfMemory", message, hint=hint, status=500), meter)
    except Exception as error:  # noqa: BLE001 - the boundary of a run: told to the user by code and id only
        unexpected = OpenEOError("Internal", "The computation failed unexpectedly.")
        unexpected.__cause__ = error
        return _failed(unexpected, meter)
    finally:
        if (scratch := request.folder / SCRATCH).exists():
            shutil.rmtree(scratch, ignore_errors=True)


def _failed(error: OpenEOError, meter: Meter) -> Outcome:
    if _is_full(error):
        hint = "Ask for smaller results, or tell the operator."
        error = OpenEOError("StorageFailure", "There is no space left for the results.", hint=hint, path=error.path)
    if error.code == "Internal":
        reference = uuid.uuid4().hex[:12]
        logger.error("run failed, reference %s", reference, exc_info=error)
        error = OpenEOError(
            error.code, f"{error.message} Reference for the operator: {reference}.", path=error.path, status=500
        )
    waiting = error.data.get("waiting_for") if isinstance(error.data, Mapping) else None
    return Outcome(error={**error.json(), "status": error.status}, usage=meter.usage(), waiting_for=waiting)


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk, or a limit on files, is behind a failure."""
    seen: set[int] = set()  # an error that several threads raise again can come to be its own context
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


def _execute(request: RunRequest, engine: Engine, journal: Journal, meter: Meter) -> Outcome:
    engine = engine.seen_by(_viewer(request))
    # Without a method of rechunking dask looks for a cluster, and imports it for that. Numbers that are none, or too
    # large, are results like others.
    with dask.config.set({"array.rechunk.method": "tasks"}), np.errstate(all="ignore"):
        return _evaluate(request, engine, journal, meter)


def _evaluate(request: RunRequest, engine: Engine, journal: Journal, meter: Meter) -> Outcome:
    plan, problems = engine.plan(
        request.process,
        stored=request.processes,
        given=request.parameters,
        most=request.limit_samples,
        remote=engine.pinned(request.remote),
        checked=request.is_checked,
    )
    if plan is None:
        raise problems[0]
    if request.mode == "estimate":
        refuse_effects(plan.graph)
        journal = Journal(lambda event: None, "error")
    journal.log("debug", f"The graph has {len(plan.graph)} nodes after expansion.")
    loads = Metered(engine, meter, foreseen(plan.graph) if request.is_checked else frozenset())
    env = Env(
        log=journal.log,
        user=request.user,
        collections=loads,
        hints=plan.hints,
        download=partial(engine.door.download, limit_mb=engine.settings.net.max_file_mb),
        folder=request.folder,
        options=request.options,
        services=engine.services,
    )
    if request.mode == "estimate":
        with without_pixels():
            value = evaluate(plan.graph, engine.processes, Scope(), env)
        return Outcome(value=size_of(env.saved or _unsaved(value, plan), meter), has_value=True, usage=meter.usage())
    planned = _planned(request, engine.settings.compute.memory_mb)
    with computing(engine.settings.compute, request.threads, planned):
        keep = None
        if request.is_plain:  # this process goes on for the next request
            keep = plan.values.under((request.threads, planned), engine.processes, engine.catalog.reads)
        value = evaluate(plan.graph, engine.processes, Scope(), env, keep)
        saved = env.saved or _unsaved(value, plan)
        if isinstance(value, Cube) and not value.dimensions and not env.saved:
            return _bare(_empty(value), loads, meter)
        if not saved:
            _export(env, [], request, engine, journal)
            return _bare(_plain(value), loads, meter)
        _refuse_larger(saved, request.limit_samples)
        files, provenance = _write(saved, request, journal, loads)
        _export(env, files, request, engine, journal)
        return Outcome(files=tuple(files), provenance=_told(provenance), usage=meter.usage())


def _planned(request: RunRequest, usual: float) -> float:
    """MB to plan with: what a job asked for, else the usual amount, or less where a run may not take it."""
    if request.memory_mb is None:
        return usual
    return request.memory_mb if request.options.get("memory") is not None else min(usual, request.memory_mb)


def _bare(value: Any, loads: Metered, meter: Meter) -> Outcome:
    """The outcome of a graph that ends in a value, which has no origin of its own."""
    return Outcome(value=value, has_value=True, provenance=_told(loads.origin()), usage=meter.usage())


def _told(provenance: Provenance) -> dict[str, Any]:
    """The origin of a result with what computed it, and when."""
    told = dict(vars(provenance))
    told["items"] = tuple(conceal_urls(item) for item in provenance.items)  # kept with the result, for all to see
    return {**told, "software": software(), "computed": timestamp()}


def _viewer(request: RunRequest) -> Viewer:
    if request.roles is None:
        return OPERATOR
    return Viewer(frozenset(request.roles), is_known=request.user is not None)


def _export(env: Env, files: list[dict[str, Any]], request: RunRequest, engine: Engine, journal: Journal) -> None:
    if not env.exports:
        return
    most = engine.settings.catalog.max_items
    export_all(env, files, request, Door(engine.settings.net), most, lambda message: journal.log("info", message))


def _unsaved(value: Any, plan: Plan) -> list[Saved]:
    """A cube at the end of a graph without save_result, in the format that suits it."""
    if not isinstance(value, Cube):
        return []
    return [Saved(value, default_format(value), {}, plan.graph.result)]


def _dated(file: dict[str, Any], value: Any) -> dict[str, Any]:
    """The description of a file; one without dates of its own is about the period of what was loaded."""
    if "start" not in file and isinstance(value, Cube) and value.provenance.period:
        first, last = value.provenance.period
        return {**file, "start": first, "end": last}
    return file


def _write(
    saved: list[Saved], request: RunRequest, journal: Journal, loads: Metered
) -> tuple[list[dict[str, Any]], Provenance]:
    files: list[dict[str, Any]] = []
    provenance = Provenance()
    stems: set[str] = set()
    sizes = [_size(result.value) for result in saved]
    for index, result in enumerate(saved):
        node = NodeRef(result.node, "save_result")
        journal.place(node)
        with trace.entered((node,)):
            stem = _stem(request.title, result.node, len(saved), stems)

            def progress(done: float, planned: int, index: int = index) -> None:
                share = done / planned if planned else 1.0
                journal.progress(sum(sizes[:index]) + share * sizes[index], sum(sizes))

            def warn(message: str) -> None:
                journal.log("warning", message)

            assets = write_result(result.value, result.format, result.options, request.folder, stem, progress, warn)
            for asset in assets:
                files.append(_dated(describe(asset, result.node), result.value))
                journal.log("info", f"Wrote {asset.path.name} ({asset.path.stat().st_size / 1e6:.3g} MB).")
            if request.previews:
                shown = next((asset for asset in assets if asset.media_type.startswith("image/tiff")), None)
                files += [_dated(describe(_picture(shown), result.node), result.value)] if shown else []
            known = isinstance(result.value, Cube)
            provenance = provenance.merge(result.value.provenance if known else loads.origin())
    return files, provenance


def _refuse_larger(saved: list[Saved], limit: float | None) -> None:
    """:raises OpenEOError: ProcessGraphComplexity where the results have more values than the request may read."""
    values = 0
    for result in saved:
        values += _size(result.value)
        if limit is not None and values > limit:
            shape = " x ".join(f"{size:,} {name}" for name, size in result.value.data.sizes.items())
            raise OpenEOError(
                "ProcessGraphComplexity",
                f"The result has {values / 1e6:,.0f} million values ({shape}); the limit for this kind of request is "
                f"{limit / 1e6:,.0f} million.",
                hint="Use a smaller extent, a coarser resolution, fewer dates or fewer bands.",
                path=(NodeRef(result.node, "save_result"),),
            )


def _size(value: Any) -> int:
    """Values of a result: what its share of the progress is measured by."""
    return max(int(value.data.size), 1) if isinstance(value, Cube) else 1


def _picture(asset: Asset) -> Asset:
    """A picture of a GeoTIFF, beside it."""
    path = asset.path.with_suffix(".preview.png")
    path.write_bytes(preview(asset.path))
    title, roles = f"Preview of {asset.path.name}", ("thumbnail",)
    return Asset(path, "image/png", title, roles, bbox=asset.bbox, start=asset.start, end=asset.end)


def _stem(title: str | None, node: str, count: int, taken: set[str]) -> str:
    """A file name stem: of the title where there is one result, else of the node; unique."""
    stem = slug(title) if title and count == 1 else slug(node)
    stem = stem or "result"
    unique, number = stem, 2
    while unique in taken:
        unique, number = f"{stem}-{number}", number + 1
    taken.add(unique)
    return unique


def slug(text: str) -> str:
    """Text as part of a file name: ASCII letters, digits, dashes and underscores, at most 60."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text).strip("-_")[:60].strip("-_")


def _empty(cube: Cube) -> Any:
    """A cube without dimensions, which no file format has a place for: its only value, if there is one."""
    value = cube.data.values
    data = [] if missing(value) is not None else _plain(value)
    return {"type": "datacube", "order": [], "dimensions": {}, "data": data}


def _plain(value: Any, counted: Counter[str] | None = None) -> Any:
    """A value of the graph as JSON: numpy numbers as numbers.

    Labelled arrays, which JSON does not know, are written as in the official test cases:
    {"type": "labeled-array", "data": [{"key": label, "value": value}]}.

    :raises OpenEOError: ProcessGraphComplexity for one that is far larger written than the graph that made it.
    """
    if value.__class__ in _LEAVES:
        return value
    counted = Counter() if counted is None else counted
    counted["values"] += len(value) if isinstance(value, list | tuple | Mapping) else 1
    refuse_many(counted["values"], MOST_JSON, "values of a result that is written as JSON")
    if isinstance(value, LabeledList):
        pairs = zip(value.labels, value, strict=True)
        return {
            "type": "labeled-array",
            "data": [{"key": key, "value": _plain(entry, counted)} for key, entry in pairs],
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(entry, counted) for key, entry in value.items()}
    if isinstance(value, list | tuple):  # no call for what stays: at some depths of the stack each takes microseconds
        return [entry if entry.__class__ in _LEAVES else _plain(entry, counted) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), counted)
    if isinstance(value, bool | int | float | str):
        return value
    what = "an object or array with a data cube in it" if isinstance(value, Cube) else schema.describe(value)
    raise OpenEOError("FormatUnsuitable", f"The result is {what}, which no file format holds.")
