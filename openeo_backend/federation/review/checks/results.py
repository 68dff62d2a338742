"""Results of batch jobs: their STAC metadata, signed links, and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from openeo_backend.federation.review import answers
from openeo_backend.federation.review.check import (
    FEDERATION_API,
    FEDERATION_DESIGN,
    FEDERATION_FILE_FORMATS,
    JOB_OPTIONS,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
    not_applicable,
    warned,
)
from openeo_backend.federation.review.node import Node
from openeo_backend.federation.review.place import parsed
from openeo_backend.federation.review.rasters import Tiff, read_netcdf, read_tiff
from openeo_backend.net.door import Reply
from openeo_backend.observe.clock import now

#: Days that signed links work.
DAYS = 7
#: Versions of STAC that clients know.
VERSIONS = ("0.9.0", "1.0.0", "1.1.0")
#: What a STAC Collection and an Item must have.
COLLECTION = ("stac_version", "id", "description", "license", "extent", "links")
ITEM = ("stac_version", "id", "geometry", "properties", "links", "assets")
#: The media type of a cloud optimized GeoTIFF.
OPTIMIZED = "cloud-optimized"
GUIDE = "https://github.com/Open-EO/openeo-web-editor/blob/master/docs/geotiff.md"
FAIR = "https://documentation.dataspace.copernicus.eu/APIs/openEO/federation/backends/fair.html"


@check("API-860", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def lists_results(node: Node) -> Verdict:
    """GET /jobs/{id}/results gives the results of a job"""
    problems = answers.status("GET", node.trial.finished["results"], 200)
    return judged(problems, "There are results.", expected="200")


@check("API-861", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_have_statuses(node: Node) -> Verdict:
    """GET /jobs/{id}/results is 200 for a finished job and 424 for a failed one"""
    trial = node.trial
    problems = answers.status("GET of a finished job", trial.finished["results"], 200)
    if trial.failing["started"].status >= 400 or not trial.failing.polls or trial.failing.polls[-1][0] != "error":
        if problems:
            return judged(problems, "", expected="200")
        return warned("It is 200 for a finished job. The review could not make a job fail while it computes.")
    problems += answers.refusal("GET of a failed job", trial.failing["results"], (424,))
    return judged(problems, "They are 200 and 424.", expected="200; 424 with the error")


@check("API-863", profile="L1B/L2", kind="token", source=OPENEO_API_PROFILE)
def unfinished_results_are_refused(node: Node) -> Verdict:
    """Results of an unfinished job are given with partial=true only"""
    drafts = node.trial.drafts
    problems = answers.refusal(
        "GET without `partial`", drafts["unfinished"], (400, 404, 409, 424), ("JobNotFinished", "JobNotStarted")
    )
    partial = drafts["partial"]
    if partial.status == 200 and _link(answers.of(partial), "canonical") is None:
        return warned("With partial=true there is no canonical link, which jobs across back-ends need.")
    return judged(problems, f"Without it is refused; with it comes {partial.status}.", expected="400 JobNotFinished")


@check("API-865", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_are_stac(node: Node) -> Verdict:
    """Results are a STAC Item or Collection"""
    document = answers.of(node.trial.finished["results"])
    kind = document.get("type")
    wanted = {"Collection": COLLECTION, "Feature": ITEM}.get(str(kind))
    if wanted is None:
        return judged([f"`type` is {kind!r}"], "", expected="Collection or Feature")
    problems = [f"`{name}` is missing" for name in wanted if name not in document]
    if kind == "Collection" and not problems:
        extent = document["extent"]
        if not isinstance(extent, dict) or not extent.get("spatial") or not extent.get("temporal"):
            problems.append("`extent` has not both `spatial` and `temporal`")
    problems += [f"`{name}` is no array" for name in ("links",) if not isinstance(document.get(name), list)]
    for link in answers.objects(document, "links"):
        problems += [f"a link has no `{name}`" for name in ("rel", "href") if not isinstance(link.get(name), str)]
    problems += [] if isinstance(document.get("assets"), dict) else ["`assets` is no object"]
    if "item" in node.trial.finished:
        item = node.trial.finished["item"]
        problems += answers.status("The first item", item, 200)
        problems += [f"the first item has no `{name}`" for name in ITEM if name not in answers.of(item)]
    return judged(problems, f"A valid {kind}.", expected="what STAC requires")


@check("API-866", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_have_a_stac_version(node: Node) -> Verdict:
    """The STAC version of results is 0.9.0 or later"""
    version = answers.of(node.trial.finished["results"]).get("stac_version")
    problems = [] if version in VERSIONS else [f"`stac_version` is {version!r}"]
    return judged(problems, f"It is {version}.", expected="one of " + ", ".join(VERSIONS))


@check("API-869", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def assets_have_their_members(node: Node) -> Verdict:
    """Assets have href, type and title"""
    assets = _assets(answers.of(node.trial.finished["results"]))
    problems = [] if assets else ["there are no assets"]
    for name, asset in assets.items():
        problems += [f"{name} has no `{key}`" for key in ("href", "type") if not isinstance(asset.get(key), str)]
    if not problems and any(not asset.get("title") for asset in assets.values()):
        return warned("Some assets have no title.", expected="href and type, ideally also a title")
    return judged(problems, f"All {len(assets)} have them.", expected="href and type, ideally also a title")


@check("API-870", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_are_described(node: Node) -> Verdict:
    """Results have extents, projection, bands and dimensions"""
    document = answers.of(node.trial.finished["results"])
    text = _members(document)
    problems = [] if _has_extent(document) else ["there is no extent"]
    for what, names in (
        ("projection (proj:...)", ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")),
        ("bands", ("bands", "eo:bands", "raster:bands")),
        ("cube:dimensions", ("cube:dimensions",)),
    ):
        if not text.intersection(names):
            problems.append(f"there is no {what}")
    expected = "extent, proj:*, bands and cube:dimensions"
    if 0 < len(problems) < 4 and _has_extent(document):
        return warned("; ".join(problems) + ".", expected=expected)
    return judged(problems, "All are there.", expected=expected)


@check("API-871", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_have_canonical_links(node: Node) -> Verdict:
    """Results have a canonical link that works without a token"""
    record = node.trial.finished
    document = answers.of(record["results"])
    if _link(document, "canonical") is None:
        return judged(["there is no link with the relation canonical"], "", expected="a signed link to the document")
    reply = record["canonical"]
    problems = answers.status("The canonical link without a token", reply, 200)
    shared = answers.of(reply)
    if not problems and (shared.get("id") != document.get("id") or set(_assets(shared)) != set(_assets(document))):
        problems.append("it leads to another document")
    return judged(problems, "It leads to the same document.", expected="200 and the same document")


@check("API-872", profile="L1B/L2", kind="job", source=OPENEO_API_PROFILE)
def results_tell_when_links_expire(node: Node) -> Verdict:
    """Results tell until when their links work"""
    expires = _expires(node.trial.finished["results"])
    problems = [] if answers.is_instant(expires) else [f"`expires` is {expires!r}"]
    return judged(problems, f"Until {expires}.", expected="`expires` as RFC 3339 date-time")


@check("API-873", profile="LP", kind="job", source=FEDERATION_API)
def links_work_for_a_week(node: Node) -> Verdict:
    """Signed links work for seven days"""
    reply = node.trial.finished["results"]
    end = parsed(_expires(reply))
    if end is None:
        return judged(["there is no `expires`"], "", expected=f"{DAYS} days from now")
    left = end - _sent(reply)
    problems = [] if abs(left - timedelta(days=DAYS)) <= timedelta(minutes=1) else [f"they work for {left}"]
    holds = f"They work for {left}. Nobody waited until they end."
    return judged(problems, holds, expected=f"{DAYS} days, give or take a minute")


@check("JOB-5", profile="LP", kind="job", source=JOB_OPTIONS)
def links_are_signed_anew(node: Node) -> Verdict:
    """Links are signed anew with each request"""
    record = node.trial.finished
    first, second = (parsed(_expires(record[name])) for name in ("results", "results_again"))
    if first is None or second is None:
        return judged(["there is no `expires`"], "", expected="a later `expires` at the second request")
    problems = [] if second > first else [f"`expires` is {first:%c} and then {second:%c}"]
    return judged(problems, "They expire later.", expected="a later `expires` at the second request")


@check("CON-9", profile="LP", kind="job", source=FAIR, level="recommended")
def results_tell_their_origin(node: Node) -> Verdict:
    """Results link what they were derived from, and have the process"""
    document = answers.of(node.trial.finished["results"])
    problems = [] if _link(document, "derived_from") else ["no link has the relation derived_from"]
    if "processing:expression" not in _members(document):
        problems.append("there is no processing:expression with the process")
    return judged(problems, "Both are there.", expected="links derived_from, and processing:expression")


@check("CON-10", profile="LP", kind="job", source=FEDERATION_DESIGN)
def files_can_be_fetched_by_anybody(node: Node) -> Verdict:
    """Files of results can be fetched by link, without a token, by users and back-ends"""
    record = node.trial.finished
    assets = _assets(answers.of(record["results"]))
    problems = [] if assets else ["there are no assets"]
    insecure = []
    for name, asset in assets.items():
        href = urlsplit(str(asset.get("href")))
        if href.scheme not in ("http", "https"):
            problems.append(f"{name} is no http(s) URL but {href.scheme!r}")
        elif href.scheme == "http" and not node.is_local:
            insecure.append(f"{name} is no https URL")
    problems += insecure
    if not problems:
        reply = record["asset"]
        problems += answers.status("A file without a token", reply, 200)
        problems += [] if reply.content else ["the file is empty"]
    return judged(
        problems, "A file was fetched without a token.", expected="public https URLs that work without a token"
    )


@check("FF-1", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def one_file_per_date(node: Node) -> Verdict:
    """GeoTIFF: each date is a file of its own"""
    trial = node.trial
    document = answers.of(trial.finished["results"])
    dates = trial.dates
    if dates < 2:
        return not_applicable(f"{trial.place.collection} has less than two dates where the review looked.")
    tiffs = [asset for asset in _assets(document).values() if "tiff" in str(asset.get("type"))]
    problems = [] if len(tiffs) == dates else [f"{dates} dates became {len(tiffs)} GeoTIFF files"]
    return judged(problems, f"{dates} dates became as many files.", expected=f"{dates} files")


@check("FF-2", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def all_bands_in_a_file(node: Node) -> Verdict:
    """GeoTIFF: all bands are in the same file"""
    tiff, wanted = _first(node), len(node.trial.place.bands) or 1
    problems = [] if tiff.count == wanted else [f"{wanted} bands were asked for, the file has {tiff.count}"]
    return judged(problems, f"The file has {tiff.count} bands.", expected=f"{wanted} bands")


@check("FF-3", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def whole_extent_in_a_file(node: Node) -> Verdict:
    """GeoTIFF: the whole extent is in one file"""
    tiff, box = _first(node), node.trial.place.box
    if tiff.crs is None:
        return judged(["the file has no reference system"], "", expected="a georeferenced file")
    pixels = max((box[2] - box[0]) / max(tiff.width, 1), (box[3] - box[1]) / max(tiff.height, 1))
    slack = 2 * pixels
    inside = all(
        found <= asked + slack if side < 2 else found >= asked - slack
        for side, (found, asked) in enumerate(zip(tiff.bounds, box, strict=True))
    )
    shown = ", ".join(f"{value:.5f}" for value in tiff.bounds)
    problems = [] if inside else [f"the file covers {shown}"]
    return judged(problems, f"It covers {shown}.", expected=f"all of {', '.join(f'{value:.5f}' for value in box)}")


@check("FF-4", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def files_are_cloud_optimized(node: Node) -> Verdict:
    """GeoTIFF: files are cloud optimized"""
    small, reply = _first(node), node.trial.large
    expected = "tiles and overviews where it is large, directories before the data"
    problems = answers.status("POST /result for a larger GeoTIFF", reply, 200)
    if problems:
        return judged(problems, "", expected=expected)
    large = read_tiff(reply.content)
    problems = [f"a file of {tiff.width} x {tiff.height} pixels: {text}" for tiff in (small, large)
                for text in tiff.problems]  # fmt: skip
    return judged(problems, f"Also one of {large.width} x {large.height} pixels.", expected=expected)


@check("FF-8", profile="LP", kind="job", source=GUIDE, level="recommended")
def files_suit_the_web_editor(node: Node) -> Verdict:
    """GeoTIFF: files can be read in parts and tell browsers what they show"""
    record = node.trial.finished
    part, tiff = record["range"], _first(node)
    problems = []
    if part.status != 206 or len(part.content) != 100:
        problems.append(f"a request for 100 bytes is answered with {part.status} and {len(part.content)} bytes")
    exposed = part.headers.get("access-control-expose-headers", "").lower()
    if "content-range" not in exposed and "*" not in exposed:
        problems.append("Access-Control-Expose-Headers lacks Content-Range")
    if part.headers.get("access-control-allow-origin") not in ("*", "https://example.org"):
        problems.append("other origins may not read it")
    problems += ["it names no value for missing pixels"] if tiff.nodata is None else []
    problems += [] if tiff.has_statistics else ["bands have no statistics"]
    problems += [] if any(tiff.descriptions) else ["bands have no names"]
    for name, asset in list(_assets(answers.of(record["results"])).items())[:1]:
        found = _members(asset)
        if not found & {"proj:code", "proj:epsg"}:
            problems.append(f"the asset {name} has no proj:code")
        if not found & {"nodata", "statistics"}:
            problems.append(f"the asset {name} has neither nodata nor statistics of its bands")
        if OPTIMIZED not in str(asset.get("type")):
            problems.append(f"the media type of {name} is {asset.get('type')!r}")
    return judged(problems, "They do.", expected="ranges, CORS, nodata, statistics, names of bands, proj:code")


@check("FF-5", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def netcdf_holds_the_whole_cube(node: Node) -> Verdict:
    """netCDF: the whole cube is in one file"""
    trial, place = node.trial, node.trial.place
    reply = trial.netcdf
    problems = answers.status("POST /result for netCDF", reply, 200)
    if problems:
        return judged(problems, "", expected="one netCDF file")
    file = read_netcdf(reply.content)
    names = set(file.dimensions) | set(file.variables)
    problems = [f"there is no dimension {name}" for name, kind in place.dimensions.items()
                if name not in names and kind != "bands"]  # fmt: skip
    known = names | {label for labels in file.labels.values() for label in labels}
    problems += [f"there is no band {band}" for band in place.bands if band not in known]
    shown = ", ".join(f"{name} ({size})" for name, size in file.dimensions.items())
    return judged(problems, f"One file with {shown}.", expected="one file with all dimensions and bands")


@check("FF-6", profile="LP", kind="job", source=FEDERATION_FILE_FORMATS)
def netcdf_is_described_and_compressed(node: Node) -> Verdict:
    """netCDF: dimensions, CF conventions, chunks and compression"""
    reply = node.trial.netcdf
    problems = answers.status("POST /result for netCDF", reply, 200)
    if problems:
        return judged(problems, "", expected="a netCDF file")
    file = read_netcdf(reply.content)
    if "CF-" not in str(file.attributes[""].get("Conventions")):
        problems.append(f"`Conventions` is {file.attributes[''].get('Conventions')!r}")
    if not file.cubes:
        problems.append("no variable has data")
    for name in file.cubes[:3]:
        if file.attributes[name].get("grid_mapping") not in file.variables:
            problems.append(f"{name} has no grid mapping")
        in_chunks, is_compressed = file.packed.get(name, (False, False))
        problems += [] if in_chunks else [f"{name} is not in chunks"]
        problems += [] if is_compressed else [f"{name} is not compressed"]
    if node.trial.place.of("temporal") and not file.times:
        problems.append("no variable has times with units of CF")
    return judged(problems, "All of it.", expected="Conventions CF, grid_mapping, chunks, compression")


def _first(node: Node) -> Tiff:
    """The first GeoTIFF file of the small job."""
    record = node.trial.finished
    record["results"]
    return read_tiff(record["asset"].content)


def _assets(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The assets with data, by name."""
    assets = document.get("assets")
    found = {} if not isinstance(assets, dict) else {k: v for k, v in assets.items() if isinstance(v, dict)}
    data = {name: asset for name, asset in found.items() if "data" in (asset.get("roles") or ["data"])}
    return data or found


def _link(document: Mapping[str, Any], rel: str) -> str | None:
    return next((str(e.get("href")) for e in answers.objects(document, "links") if e.get("rel") == rel), None)


def _expires(reply: Reply) -> Any:
    document = answers.of(reply)
    properties = document.get("properties")
    return document.get("expires", properties.get("expires") if isinstance(properties, dict) else None)


def _sent(reply: Reply) -> datetime:
    """When an answer was sent, by the clock of the server."""
    try:
        return parsedate_to_datetime(reply.headers["date"]).astimezone(UTC)
    except (LookupError, TypeError, ValueError):
        return now()


def _has_extent(document: Mapping[str, Any]) -> bool:
    extent = document.get("extent")
    if isinstance(extent, dict):
        return bool(extent.get("spatial")) and bool(extent.get("temporal"))
    return bool(document.get("bbox"))


def _members(value: Any) -> set[str]:
    """The names of all members, however deep."""
    return set(_names(value))


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)
