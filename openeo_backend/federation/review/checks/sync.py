"""Synchronous requests: what is computed, refused, and how it comes."""

from __future__ import annotations

from openeo_backend.federation.review import answers, graphs
from openeo_backend.federation.review.check import (
    FEDERATION_API,
    FEDERATION_FILE_FORMATS,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
    not_applicable,
)
from openeo_backend.federation.review.checks.operations import at_least
from openeo_backend.federation.review.node import Node, decoded
from openeo_backend.federation.review.rasters import read_picture, read_tiff

#: Media types of formats, by name in lower case; the first one is written into messages.
MEDIA_TYPES = {
    "gtiff": ("image/tiff",),
    "netcdf": ("application/x-netcdf", "application/netcdf"),
    "png": ("image/png",),
    "jpeg": ("image/jpeg",),
    "json": ("application/json",),
    "csv": ("text/csv",),
}
#: Formats that need one band only.
TABLES = ("json", "csv")
#: Seconds of a synchronous request that the federation wants.
SECONDS = 300
FAILED = range(400, 600)
INVALID = range(400, 500)


@check("API-13", profile="L1", kind="job", source=OPENEO_API_PROFILE)
def runs_callbacks(node: Node) -> Verdict:
    """Processes with callbacks compute"""
    trial, place = node.trial, node.trial.place
    scale = graphs.callback(("linear_scale_range", _RANGE), parameter="x", argument="x")
    reply = trial.compute(graphs.chain(*graphs.flat(place), ("apply", {"process": scale}), graphs.save("GTiff")))
    problems = answers.status("A graph with reduce_dimension and apply", reply, 200)
    if not problems and read_tiff(reply.content).count < 1:
        problems.append("its result has no band")
    return judged(problems, "reduce_dimension and apply compute.", expected="200 and a file")


@check("API-46", profile="L1", kind="token", source=OPENEO_API_PROFILE)
def formats_in_any_case(node: Node) -> Verdict:
    """Names of formats are accepted in small and in capital letters"""
    problems: list[str] = []
    for name in ("gtiff", "GTIFF"):
        graph = graphs.chain(graphs.load(node.trial.place), graphs.save(name))
        if "POST" in node.endpoints.get("/validation", ()):
            reply = node.request("POST", "/validation", {"process_graph": graph}, auth=True)
            errors = answers.objects(answers.of(reply), "errors")
            problems += answers.status(f"The validation of the format {name}", reply, 200)
            problems += [f"the format {name} is invalid: {error.get('message')}" for error in errors[:1]]
        computed = node.trial.compute(graphs.chain(*graphs.flat(node.trial.place), graphs.save(name)))
        problems += answers.status(f"The format {name}", computed, 200)
    return judged(problems, "Both are accepted.", expected="200 for gtiff and GTIFF")


@check("API-900", profile="L1A/L2", kind="token", source=OPENEO_API_PROFILE)
def computes_while_the_user_waits(node: Node) -> Verdict:
    """POST /result computes, and only with a token"""
    problems = answers.status("POST /result", node.trial.compute(graphs.SUM), 200)
    body = {"process": {"process_graph": graphs.SUM}}
    problems += answers.refusal("POST /result without a token", node.request("POST", "/result", body), (401,))
    return judged(problems, "It computes.", expected="200 with a token, 401 without one")


@check("API-901", profile="L1A/L2", kind="token", source=OPENEO_API_PROFILE)
def refuses_invalid_graphs(node: Node) -> Verdict:
    """POST /result refuses what is no valid process"""
    problems = answers.refusal("A reference to no node", node.trial.compute(graphs.BROKEN), INVALID)
    problems += answers.refusal("A process that nobody has", node.trial.compute(graphs.UNKNOWN), INVALID)
    return judged(problems, "Both are refused.", expected="4xx with a code such as ProcessGraphInvalid")


@check("API-905", profile="L1A/L2", kind="job", source=OPENEO_API_PROFILE)
def gives_data_or_an_error(node: Node) -> Verdict:
    """POST /result is 200 with the data, or an error"""
    trial = node.trial
    good = trial.compute(graphs.chain(*graphs.flat(trial.place), graphs.save("GTiff")))
    problems = answers.status("A good graph", good, 200)
    problems += [] if problems or good.content else ["a good graph is answered with nothing"]
    if not problems and decoded(trial.compute(graphs.SUM)) != 3:
        problems.append(f"1 + 2 is answered with {trial.compute(graphs.SUM).content[:40]!r}")
    problems += answers.refusal("A graph that fails", trial.compute(graphs.failing(trial.place)), FAILED)
    return judged(problems, "Data and errors come as they should.", expected="200 with data; 4xx or 5xx with an error")


@check("API-906", profile="L1A/L2", kind="job", source=OPENEO_API_PROFILE)
def tells_media_types(node: Node) -> Verdict:
    """POST /result tells the media type of the format"""
    trial, place = node.trial, node.trial.place
    offered = node.get_document("/file_formats").get("output")
    names = {str(name).lower(): str(name) for name in offered} if isinstance(offered, dict) else {}
    problems, seen = [], []
    for format, types in MEDIA_TYPES.items():
        if format not in names:
            continue
        bands = place.bands[:1] if format in TABLES else place.bands
        reply = trial.compute(graphs.chain(*graphs.flat(place, bands=bands), graphs.save(names[format])))
        if reply.status >= 400 and format in (*TABLES, "jpeg", "png"):
            continue  # cubes need not fit into every format
        problems += answers.status(f"The format {names[format]}", reply, 200)
        if reply.status == 200:
            seen.append(names[format])
            if reply.media_type not in types:
                problems.append(f"{names[format]} comes as {reply.media_type or 'no media type'}")
    if not seen:
        problems.append("no format was written")
    return judged(problems, f"Those of {', '.join(seen)} are right.", expected="such as image/tiff for GTiff")


@check("FF-9", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS, level="recommended")
def pictures_have_few_bands(node: Node) -> Verdict:
    """PNG and JPEG have three or four bands; more are refused"""
    trial, place = node.trial, node.trial.place
    offered = node.get_document("/file_formats").get("output")
    names = [str(name) for name in offered or () if str(name).lower() in ("png", "jpeg")]
    if not names:
        return not_applicable("Neither PNG nor JPEG is offered.")
    if len(place.bands) < 3:
        return not_applicable(f"{place.collection} has less than three bands.")
    problems = []
    for name in names:
        reply = trial.compute(graphs.chain(*graphs.flat(place), graphs.save(name)))
        problems += answers.status(f"{name} of three bands", reply, 200)
        if reply.status == 200 and read_picture(reply.content).bands not in (3, 4):
            problems.append(f"{name} of three bands has {read_picture(reply.content).bands}")
        five = trial.five_bands
        if five:
            many = trial.compute(graphs.chain(*graphs.flat(place, bands=five), graphs.save(name)))
            problems += answers.refusal(f"{name} of five bands", many, INVALID)
    return judged(problems, f"{' and '.join(names)} do.", expected="200 for three bands, 4xx for five")


@check("API-920", profile="LP", kind="declared", source=FEDERATION_API)
def waits_for_five_minutes(node: Node) -> Verdict:
    """POST /result may take five minutes"""
    return at_least(node, "limits", "sync_seconds", SECONDS, "seconds")


_RANGE = {"inputMin": 0, "inputMax": 10000, "outputMin": 0, "outputMax": 1}
