"""Describing result files in JSON."""

from __future__ import annotations

from typing import Any

from odc.geo.geobox import GeoBox

from openeo_backend.formats.asset import Asset


def describe(asset: Asset, node: str) -> dict[str, Any]:
    """An asset as one of `Outcome.files`: what its metadata need, without null members."""
    description: dict[str, Any] = {
        "name": asset.path.name,
        "media_type": asset.media_type,
        "title": asset.title or asset.path.name,
        "roles": list(asset.roles),
        "size": asset.path.stat().st_size,
        "bands": [{key: value for key, value in vars(band).items() if value is not None} for band in asset.bands],
        "proj": _projection(asset.geobox) if asset.geobox is not None else None,
        "bbox": list(asset.bbox) if asset.bbox is not None else None,
        "start": asset.start,
        "end": asset.end,
        "dimensions": dict(asset.dimensions),
        "node": node,
    }
    return {key: value for key, value in description.items() if value is not None}


def _projection(geobox: GeoBox) -> dict[str, Any]:
    crs = geobox.crs
    box = geobox.boundingbox
    projection: dict[str, Any] = {
        "shape": [int(size) for size in geobox.shape],
        "transform": [float(value) for value in tuple(geobox.affine)[:6]],
        "bbox": [box.left, box.bottom, box.right, box.top],
    }
    if crs is not None and crs.epsg:
        projection["code"] = f"EPSG:{crs.epsg}"
    elif crs is not None:
        projection["wkt2"] = crs.proj.to_wkt("WKT2_2019")
    return projection
