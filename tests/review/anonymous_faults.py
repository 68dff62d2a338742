"""A fault for each check that looks at public documents, or at what the provider declares."""

from __future__ import annotations

from typing import Any

from fault import Answer, Fault, edited

ROOT = r"/openeo/1\.2"
HOME = f"{ROOT}/"
WELL_KNOWN = r"/\.well-known/openeo"
PROCESSES = rf"{ROOT}/processes"
ALL_PROCESSES = rf"{PROCESSES}(\?.*)?"
COLLECTIONS = rf"{ROOT}/collections"
ONE = rf"{ROOT}/collections/SENTINEL2_L2A"
FORMATS = rf"{ROOT}/file_formats"
RUNTIMES = rf"{ROOT}/udf_runtimes"
OIDC = rf"{ROOT}/credentials/oidc"
VALIDATION = rf"{ROOT}/validation"

SIZE_TESTED = """
    add_dimension aggregate_spatial aggregate_temporal aggregate_temporal_period apply apply_dimension apply_kernel
    dimension_labels drop_dimension filter_bands filter_bbox filter_spatial filter_temporal load_collection mask
    mask_polygon merge_cubes ndvi reduce_dimension rename_dimension rename_labels resample_cube_spatial
    resample_spatial save_result
"""

#: What the good back-end's provider declares.
DECLARED: dict[str, Any] = {
    "provider": {"support": "a@example.org", "until": "2030", "announcements": "forum", "notice_months": 6},
    "agreement": {"signed": "2026-09-01", "privacy_policy": True, "terms": True},
    "availability": {"monthly_percent": [99.9, 99.2, 99.8]},
    "size_test": {
        "report": "https://example.org",
        "date": "2026-09-01",
        "version": "1",
        "processes": SIZE_TESTED.split(),
    },
    "collections": {"whole_archive": True, "latency_hours": 24},
    "federation": {"collections": ["SENTINEL3_SLSTR"]},
    "previous": {"metadata": {"collections": {}, "experimental": {"add": False}}},
}


def sets(**members: Any) -> Any:
    """The document with other members; None removes one."""

    def edit(body: dict[str, Any]) -> None:
        for name, value in members.items():
            body.pop(name.replace("__", ":"), None)
            if value is not None:
                body[name.replace("__", ":")] = value

    return edited(edit)


def of(name: str, id: str, **members: Any) -> Any:
    """The document in which one entry of a list has other members; None removes one."""

    def edit(body: dict[str, Any]) -> None:
        (entry,) = (entry for entry in body[name] if entry["id"] == id)
        for member, value in members.items():
            entry.pop(member, None)
            if value is not None:
                entry[member] = value

    return edited(edit)


def nulls(name: str, id: str, member: str) -> Any:
    return edited(lambda body: next(e for e in body[name] if e["id"] == id).update({member: None}))


def without(name: str, *ids: str) -> Any:
    def edit(body: dict[str, Any]) -> None:
        body[name] = [entry for entry in body[name] if entry["id"] not in ids]

    return edited(edit)


def without_endpoints(*paths: str) -> Any:
    def edit(body: dict[str, Any]) -> None:
        body["endpoints"] = [entry for entry in body["endpoints"] if entry["path"] not in paths]

    return edited(edit)


def without_methods(path: str, *methods: str) -> Any:
    def edit(body: dict[str, Any]) -> None:
        (entry,) = (entry for entry in body["endpoints"] if entry["path"] == path)
        entry["methods"] = [method for method in entry["methods"] if method not in methods]

    return edited(edit)


def _without_ways(body: dict[str, Any]) -> None:
    for entry in body["endpoints"]:
        if entry["path"].startswith("/credentials"):
            entry["methods"] = []


def becomes(status: int) -> Any:
    return lambda answer: answer.is_(status)


def headers(**changed: str | None) -> Any:
    return lambda answer: answer.has(**changed)


def format(side: str, name: str, **members: Any) -> Any:
    def edit(body: dict[str, Any]) -> None:
        entry = body[side][name]
        for member, value in members.items():
            entry.pop(member, None)
            if value is not None:
                entry[member] = value

    return edited(edit)


def _renamed(body: dict[str, Any]) -> None:
    body["output"]["GeoTIFF"] = body["output"].pop("GTiff")


def _twice(body: dict[str, Any]) -> None:
    body["output"]["GTIFF"] = body["output"]["GTiff"]


def _runtime(**members: Any) -> Any:
    python = {"title": "Python", "description": "x", "type": "language", "default": "3", "versions": {"3": {}}}
    whole = {**python, **members}
    return lambda answer: answer.says({"Python": {name: value for name, value in whole.items() if value is not None}})


def _provider(**members: Any) -> Any:
    def edit(body: dict[str, Any]) -> None:
        for name, value in members.items():
            for provider in body["providers"]:
                provider.pop(name, None)
                if value is not None:
                    provider[name] = value

    return edited(edit)


def _paged(document: Answer) -> Answer:
    body = document.json
    body["links"] = [*body["links"], {"rel": "next", "href": "https://example.org/next"}]
    return document.says(body)


def _first(name: str) -> Any:
    return edited(lambda body: body.update({name: body[name][:1], "links": []}))


def _summary(name: str, value: Any) -> Any:
    return edited(lambda body: body["summaries"].update({name: value}))


def _dimension(name: str, **members: Any) -> Any:
    return edited(lambda body: body["cube:dimensions"][name].update(members))


def _open_end(body: dict[str, Any]) -> None:
    body["extent"]["temporal"]["interval"] = [["2024-01-01T00:00:00Z", None]]


def _without_extension(family: str) -> Any:
    def edit(body: dict[str, Any]) -> None:
        body["stac_extensions"] = [uri for uri in body["stac_extensions"] if f"/{family}/" not in uri]

    return edited(edit)


def _without_role(role: str) -> Any:
    def edit(body: dict[str, Any]) -> None:
        for provider in body["providers"]:
            provider["roles"] = [own for own in provider["roles"] if own != role]

    return edited(edit)


def _dimension_renamed(body: dict[str, Any]) -> None:
    body["cube:dimensions"]["time"] = body["cube:dimensions"].pop("t")


def _without_band(body: dict[str, Any]) -> None:
    body["cube:dimensions"]["bands"]["values"].remove("SCL")
    body["summaries"]["eo:bands"] = [band for band in body["summaries"]["eo:bands"] if band["name"] != "SCL"]


def _common_name(body: dict[str, Any]) -> None:
    body["summaries"]["eo:bands"][0]["common_name"] = "rededge071"


def _requires(body: dict[str, Any]) -> None:
    (process,) = (process for process in body["processes"] if process["id"] == "add")
    process["parameters"].append({"name": "z", "description": "", "schema": {}})


def _no_id(body: dict[str, Any]) -> None:
    body["processes"].append({**body["processes"][0], "id": None})


def _more_processes(body: dict[str, Any]) -> None:
    there = {process["id"]: process for process in body["processes"]}
    missing = {
        "run_udf": ("data", "udf", "runtime"),
        "load_uploaded_files": ("paths", "format"),
        "load_ml_model": ("uri",),
        "save_ml_model": ("data",),
    }
    for id, names in missing.items():
        if id not in there:
            parameters = [{"name": name, "description": "", "schema": {}} for name in names]
            process = {**there["load_url"], "id": id, "experimental": True, "parameters": parameters}
            body["processes"].append(process)


def _richer(body: dict[str, Any]) -> None:
    body["sci:citation"] = "Nobody (2026): Fields"
    body["stac_extensions"].append("https://stac-extensions.github.io/scientific/v1.0.0/schema.json")
    body["summaries"].setdefault("platform", ["mast"])


def _flagged(flag: str, version: str, value: Any = True) -> Any:
    """A collection with a flag of the extension version."""

    def edit(body: dict[str, Any]) -> None:
        body[flag] = value
        body["stac_extensions"].append(f"https://stac-extensions.github.io/version/{version}/schema.json")

    return edited(edit)


def _more_endpoints(body: dict[str, Any]) -> None:
    if not any(entry["path"] == "/udf_runtimes" for entry in body["endpoints"]):
        body["endpoints"].append({"path": "/udf_runtimes", "methods": ["GET"]})


def _undescribed(body: dict[str, Any]) -> None:
    body["billing"] = {name: body["billing"][name] for name in ("currency", "default_plan")}


def _silent_about_production(body: dict[str, Any]) -> None:
    (version,) = (version for version in body["versions"] if version["api_version"] == "1.2.0")
    del version["production"]


def fault(id: str, path: str = "", change: Any = None, *also: str, **rest: Any) -> Fault:
    return Fault(id, path, change, frozenset(also), **rest)


def declares(id: str, section: str, *also: str, **members: Any) -> Fault:
    return Fault(id, also=frozenset(also), declaration={section: {**DECLARED.get(section, {}), **members}})


#: What a back-end of ours does not have yet, or not in a small demo.
BETTER = [
    fault("", HOME, edited(_more_endpoints)),
    fault("", ALL_PROCESSES, edited(_more_processes)),
    fault("", RUNTIMES, _runtime()),
    fault("", rf"{COLLECTIONS}/(?!OPENEO_)[^/?]+", edited(_richer)),
]

ANONYMOUS_FAULTS: list[Fault] = [
    fault("API-1", ".*", headers(access_control_allow_headers="Content-Type"), method="OPTIONS"),
    fault("API-2", ".*", headers(access_control_allow_origin=None), method="PATCH"),
    fault("API-3", ".*", headers(access_control_expose_headers="Location, Link"), method="DELETE"),
    fault("API-4", "", None, "API-111", "AUTH-8", public=True),
    fault("API-5", FORMATS, headers(content_type="application/json; charset=latin-1")),
    fault("API-6", rf"{ROOT}/collections/OPENEO_REVIEW.*", becomes(200)),
    fault("API-7", rf"{ROOT}/collections/OPENEO_REVIEW.*", sets(code=None)),
    fault("API-8", rf"{COLLECTIONS}/OPENEO_REVIEW.*", sets(id=None)),
    fault("API-20", WELL_KNOWN, becomes(404), "API-4", "API-21", "API-22", "MERGE-WELL-KNOWN"),
    fault("API-21", WELL_KNOWN, edited(lambda body: body["versions"][0].pop("api_version"))),
    fault("API-22", WELL_KNOWN, edited(_silent_about_production)),
    fault("API-30", HOME, sets(id=None)),
    fault("API-31", HOME, without_endpoints("/conformance")),
    fault("API-31", HOME, without_endpoints("/jobs/{job_id}/logs")),
    fault("API-31", HOME, without_endpoints("/collections/{collection_id}/queryables")),
    fault(
        "API-32",
        HOME,
        edited(lambda body: body["endpoints"].append({"path": "/openeo-review-no-such-endpoint", "methods": ["GET"]})),
    ),
    fault("API-33", HOME, sets(api_version="1.0.0"), "CON-6"),
    fault("API-34", HOME, sets(stac_version="0.8.0")),
    fault("API-35", HOME, edited(lambda body: body["billing"].pop("currency")), "AUTH-6"),
    fault("API-40", FORMATS, sets(input=[]), "API-47", "API-48", "API-49"),
    fault("API-41", FORMATS, becomes(401), readers=True),
    fault("API-43", FORMATS, sets(output={}), "API-45", "FF-7"),
    fault("API-44", FORMATS, edited(lambda body: body["output"].update(XYZZY=body["output"]["JSON"]))),
    fault("API-45", FORMATS, edited(lambda body: body["output"].pop("netCDF"))),
    fault("API-47", FORMATS, format("output", "JSON", description=""), "API-49"),
    fault("API-48", FORMATS, format("output", "JSON", gis_data_types=None)),
    fault("API-49", FORMATS, format("output", "JSON", title=None)),
    fault("API-60", rf"{ROOT}/conformance", becomes(404), "API-32", "API-61"),
    fault("API-61", rf"{ROOT}/conformance", sets(conformsTo="x")),
    fault("API-71", HOME, without_endpoints("/udf_runtimes"), "API-31"),
    fault("API-72", RUNTIMES, becomes(401), "API-74", "API-75", login=False),
    fault("API-73", RUNTIMES, becomes(403), login=True),
    fault("API-74", RUNTIMES, _runtime(default="2")),
    fault("API-75", RUNTIMES, _runtime(title=None)),
    fault("API-90", rf"{ROOT}/health", becomes(404), "API-32", "MERGE-HEALTH"),
    fault("API-101", rf"{ROOT}/me", becomes(403)),
    fault("API-102", rf"{ROOT}/me", becomes(401)),
    fault("API-110", HOME, edited(_without_ways), "API-112", "API-31"),
    fault("API-111", "", None, "API-4", "AUTH-8", public=True),
    fault("API-112", OIDC, sets(providers=[]), "API-113", "AUTH-1"),
    fault("API-113", OIDC, _provider(issuer="https://login.example.org"), "AUTH-1"),
    fault("API-200", PROCESSES, sets(links=None), "API-204"),
    fault("API-201", PROCESSES, becomes(401), readers=True),
    fault("API-203", rf"{PROCESSES}\?limit=1", _first("processes")),
    fault("API-204", PROCESSES, _paged),
    fault("API-205", PROCESSES, of("processes", "add", description=None), "PROC-SCHEMA"),
    fault("API-206", PROCESSES, edited(_requires)),
    fault("API-207", PROCESSES, of("processes", "add", categories=None)),
    fault("API-208", PROCESSES, of("processes", "nan", experimental=None)),
    fault("API-209", PROCESSES, nulls("processes", "add", "exceptions")),
    fault("API-300", COLLECTIONS, sets(links=None), "API-304", "API-306"),
    fault("API-301", COLLECTIONS, becomes(401), readers=True),
    fault("API-303", ONE, sets(stac_version="0.8.0")),
    fault("API-304", HOME, edited(lambda body: body["conformsTo"].clear())),
    fault("API-305", rf"{COLLECTIONS}\?limit=1", _first("collections")),
    fault("API-306", COLLECTIONS, _paged),
    fault("API-307", COLLECTIONS, of("collections", "SENTINEL2_L2A", license=None)),
    fault("API-308", ONE, sets(license="proprietary", links=[{"rel": "self", "href": "https://example.org"}])),
    fault("API-309", ONE, sets(keywords=[])),
    fault("API-311", ONE, _flagged("deprecated", "v1.2.0", "no")),
    fault("API-313", ONE, edited(lambda body: body.update({"item_assets": None}))),
    fault("API-320", ONE, sets(id="SENTINEL2"), "COL-6"),
    fault("API-321", ONE, sets(cube__dimensions=None), "COL-11", "COL-13"),
    fault("API-322", ONE, becomes(401), "API-320"),
    fault("API-324", ONE, sets(id="sentinel-2-l2a"), "API-320", "COL-12", "COL-6"),
    fault("API-325", ONE, _without_extension("eo"), "COL-4"),
    fault("API-327", ONE, _without_role("host"), "COL-1"),
    fault("API-330", rf"{ONE}/queryables", sets(type="thing")),
    fault("API-490", VALIDATION, becomes(500), "API-491", "API-493", method="POST"),
    fault("API-491", VALIDATION, sets(errors=[{"code": "X", "message": "x"}]), method="POST"),
    fault("API-492", VALIDATION, sets(errors=[{"code": "X"}]), method="POST", body="no_such"),
    fault("API-493", VALIDATION, becomes(400), method="POST", body="no_such"),
    fault("API-494", VALIDATION, sets(errors=[]), method="POST", body='"id"'),
    fault("API-495", VALIDATION, sets(errors=[]), method="POST", body='"parameters"'),
    fault("API-496", VALIDATION, sets(errors=[]), method="POST", body='"returns"'),
    fault("API-497", VALIDATION, sets(errors=[]), method="POST", body='"one"'),
    fault("API-701", HOME, without_endpoints("/jobs", "/result"), "API-31", "API-702", "API-703"),
    fault("API-702", HOME, without_endpoints("/jobs"), "API-31", "API-703"),
    fault("API-703", HOME, without_methods("/jobs/{job_id}/results", "DELETE")),
    declares("API-704", "retention", "CON-7", results_days=30),
    declares("API-705", "retention", "CON-7", metadata_days=90),
    fault("PROC-L1/L2/L2A", ALL_PROCESSES, without("processes", "tanh")),
    fault("PROC-L2P", ALL_PROCESSES, without("processes", "ndvi"), "PROC-L3P"),
    fault("PROC-EXP", ALL_PROCESSES, without("processes", "nan")),
    declares("PROC-SIZE", "size_test", processes=["mask"]),
    fault("PROC-SCHEMA", PROCESSES, of("processes", "add", deprecated="no"), "API-208"),
    fault("PROC-L3P", ALL_PROCESSES, without("processes", "order")),
    fault("PROC-L4P", ALL_PROCESSES, without("processes", "load_url")),
    fault("PROC-ML", ALL_PROCESSES, without("processes", "fit_curve")),
    fault("FF-7", FORMATS, edited(lambda body: body["output"]["GTiff"]["parameters"].update(x={}))),
    fault("FF-10", FORMATS, edited(_twice)),
    declares("COL-0a", "federation", collections=["COPERNICUS_30"]),
    fault("COL-0b", rf"{COLLECTIONS}/(?!OPENEO_)[^/?]+", _flagged("experimental", "v1.2.0")),
    declares("COL-0c", "collections", whole_archive=False),
    fault("COL-1", ONE, _without_role("producer")),
    fault("COL-2", ONE, sets(description="Demo.")),
    fault("COL-3", ONE, edited(_open_end), declaration={"collections": {"latency_hours": 72}}),
    fault("COL-4", ONE, _without_extension("scientific"), "API-325"),
    fault("COL-5", ONE, sets(sci__citation=None)),
    fault("COL-6", ONE, sets(common_name=5)),
    declares("COL-7", "previous", metadata={"collections": {"GONE": {"dimensions": [], "bands": []}}}),
    fault("COL-8", ONE, _flagged("deprecated", "v1.2.0")),
    declares("COL-9", "availability", collections_percent=[99, 97]),
    declares("COL-10", "collections", commercial=["SENTINEL2_L2A"]),
    fault("COL-11", ONE, _dimension("x", type="spatal")),
    fault("COL-12", ONE, sets(id="Sentinel2", common_name="SENTINEL2_L2A"), "API-320"),
    fault("COL-13", ONE, edited(_without_band)),
    fault("COL-14", ONE, edited(lambda body: body["summaries"].pop("eo:cloud_cover"))),
    fault("COL-15", ONE, _flagged("experimental", "v1.0.0")),
    fault("AUTH-1", OIDC, _provider(issuer="https://login.example.org"), "API-113"),
    fault("AUTH-2", OIDC, _provider(default_clients=[{"id": "x", "grant_types": ["refresh_token"]}])),
    fault("AUTH-6", HOME, edited(lambda body: body["billing"].update(currency="EUR"))),
    fault("AUTH-8", "", None, "API-111", "API-4", public=True),
    fault("ACC-2", HOME, edited(_undescribed)),
    fault("ACC-4", HOME, edited(lambda body: body["billing"]["plans"][0].pop("paid"))),
    declares("CON-1", "availability", monthly_percent=[99.9, 99.1, 99.2]),
    declares("CON-2", "provider", notice_months=1),
    declares("CON-3", "provider", support="nobody"),
    declares("CON-4", "agreement", terms=False),
    fault("CON-5", PROCESSES, of("processes", "add", experimental=True)),
    fault("CON-6", HOME, sets(api_version="1.1.0")),
    declares("CON-7", "limits", signed_url_days=1),
    declares("CON-8", "provider", until="soon"),
    fault("MERGE-BANDS", ONE, edited(_common_name)),
    fault("MERGE-CREDENTIALS", OIDC, _provider(title=None)),
    fault("MERGE-DIMENSIONS", ONE, edited(_dimension_renamed)),
    fault("MERGE-FEDERATION", ONE, _summary("federation:backends", ["x"])),
    fault("MERGE-FORMATS", FORMATS, edited(lambda body: body["input"].update(PNG="yes")), "API-47", "API-48", "API-49"),
    fault("MERGE-HEALTH", rf"{ROOT}/health", becomes(503)),
    fault("MERGE-LICENSE", ONE, sets(license=["CC-BY-4.0"]), "API-321", "COL-4"),
    fault("MERGE-PROCESSES", ALL_PROCESSES, edited(_no_id), "API-205", "PROC-SCHEMA"),
    fault("MERGE-QUERYABLES", rf"{ONE}/queryables", headers(content_encoding="br")),
    fault("MERGE-SECONDS", rf"{PROCESSES}", lambda answer: answer.late(13)),
    fault("MERGE-SUMMARIES", ONE, _summary("eo:cloud_cover", {"minimum": 0, "maximum": 100})),
    fault("MERGE-WELL-KNOWN", WELL_KNOWN, edited(lambda body: body["versions"][0].update(url="http://127.0.0.1:1"))),
]
