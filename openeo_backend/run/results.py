"""What a run made, as STAC: a Collection with all assets on top and an Item per time step.

Written in STAC 1.0.0 with the older band fields beside those of 1.1.0, since clients read the one or the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from openeo_backend.observe.clock import timestamp
from openeo_backend.run import origin
from openeo_backend.run.bands import NO_STATISTICS, eo_band, raster_band, stac_band, without_nulls

STAC_VERSION = "1.0.0"

EXTENSIONS = {
    "datacube": "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
}

#: State of the results by state of the job: the API knows fewer of them.
STATUS = {"created": "running", "queued": "running"}

File = Mapping[str, Any]


class Job(Protocol):
    """What documents tell of the run behind them: a batch job as it is stored, or an export."""

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str | None: ...

    @property
    def description(self) -> str | None: ...

    @property
    def process(self) -> Mapping[str, Any]: ...

    @property
    def status(self) -> str: ...

    @property
    def created(self) -> datetime: ...

    @property
    def updated(self) -> datetime: ...

    @property
    def finished(self) -> datetime | None: ...

    @property
    def result(self) -> Mapping[str, Any] | None:
        """As :func:`describe` makes it."""


@dataclass(frozen=True)
class Links:
    """Where the parts of a result are, for whom the document is written."""

    canonical: str
    """The signed link to the document itself."""
    expires: datetime
    """Until when the signed links work."""
    file: Callable[[str], str]
    """The signed link to a file by name."""
    item: Callable[[str], str]
    """The signed link to an item by id."""
    own: Sequence[Mapping[str, Any]] = ()
    """More links for the owner of the job."""
    provider: Mapping[str, Any] = field(default_factory=lambda: {"name": "openEO back-end"})
    """Who computed the result and offers it: name and, where it is known, URL."""
    input: Callable[[str], str | None] = lambda path: None
    """The address of an item of a collection of this back-end by its path below the API root; None where it is not
    known."""


def describe(files: Sequence[File], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept about a result: files (see Outcome.files), provenance, and what they cover together."""
    names = [file["name"] for file in files]
    if len(set(names)) < len(names):
        raise ValueError(f"two files of a result have the same name: {sorted(names)}")
    boxes = [file["bbox"] for file in files if file.get("bbox")]
    starts = [file["start"] for file in files if file.get("start")]
    ends = [file.get("end") or file["start"] for file in files if file.get("start")]
    described: dict[str, Any] = {"files": [dict(file) for file in files], "provenance": dict(provenance)}
    if boxes:
        described["bbox"] = [*(min(b[i] for b in boxes) for i in (0, 1)), *(max(b[i] for b in boxes) for i in (2, 3))]
    if starts:
        described |= {"start": rfc3339(min(starts)), "end": rfc3339(max(ends))}
    return described


def extras(job: Job) -> dict[str, Any]:
    """Members of the job's own document that a federation builds the extent of a result from."""
    result = job.result or {}
    found: dict[str, Any] = {}
    if "bbox" in result:
        found |= {"bbox": result["bbox"], "geometry": rectangle(result["bbox"])}
    if "start" in result:
        found |= {"start_datetime": result["start"], "end_datetime": result["end"]}
    projections = [projection(file) for file in result.get("files", []) if file.get("proj")]
    if projections and all(p == projections[0] for p in projections):
        code, first = str(projections[0].get("proj:code", "")), projections[0]
        if code.startswith("EPSG:"):
            found["epsg"] = int(code[5:])
        found |= {name.replace(":", "_"): first[name] for name in ("proj:shape", "proj:bbox") if name in first}
    return found | _instruments(job)


def collection(job: Job, links: Links) -> dict[str, Any]:
    """The STAC Collection of a job's results; without assets while there are none."""
    files = _assets(job)
    document: dict[str, Any] = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": job.id,
        "title": job.title or f"Results of job {job.id}",
        "description": job.description or job.title or f"Results of the openEO batch job {job.id}.",
        "license": origin.license(job),
        "keywords": ["openEO"],
        "providers": origin.providers(job, links),
        "extent": _extent(job),
        "summaries": _summaries(files) | _instruments(job),
        "created": timestamp(job.created),
        "updated": timestamp(job.updated),
        "expires": timestamp(links.expires),
        "openeo:status": STATUS.get(job.status, job.status),
        **origin.processing(job),
        "links": _links(job, links),
        "assets": {file["name"]: asset(file, links) for file in files},
    }
    found = dimensions(files)
    if found:
        document["cube:dimensions"] = found
    document["stac_extensions"] = _extensions(files, with_cube=bool(found))
    return without_nulls(document)


def items(job: Job) -> dict[str, list[File]]:
    """The files that have a place and a time, by the id of their Item: one per time step."""
    grouped: dict[str, list[File]] = {}
    for file in _assets(job):
        if file.get("bbox"):
            grouped.setdefault(_item_id(job, file), []).append(file)
    return grouped


def item(job: Job, id: str, links: Links) -> dict[str, Any] | None:
    """The STAC Item of a time step; None if there is none with this id."""
    files = items(job).get(id)
    if files is None:
        return None
    document = _feature(job, id, files, links)
    document["assets"] = dict(zip(_item_keys(files), document["assets"].values(), strict=True))
    return document


def feature(job: Job, links: Links) -> dict[str, Any]:
    """The whole result as one STAC Item, for clients that ask for GeoJSON."""
    document = _feature(job, job.id, _assets(job), links)
    document.pop("collection")
    document["links"] = [link for link in _links(job, links) if link["rel"] != "item"]
    properties = {"expires": timestamp(links.expires), "openeo:status": STATUS.get(job.status, job.status)}
    document["properties"] |= properties | {"license": origin.license(job)}
    return document


def asset(file: File, links: Links) -> dict[str, Any]:
    """A file as STAC asset."""
    described: dict[str, Any] = {
        "href": links.file(file["name"]),
        "type": file["media_type"],
        "title": file.get("title") or file["name"],
        "roles": list(file.get("roles") or ["data"]),
        "file:size": file["size"],
        "file:checksum": multihash(file["checksum"]),
        **projection(file),
    }
    bands = file.get("bands") or []
    if bands:
        described["bands"] = [stac_band(band) for band in bands]
        described["eo:bands"] = [eo_band(band) for band in bands]
        described["raster:bands"] = [raster_band(band) for band in bands]
    return without_nulls(described)


def projection(file: File) -> dict[str, Any]:
    """The fields of the projection extension for a file."""
    proj = dict(file.get("proj") or {})
    return {name if name.startswith("proj:") else f"proj:{name}": value for name, value in proj.items()}


def checksum(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, for those who keep it: answers need none."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def multihash(checksum: str) -> str:
    """A SHA-256 in hexadecimal as the multihash that the file extension wants."""
    return f"1220{checksum}" if len(checksum) == 64 else checksum


def rectangle(bbox: Sequence[float]) -> dict[str, Any]:
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def rfc3339(instant: str) -> str:
    """An ISO 8601 instant or date as RFC 3339 date-time in UTC."""
    text = instant if "T" in instant else f"{instant}T00:00:00"
    return text if text.endswith("Z") or re.search(r"[+-]\d\d:\d\d$", text) else f"{text}Z"


def _assets(job: Job) -> list[File]:
    """The files that are results. Pictures of them are linked only: clients take a sole asset for the result."""
    return [file for file in (job.result or {}).get("files", []) if not _is_preview(file)]


def _is_preview(file: File) -> bool:
    return "thumbnail" in (file.get("roles") or ())


def _item_id(job: Job, file: File) -> str:
    start, end = file.get("start"), file.get("end")
    if not start:
        return job.id
    parts = [rfc3339(start)] if end in (None, start) else [rfc3339(start), rfc3339(end)]
    return "_".join([job.id, *(part.removesuffix("Z").removesuffix("T00:00:00").replace(":", "") for part in parts)])


def _item_keys(files: Sequence[File]) -> list[str]:
    """Keys of assets that are the same in each Item: readers take the assets of one key for one time series."""
    keys: list[str] = []
    for file in files:
        node = str(file.get("node") or "data")
        key, number = node, 2
        while key in keys:
            key, number = f"{node}-{number}", number + 1
        keys.append(key)
    return keys


def _feature(job: Job, id: str, files: Sequence[File], links: Links) -> dict[str, Any]:
    covered = describe(files, {})
    start, end = covered.get("start"), covered.get("end")
    # STAC wants an instant; what has no time of its own is dated by its making.
    single = start if start == end else None
    when: dict[str, Any] = {"datetime": single or (None if start else timestamp(job.finished or job.updated))}
    if start:
        when |= {"start_datetime": start, "end_datetime": end}
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "id": id,
        "collection": job.id,
        "geometry": rectangle(covered["bbox"]) if "bbox" in covered else None,
        "properties": when
        | {
            "created": timestamp(job.created),
            "updated": timestamp(job.updated),
            **_instruments(job),
            **origin.processing(job),
        },
        "links": [
            {"rel": "self", "href": links.item(id), "type": "application/geo+json"},
            *(
                {"rel": rel, "href": links.canonical, "type": "application/json"}
                for rel in ("root", "parent", "collection")
            ),
            *origin.derived(job, links),
        ],
        "assets": {file["name"]: asset(file, links) for file in files},
    }
    if "bbox" in covered:
        document["bbox"] = covered["bbox"]
    projections = [projection(file) for file in files if file.get("proj")]
    if projections and all(p == projections[0] for p in projections):
        document["properties"] |= projections[0]
    found = dimensions(files)
    if found:
        document["properties"]["cube:dimensions"] = found
    document["stac_extensions"] = _extensions(files, with_cube=bool(found))
    return document


def _links(job: Job, links: Links) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"rel": "canonical", "href": links.canonical, "type": "application/json", "title": "This document, signed"}
    ]
    found += [dict(link) for link in links.own]
    for id in items(job):
        found.append({"rel": "item", "href": links.item(id), "type": "application/geo+json", "title": id})
    for file in (job.result or {}).get("files", []):
        if _is_preview(file):
            link = {"rel": "preview", "href": links.file(file["name"]), "type": file["media_type"]}
            found.append(link | {"title": file.get("title") or file["name"]})
    return found + origin.derived(job, links)


def _instruments(job: Job) -> dict[str, Any]:
    """The instruments that measured what the results are made of, as a STAC field; empty where none are known."""
    names = ((job.result or {}).get("provenance") or {}).get("instruments")
    return {"instruments": list(names)} if names else {}


def _extent(job: Job) -> dict[str, Any]:
    result = job.result or {}
    interval = [result.get("start"), result.get("end")]
    if interval[0] is None:
        # STAC wants an interval with an end; what has no time of its own is dated by its making.
        interval = [timestamp(job.finished or job.updated)] * 2
    return {
        "spatial": {"bbox": [result.get("bbox") or [-180, -90, 180, 90]]},
        "temporal": {"interval": [interval]},
    }


def _summaries(files: Sequence[File]) -> dict[str, Any]:
    """Bands and reference systems of all files; the same band of several files once."""
    bands: dict[str, Mapping[str, Any]] = {}
    codes: dict[str, None] = {}
    for file in files:
        for band in file.get("bands") or ():
            bands.setdefault(band["name"], band)
        code = projection(file).get("proj:code")
        if code:
            codes[code] = None
    summaries: dict[str, Any] = {}
    if bands:
        summaries["eo:bands"] = [eo_band(band) for band in bands.values()]
        # Values differ from file to file, so statistics stay with the files.
        summaries["bands"] = [stac_band({**band, **NO_STATISTICS}) for band in bands.values()]
    if codes:
        summaries["proj:code"] = list(codes)
    return summaries


def dimensions(files: Sequence[File]) -> dict[str, Any]:
    """Dimensions that all files agree on, with the union of labels and extents of those they do not."""
    merged: dict[str, Any] = {}
    for file in files:
        for name, dimension in (file.get("dimensions") or {}).items():
            merged[name] = _merge(merged[name], dimension) if name in merged else dict(dimension)
    return merged


def _merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    if one.get("values") and other.get("values"):
        merged["values"] = list(dict.fromkeys([*one["values"], *other["values"]]))
        if one.get("type") == "temporal":
            merged["values"].sort()
    if one.get("extent") and other.get("extent"):
        lows, highs = zip(one["extent"], other["extent"], strict=True)
        merged["extent"] = [min(lows, key=_none_first), max(highs, key=_none_last)]
    return merged


def _none_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _none_last(value: Any) -> tuple[bool, Any]:
    return (value is None, value)


def _extensions(files: Sequence[File], with_cube: bool) -> list[str]:
    used = ["processing"]
    used += ["file"] if files else []
    used += ["proj"] if any(file.get("proj") for file in files) else []
    used += ["eo", "raster"] if any(file.get("bands") for file in files) else []
    used += ["datacube"] if with_cube else []
    return [EXTENSIONS[name] for name in sorted(used)]
