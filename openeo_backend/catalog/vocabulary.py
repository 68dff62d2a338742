"""Words of STAC that are fixed: common names of bands, and the schemas of extensions."""

from __future__ import annotations

#: Common names that clients and the federation's aggregator accept in `eo:bands`; one other name there, and the
#: aggregator takes none of the bands of a collection.
COMMON_NAMES = frozenset(
    ("coastal", "blue", "green", "red", "yellow", "pan", "rededge", "nir", "nir08", "nir09", "cirrus")
    + ("swir16", "swir22", "lwir", "lwir11", "lwir12")
)

EXTENSIONS_BASE = "https://stac-extensions.github.io"

#: Folder of the schema (the family) and version of the extension behind each prefix of members.
FAMILIES = {
    "alternate": ("alternate-assets", "1.2.0"),
    "auth": ("authentication", "1.1.0"),
    "cf": ("cf", "0.2.0"),
    "classification": ("classification", "2.0.0"),
    "cube": ("datacube", "2.2.0"),
    "eo": ("eo", "1.1.0"),
    "file": ("file", "2.1.0"),
    "forecast": ("forecast", "0.2.0"),
    "grid": ("grid", "1.1.0"),
    "label": ("label", "1.0.1"),
    "landsat": ("landsat", "1.1.1"),
    "mgrs": ("mgrs", "1.0.0"),
    "mlm": ("mlm", "1.5.2"),
    "order": ("order", "1.1.0"),
    "pc": ("pointcloud", "1.0.0"),
    "processing": ("processing", "1.2.0"),
    "product": ("product", "0.1.0"),
    "proj": ("projection", "1.1.0"),
    "raster": ("raster", "1.1.0"),
    "render": ("render", "1.0.0"),
    "s2": ("sentinel-2", "1.0.0"),
    "sar": ("sar", "1.0.0"),
    "sat": ("sat", "1.0.0"),
    "sci": ("scientific", "1.0.0"),
    "storage": ("storage", "1.0.0"),
    "table": ("table", "1.2.0"),
    "tiles": ("tiled-assets", "1.0.0"),
    "view": ("view", "1.0.0"),
    "xarray": ("xarray-assets", "1.0.0"),
}

#: Members without prefix that belong to an extension, with its family and version.
PLAIN_MEMBERS = {
    "item_assets": ("item-assets", "1.0.0"),
    "version": ("version", "1.2.0"),
    "deprecated": ("version", "1.2.0"),
    "experimental": ("version", "1.2.0"),
}


def schema_of(family: str, version: str) -> str:
    """The address of the schema of an extension, which `stac_extensions` lists."""
    return f"{EXTENSIONS_BASE}/{family}/v{version}/schema.json"


def family_of(address: str) -> str:
    """The family of an extension that `stac_extensions` lists, `eo` or `datacube`, whatever its version."""
    parts = [part for part in address.removesuffix("/schema.json").split("/") if part]
    return parts[-2] if len(parts) > 1 else address
