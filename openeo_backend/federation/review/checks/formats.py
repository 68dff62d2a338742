"""File formats, runtimes of user-defined functions, and how both are described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openeo_backend.federation.review.check import (
    AGGREGATOR,
    FEDERATION_API,
    FEDERATION_FILE_FORMATS,
    OPENEO_API_PROFILE,
    Verdict,
    check,
    judged,
    passed,
    warned,
)
from openeo_backend.federation.review.node import Node

#: Short names of GDAL's drivers, and of formats that openEO names without GDAL.
_GDAL = frozenset(
    """
    aaigrid arrow bag bmp cog csv dods ehdr elevation envi erdas erf esri_shapefile feather flatgeobuf fits geojson
    geojsonseq geopackage georss geotiff gif gml gpkg gpx grib gtiff hdf4 hdf5 heif hfa isg jp2openjpeg jpeg jpegxl
    jp2 json jsonfg kml kmlsuperoverlay libkml mbtiles mrf mvt netcdf nitf ods parquet pcidsk pdf pgdump pmtiles png
    rrasterlite s57 shapefile sqlite svg text tiff topojson vrt wav webp xlsx xml xyz zarr geoparquet covjson ptiff
    """.split()  # noqa: SIM905 - a table of names is read more easily as words
)
_HARMONISED = ("GTiff", "netCDF")

#: Parameters by which the federation's back-ends write the harmonised formats; nobody has to have all of them.
_SHARED: dict[str, frozenset[str]] = {
    "GTiff": frozenset(
        """
        tile_grid sample_by_feature feature_id_property batch_mode overviews overview_method overview_resampling
        colormap filename_prefix filepath_per_band separate_asset_per_band attach_gdalinfo_assets file_metadata
        bands_metadata strict_cropping tile_size zlib_compression_level zlibcompressionlevel compression stac-version
        """.split()  # noqa: SIM905
    ),
    "netCDF": frozenset(
        """
        sample_by_feature feature_id_property batch_mode filename_prefix zlib_compression_level zlibcompressionlevel
        file_metadata bands_metadata attach_gdalinfo_assets strict_cropping compression stac-version
        """.split()  # noqa: SIM905
    ),
}


@check("API-40", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_formats(node: Node) -> Verdict:
    """GET /file_formats answers with input and output"""
    document = node.get_document("/file_formats")
    problems = [f"`{name}` is no object" for name in ("input", "output") if not isinstance(document.get(name), dict)]
    return judged(problems, "Both are there.")


@check("API-41", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def lists_formats_to_all(node: Node) -> Verdict:
    """GET /file_formats works without a token"""
    status = node.get("/file_formats").status
    return judged([] if status == 200 else [f"It answers with {status}"], "It answers.", expected="200")


@check("API-43", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def writes_something(node: Node) -> Verdict:
    """At least one format can be written"""
    names = sorted(_output(node))
    return judged([] if names else ["`output` is empty"], f"Written: {', '.join(names)}.")


@check("API-44", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def names_formats_as_gdal(node: Node) -> Verdict:
    """Formats have the names that GDAL gives them"""
    strange = [name for name in _output(node) if name.lower().replace(" ", "_") not in _GDAL]
    wrong = {"geotiff": "GTiff", "geopackage": "GPKG", "shapefile": "ESRI Shapefile", "tiff": "GTiff"}
    problems = [f"GDAL calls {name} {wrong[name.lower()]}" for name in _output(node) if name.lower() in wrong]
    problems += [f"GDAL has no {name}" for name in strange]
    return judged(problems, "They have.", expected="short names of GDAL's drivers (GTiff, netCDF, PNG ...)")


@check("API-45", profile="LP", kind="anonymous", source=FEDERATION_API)
def has_harmonised_formats(node: Node) -> Verdict:
    """GTiff and netCDF can be written, under these names"""
    names = {name.lower() for name in _output(node)}
    missing = [name for name in _HARMONISED if name.lower() not in names]
    return judged([f"{name} is missing" for name in missing], "Both are there.")


@check("API-47", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def describes_formats(node: Node) -> Verdict:
    """Every format has a description of its structure and how it holds data cubes"""
    problems = [f"{name} has no description" for name, format in _all(node) if not _is_text(format.get("description"))]
    return judged(problems, "All are described.")


@check("API-48", profile="L1", kind="anonymous", source=OPENEO_API_PROFILE)
def types_formats(node: Node) -> Verdict:
    """Every format has gis_data_types and parameters"""
    problems = []
    for name, format in _all(node):
        types = format.get("gis_data_types")
        if not isinstance(types, list) or not set(types) <= {"raster", "vector", "table", "pointcloud", "other"}:
            problems.append(f"gis_data_types of {name} is {types!r}")
        if not isinstance(format.get("parameters"), dict):
            problems.append(f"parameters of {name} is no object")
    return judged(problems, "All have both.", expected="gis_data_types (raster, vector, table, other) and parameters")


@check("API-49", profile="L2", kind="anonymous", source=OPENEO_API_PROFILE)
def titles_formats(node: Node) -> Verdict:
    """Every format has a title and a description"""
    problems = [
        f"{name} has no {member}"
        for name, format in _all(node)
        for member in ("title", "description")
        if not _is_text(format.get(member))
    ]
    return judged(problems, "All have both.")


@check("FF-7", profile="LP", kind="anonymous", source=FEDERATION_FILE_FORMATS)
def shares_parameters(node: Node) -> Verdict:
    """GTiff and netCDF share the parameters of other back-ends of the federation, with a type and a meaning"""
    problems = []
    shared = []
    for wanted in _HARMONISED:
        for name, format in _output(node).items():
            if name.lower() != wanted.lower():
                continue
            for parameter, schema in (format.get("parameters") or {}).items():
                if not isinstance(schema, dict) or not _is_text(schema.get("description")):
                    problems.append(f"{wanted}.{parameter} is not described")
                elif parameter.lower() in _SHARED[wanted]:
                    shared.append(f"{wanted}.{parameter}")
    if problems:
        return judged(problems, "")
    if not shared:
        return warned("No parameter has a name that other back-ends use.", expected="such as filename_prefix")
    return passed(f"Shared: {', '.join(shared)}.")


@check("FF-10", profile="LP", kind="anonymous", source=OPENEO_API_PROFILE)
def spells_formats_once(node: Node) -> Verdict:
    """Names of formats differ by more than upper and lower case"""
    document = node.get_document("/file_formats")
    problems = []
    for side in ("input", "output"):
        names = [str(name) for name in document.get(side) or ()]
        lower = [name.lower() for name in names]
        problems += [
            f"{side} {name} is there {lower.count(name)} times" for name in set(lower) if lower.count(name) > 1
        ]
    return judged(problems, "They do, so that any spelling finds one format.")


@check("MERGE-FORMATS", profile="LP", kind="anonymous", source=AGGREGATOR)
def formats_merge(node: Node) -> Verdict:
    """The aggregator can read the formats"""
    document = node.get_document("/file_formats")
    problems = [
        f"{name} in `{side}` is no object"
        for side in ("input", "output")
        for name, format in (document.get(side) or {}).items()
        if not isinstance(format, dict)
    ]
    return judged(problems, "It can.")


@check("API-71", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="optional")
def has_runtimes(node: Node) -> Verdict:
    """Runtimes of user-defined functions are listed"""
    offered = "GET" in node.endpoints.get("/udf_runtimes", ())
    return judged([] if offered else ["the capabilities do not list GET /udf_runtimes"], "GET /udf_runtimes is listed.")


@check("API-72", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="optional")
def lists_runtimes_to_all(node: Node) -> Verdict:
    """GET /udf_runtimes works without a token"""
    status = node.get("/udf_runtimes").status
    return judged([] if status == 200 else [f"It answers with {status}"], "It answers.", expected="200")


@check("API-73", profile="L3", kind="token", source=OPENEO_API_PROFILE, level="optional")
def lists_runtimes_to_users(node: Node) -> Verdict:
    """GET /udf_runtimes works with a token"""
    status = node.get("/udf_runtimes", auth=True).status
    return judged([] if status == 200 else [f"It answers with {status}"], "It answers.", expected="200")


@check("API-74", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="optional")
def types_runtimes(node: Node) -> Verdict:
    """Every runtime has type, default and versions (or tags)"""
    problems = []
    for name, runtime in node.get_document("/udf_runtimes").items():
        versions = runtime.get("versions", runtime.get("tags"))
        if not _is_text(runtime.get("type")):
            problems.append(f"{name} has no type")
        if not versions or runtime.get("default") not in versions:
            problems.append(f"the default of {name} is none of its versions")
    return judged(problems, "All have them.")


@check("API-75", profile="L3", kind="anonymous", source=OPENEO_API_PROFILE, level="optional")
def titles_runtimes(node: Node) -> Verdict:
    """Every runtime has a title and a description"""
    problems = [
        f"{name} has no {member}"
        for name, runtime in node.get_document("/udf_runtimes").items()
        for member in ("title", "description")
        if not _is_text(runtime.get(member))
    ]
    return judged(problems, "All have both.")


def _output(node: Node) -> dict[str, Any]:
    found = node.get_document("/file_formats")["output"]
    return dict(found)


def _all(node: Node) -> Iterator[tuple[str, dict[str, Any]]]:
    document = node.get_document("/file_formats")
    for side in ("input", "output"):
        for name, format in document[side].items():
            yield f"{side} {name}", format


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
