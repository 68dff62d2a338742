"""Metadata of the archive's collections; ids and band names follow the openEO federation's convention."""

from __future__ import annotations

import math

from openeo_backend.catalog.demo.optical import FACTOR
from openeo_backend.catalog.demo.scenario import Scenario
from openeo_backend.catalog.demo.stac import BandSpec, CollectionSpec

#: Common name, and centre and width in micrometres, of Sentinel-2A's bands.
OPTICS: dict[str, tuple[str, float, float]] = {
    "B01": ("coastal", 0.443, 0.027),
    "B02": ("blue", 0.493, 0.098),
    "B03": ("green", 0.560, 0.045),
    "B04": ("red", 0.665, 0.038),
    "B05": ("rededge", 0.704, 0.019),
    "B06": ("rededge", 0.741, 0.018),
    "B07": ("rededge", 0.783, 0.028),
    "B08": ("nir", 0.833, 0.145),
    "B8A": ("nir08", 0.865, 0.033),
    "B09": ("nir09", 0.945, 0.026),
    "B11": ("swir16", 1.614, 0.143),
    "B12": ("swir22", 2.202, 0.242),
}
SCENE_CLASSES = {
    0: ("no_data", "000000"),
    1: ("saturated_or_defective", "FF0000"),
    2: ("dark_area_pixels", "2F2F2F"),
    3: ("cloud_shadows", "643200"),
    4: ("vegetation", "00A000"),
    5: ("not_vegetated", "FFE65A"),
    6: ("water", "0000FF"),
    7: ("unclassified", "808080"),
    8: ("cloud_medium_probability", "C0C0C0"),
    9: ("cloud_high_probability", "FFFFFF"),
    10: ("thin_cirrus", "64C8FF"),
    11: ("snow_or_ice", "FF96FF"),
}
LAND_COVER = {
    10: ("tree_cover", "006400"),
    20: ("shrubland", "FFBB22"),
    30: ("grassland", "FFFF4C"),
    40: ("cropland", "F096FF"),
    50: ("built_up", "FA0000"),
    60: ("bare_or_sparse_vegetation", "B4B4B4"),
    70: ("snow_and_ice", "F0F0F0"),
    80: ("permanent_water_bodies", "0064C8"),
    90: ("herbaceous_wetland", "0096A0"),
    95: ("mangroves", "00CF75"),
    100: ("moss_and_lichen", "FAE6A0"),
}
ANGLES = {
    "sunAzimuthAngles": "Azimuth of the sun",
    "sunZenithAngles": "Zenith angle of the sun",
    "viewAzimuthMean": "Azimuth of the satellite, mean of the bands",
    "viewZenithMean": "Zenith angle of the satellite, mean of the bands",
}


def sentinel2(scenario: Scenario) -> CollectionSpec:
    bands = []
    for name in scenario.bands:
        gsd = scenario.resolution * FACTOR[name]
        if name in OPTICS:
            common, centre, width = OPTICS[name]
            bands.append(
                BandSpec(name, "uint16", 0, gsd, f"Surface reflectance, {common}", FACTOR[name], common,
                         (centre, width), 0.0001, scenario.offset)
            )  # fmt: skip
        elif name == "SCL":
            bands.append(BandSpec(name, "uint8", 0, gsd, "Scene classes", FACTOR[name], classes=SCENE_CLASSES))
        else:
            bands.append(BandSpec(name, "float32", math.nan, gsd, ANGLES[name], FACTOR[name], unit="°"))
    if "viewAzimuthMean" in scenario.bands:
        bands.append(
            BandSpec("approximateViewAzimuth", "float32", math.nan, scenario.resolution * 6,
                     "Azimuth of the satellite, the federation's common name", 6, unit="°", file="viewAzimuthMean")
        )  # fmt: skip
    return CollectionSpec(
        id="SENTINEL2_L2A",
        kind="optical",
        title="Sentinel-2 L2A (synthetic)",
        description=(
            "Surface reflectance, scene classes and angles like those of Sentinel-2 Level-2A, of a landscape of "
            "fields, forest, water and a town that does not exist. Reflectance is the digital number times 0.0001 "
            f"plus {scenario.offset:g}; the digital number 0 means no data."
        ),
        bands=tuple(bands),
        keywords=("Sentinel-2", "surface reflectance", "optical", "crops"),
        summaries={
            "instruments": ["msi"],
            "processing:level": ["L2A"],
        },
        extensions=("sat/v1.0.0", "view/v1.0.0", "processing/v1.1.0"),
    )


def sentinel1(scenario: Scenario) -> CollectionSpec:
    bands = tuple(
        BandSpec(name, "float32", math.nan, scenario.resolution, f"Backscatter {name}, linear sigma0")
        for name in ("VV", "VH")
    )
    return CollectionSpec(
        id="SENTINEL1_GRD",
        kind="radar",
        title="Sentinel-1 GRD backscatter (synthetic)",
        description=(
            "Linear backscatter (sigma0, ellipsoid, geocoded) in VV and VH like that made from Sentinel-1 IW GRD, "
            "with speckle of 4.4 looks. Values are kept with 7 bits of mantissa."
        ),
        bands=bands,
        keywords=("Sentinel-1", "SAR", "backscatter"),
        summaries={
            "instruments": ["c-sar"],
            "sar:instrument_mode": ["IW"],
            "sar:polarizations": ["VV", "VH"],
            "sar:frequency_band": ["C"],
            "sar:product_type": ["GRD"],
            "processing:level": ["L1"],
        },
        extensions=("sat/v1.0.0", "sar/v1.0.0", "processing/v1.1.0"),
    )


def terrain(scenario: Scenario) -> CollectionSpec:
    return CollectionSpec(
        id="COPERNICUS_30",
        kind="terrain",
        title="Terrain, 30 m (synthetic)",
        description="Height of hills and a valley that do not exist, on the grid of the Copernicus DEM GLO-30.",
        bands=(BandSpec("DEM", "float32", math.nan, 3 * scenario.resolution, "Height", unit="m"),),
        keywords=("DEM", "elevation", "terrain"),
    )


def land_cover(scenario: Scenario) -> CollectionSpec:
    return CollectionSpec(
        id="ESA_WORLDCOVER_10M_2021_V2",
        kind="cover",
        title="Land cover, 10 m (synthetic)",
        description="The true land cover of the synthetic landscape in the classes of ESA WorldCover 2021 V200.",
        bands=(BandSpec("MAP", "uint8", 0, scenario.resolution, "Land cover", classes=LAND_COVER),),
        keywords=("land cover", "WorldCover"),
    )
