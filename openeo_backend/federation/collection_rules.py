"""What a federation asks of the document of a collection, as pure rules.

The numbers are those of the federation's published requirements: `API-...` of its API profile, `COL-...` of its page
on collections. `MERGE-...` are not written down there: they say what the aggregator loses when it merges collections.

The command `collection check` and the self-review share these rules. Documents come from anywhere: whatever a member
holds instead of what it should is a problem to tell, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from openeo_backend.catalog.vocabulary import FAMILIES, PLAIN_MEMBERS, family_of, schema_of
from openeo_backend.federation.collection_shapes import COLLECTION, DIMENSION
from openeo_backend.federation.merging_rules import RULES as MERGING
from openeo_backend.federation.problem import (
    Problem,
    band_labels,
    is_url,
    kind_of,
    listed,
    objects,
    relations,
    short,
    short_text,
    uris,
)

__all__ = ["HARMONISED", "Problem", "is_spdx", "problems"]

#: Ids of datasets that the federation has harmonised.
HARMONISED = ("SENTINEL1_GRD", "SENTINEL2_L1C", "SENTINEL2_L2A", "SENTINEL3_OLCI_L1B")

#: Bands and angles of SENTINEL2_L2A everywhere in the federation.
_L2A_BANDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL"),
    *("approximateViewAzimuth", "viewZenithMean", "sunAzimuthAngles", "sunZenithAngles"),
)

_NAME = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*")

_SUCCESSORS = {"successor-version", "latest-version"}

_STAC_VERSION = re.compile(r"(0\.9|1\.[0-9]+)\.[0-9]+(-[a-z0-9.]+)?")


def problems(document: Mapping[str, Any], title: str | None = None) -> list[Problem]:
    """All that a federation asks and the document of a collection lacks, as `/collections/{id}` answers it.

    Documents of the list `/collections` may leave out `cube:dimensions` and `summaries`: of theirs, take the
    problems `API-303` and `API-307`.

    :param title: the title of the back-end, to compare with the name of the provider that hosts; None leaves it.
    """
    found = [problem for rule in _RULES for problem in rule(document)]
    if title is not None:
        found += _host_title(document, title)
    if document.get("experimental") is True:
        exempt = ("API", "MERGE")
        found = [p if p.id.startswith(exempt) or p.id == "COL-15" else replace(p, level="recommended") for p in found]
    return found


def _stac(document: Mapping[str, Any]) -> Iterator[Problem]:
    version = document.get("stac_version")
    if not isinstance(version, str) or not _STAC_VERSION.fullmatch(version):
        yield Problem(
            "API-303",
            "required",
            f"The STAC version is {short(version)}, not 0.9.0 or later.",
            'Set stac_version to "1.0.0".',
        )
    for error in sorted(COLLECTION.iter_errors(document), key=lambda e: [str(part) for part in e.absolute_path]):
        where = ".".join(str(part) for part in error.absolute_path) or "the document"
        message = f"Not valid STAC: {where}: {short_text(error.message)}."
        for id in ("API-307", "API-321", "COL-4"):
            yield Problem(id, "required", message, "Mend this member in the STAC catalog or in the metadata setting.")


def _dimensions(document: Mapping[str, Any]) -> Iterator[Problem]:
    dimensions = document.get("cube:dimensions")
    if not isinstance(dimensions, Mapping) or not dimensions:
        for id in ("API-321", "COL-11"):
            yield Problem(id, "required", "There is no cube:dimensions.", "Describe the dimensions x, y, t and bands.")
        return
    for name, dimension in dimensions.items():
        for error in DIMENSION.iter_errors(dimension):
            where = ".".join(str(part) for part in (name, *error.absolute_path))
            message = f"The dimension is not valid: {where}: {short_text(error.message)}."
            yield Problem("COL-11", "required", message, "See the STAC extension datacube 2.2.0.")
    if "datacube" not in listed(document):
        hint = f"Add {schema_of(*FAMILIES['cube'])}."
        yield Problem("COL-11", "required", "stac_extensions does not list the extension datacube.", hint)
    kinds = {kind_of(dimension) for dimension in dimensions.values()}
    for kind in ("x", "y", "temporal", "bands"):
        if kind not in kinds:
            message = f"No dimension is of the kind '{kind}'."
            yield Problem("COL-11", "recommended", message, "Loaded cubes have x, y, t and bands: describe them all.")


def _license(document: Mapping[str, Any]) -> Iterator[Problem]:
    license = document.get("license")
    if isinstance(license, str) and not is_spdx(license) and "license" not in relations(document):
        message = f"The licence '{license[:60]}' is no SPDX identifier and no link with rel 'license' leads to it."
        hint = "Set catalog.collections.<id>.terms to the address of the licence, or add the link in the catalog."
        yield Problem("API-308", "required", message, hint)


def is_spdx(license: str) -> bool:
    """Whether a licence is named by SPDX; STAC's words `proprietary`, `various` and `other` are not."""
    try:
        return bool(canonicalize_license_expression(license)) and len(license) < 200
    except InvalidLicenseExpression:
        return False


def _title_and_keywords(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("title", "keywords"):
        if not document.get(name):
            message = f"There is no {name}, or an empty one."
            yield Problem("API-309", "required", message, f"Set {name} in the settings or the catalog.")


def _flags(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("experimental", "deprecated"):
        if name in document and not isinstance(document[name], bool):
            message = f"{name} is {short(document[name])}."
            yield Problem("API-311", "required", message, "Give true or false, or leave it out.")
    flagged = [name for name in ("experimental", "deprecated") if document.get(name) is True]
    versions = [uri for uri in uris(document) if family_of(uri) == "version"]
    if flagged and not versions:
        message = f"{' and '.join(flagged)} set, but stac_extensions does not list the extension version."
        yield Problem("API-311", "required", message, f"Add {schema_of(*PLAIN_MEMBERS['experimental'])}.")
    if "experimental" in flagged:
        if versions and not any("/v1.2" in uri for uri in versions):
            message = f"`experimental` came with version 1.2.0 of the extension; listed is {versions[0][:100]}."
            yield Problem("COL-15", "required", message, f"List {schema_of(*PLAIN_MEMBERS['experimental'])}.")
        message = "The collection is experimental: the federation does not consider it."
        yield Problem("COL-0b", "recommended", message, "Unset the flag once the collection is meant to last.")
    if "deprecated" in flagged and not _SUCCESSORS & relations(document):
        message = "The collection is deprecated, but no link leads to what replaces it."
        hint = "Add a link with the relation successor-version (or latest-version) to the collection to use instead."
        yield Problem("COL-8", "required", message, hint)


def _nulls(document: Mapping[str, Any]) -> Iterator[Problem]:
    for where in _null_paths(document, ()):
        message = f"The member {'.'.join(where)} is null."
        yield Problem("API-313", "required", message, "Leave members without a value out.")


def _null_paths(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Members that are null where only a value may stand; ends of extents and irregular steps may be open."""
    stack: list[tuple[Any, tuple[str, ...]]] = [(value, path)]
    while stack:
        here, where = stack.pop()
        if here is None:
            in_interval = where[:2] == ("extent", "temporal")
            in_dimension = where[:1] == ("cube:dimensions",) and where[2:3] in (("extent",), ("step",))
            if not in_interval and not in_dimension:
                yield where
        elif isinstance(here, Mapping):
            stack += [(entry, (*where, str(key))) for key, entry in here.items()]
        elif isinstance(here, list):
            stack += [(entry, (*where, str(index))) for index, entry in enumerate(here)]


def _name(document: Mapping[str, Any]) -> Iterator[Problem]:
    id, common = document.get("id"), document.get("common_name")
    if common is not None and not isinstance(common, str):
        yield Problem("COL-6", "required", f"common_name is {short(common)}.", "Give a text, or leave it out.")
        common = None
    if not isinstance(id, str) or _NAME.fullmatch(id):
        return
    hint = (
        "Publish it as PROVIDER_PLATFORM_LEVEL_... by catalog.collections.<id>.id, or name the dataset by "
        "catalog.collections.<id>.common_name."
    )
    message = f"The id '{id[:80]}' does not follow the naming convention (capitals and digits, parted by '_')"
    if common is None:
        yield Problem("API-324", "required", f"{message}, and there is no common_name.", hint)
    yield Problem("COL-12", "recommended", f"{message}.", hint)


def _harmonised(document: Mapping[str, Any]) -> Iterator[Problem]:
    id, common = document.get("id"), document.get("common_name")
    told = id if id in HARMONISED else common if common in HARMONISED else None
    if told is None:
        called = [_letters(text) for text in (id, document.get("title")) if isinstance(text, str)]
        near = next((name for name in HARMONISED if any(_letters(name) in text for text in called)), None)
        if near is not None:
            message = f"The collection '{str(id)[:80]}' looks like the harmonised dataset {near}, without saying so."
            hint = f'If it is the same data, set catalog.collections.<id>.common_name = "{near}".'
            yield Problem("COL-6", "recommended", message, hint)
    if told == "SENTINEL2_L2A":
        missing = [name for name in _L2A_BANDS if name not in band_labels(document)]
        if missing:
            message = f"Bands that SENTINEL2_L2A has everywhere are missing: {', '.join(missing)}."
            hint = "Add them as assets of the items, or say in the description that the collection has fewer."
            yield Problem("COL-13", "required", message, hint)


def _letters(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _extensions(document: Mapping[str, Any]) -> Iterator[Problem]:
    known = listed(document)
    wanted: dict[str, tuple[str, str]] = {}
    for member in _members(document):
        if entry := FAMILIES.get(member.split(":", 1)[0]) if ":" in member else None:
            wanted.setdefault(entry[0], (member, schema_of(*entry)))
    for member, entry in PLAIN_MEMBERS.items():
        if member in document:
            wanted.setdefault(entry[0], (member, schema_of(*entry)))
    for family, (member, schema) in wanted.items():
        if family not in known:
            message = f"'{member}' is used, but stac_extensions does not list the extension {family}."
            for id in ("API-325", "COL-4"):
                yield Problem(id, "required", message, f"Add {schema}.")


def _members(document: Mapping[str, Any]) -> Iterator[str]:
    """Names of the members of the collection, its summaries, assets and their bands."""
    yield from map(str, document)
    parts: list[Any] = [document.get("summaries")]
    for name in ("assets", "item_assets"):
        found = document.get(name)
        parts += list(found.values()) if isinstance(found, Mapping) else []
    parts += document["providers"] if isinstance(document.get("providers"), list) else []
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        yield from map(str, part)
        for entries in part.values():
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, Mapping):
                    yield from map(str, entry)


def _providers(document: Mapping[str, Any]) -> Iterator[Problem]:
    by_role: dict[str, list[Mapping[str, Any]]] = {}
    for provider in objects(document.get("providers")):
        roles = provider.get("roles")
        for role in roles if isinstance(roles, list) else ():
            by_role.setdefault(str(role), []).append(provider)
    for role, id in (("host", "API-327"), ("host", "COL-1"), ("producer", "COL-1")):
        if role not in by_role:
            hint = (
                "Add the provider in the catalog, or set catalog.collections.<id>.metadata.providers; the host is this "
                "back-end, with its title and address."
            )
            yield Problem(id, "required", f"No provider has the role '{role}'.", hint)
    if "host" in by_role and not any(is_url(provider.get("url")) for provider in by_role["host"]):
        yield Problem("API-327", "required", "The provider that hosts has no url.", "Set server.public_url.")


def _host_title(document: Mapping[str, Any], title: str) -> Iterator[Problem]:
    hosts = [
        str(provider.get("name"))
        for provider in objects(document.get("providers"))
        if isinstance(provider.get("roles"), list) and "host" in provider["roles"]
    ]
    if hosts and title not in hosts:
        message = f"The host is called {', '.join(hosts)[:100]}, the back-end '{title[:100]}'."
        yield Problem("API-327", "recommended", message, "Give the host the title of the back-end.")


def _attributes(document: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(document.get("summaries"), Mapping) or not document["summaries"]:
        yield Problem("API-321", "required", "There are no summaries.", "Summarise the properties of the items.")
        return
    summaries = document["summaries"]
    told = [name for name in ("platform", "constellation", "instruments", "gsd") if summaries.get(name)]
    if len(told) < 2:
        message = f"Summaries tell {', '.join(told) or 'none'} of platform, constellation, instruments, gsd."
        hint = "Set them in the items or in catalog.collections.<id>.metadata.summaries."
        yield Problem("COL-5", "recommended", message, hint)
    cites = {"cite-as", "about", "describedby", "license"} & relations(document)
    if not cites and not {"sci:doi", "sci:citation", "sci:publications"} & set(document):
        message = "Nothing says how to cite the data or where they are described."
        yield Problem("COL-5", "recommended", message, "Give sci:doi or sci:citation, or a link cite-as or about.")
    radar = any(str(name).startswith("sar:") for name in summaries)
    optical = any(band.get("common_name") for band in objects(summaries.get("eo:bands")))
    wanted = ["sar:instrument_mode", "sat:orbit_state", "sat:relative_orbit"] if radar else []
    wanted += ["eo:cloud_cover"] if optical and not radar else []
    missing = [name for name in wanted if name not in summaries]
    if missing:
        message = f"Common properties to filter by are not in the summaries: {', '.join(missing)}."
        yield Problem("COL-14", "recommended", message, "Set them in the items; summaries follow.")


def _limits(document: Mapping[str, Any]) -> Iterator[Problem]:
    extent = document.get("extent")
    spatial = extent.get("spatial") if isinstance(extent, Mapping) else None
    temporal = extent.get("temporal") if isinstance(extent, Mapping) else None
    intervals = temporal.get("interval") if isinstance(temporal, Mapping) else None
    if isinstance(intervals, list) and intervals and intervals[0] == [None, None]:
        message = "The temporal extent is open at both ends: it says nothing about what is there."
        yield Problem(
            "API-310", "required", message, "Give the dates of the first and, unless new ones come, the last item."
        )
    boxes = spatial.get("bbox") if isinstance(spatial, Mapping) else None
    description = document.get("description")
    if isinstance(description, str) and len(description) < 40:
        message = f"The description has {len(description)} characters: it cannot state the limits of the archive."
        hint = "Say in catalog.collections.<id>.description what of the original collection is here."
        yield Problem("COL-2", "recommended", message, hint)
    if boxes == [[-180, -90, 180, 90]] and isinstance(intervals, list) and intervals[:1] == [[None, None]]:
        message = "The extents are the whole world at all times."
        yield Problem("COL-2", "required", message, "Give the extents of the items that are there.")


_RULES: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    *(_stac, _title_and_keywords, _license, _nulls, _name, _harmonised, _flags, _extensions, _providers),
    *(_dimensions, _attributes, _limits),
    *MERGING,
)
