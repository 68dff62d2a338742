"""GDAL as this back-end uses it: which drivers may read, and the process environment that says so.

Drivers that follow references inside a file (VRT, WMS, STACIT ...) read any file and address the process may reach,
whatever the file is called. GDAL only forgets drivers if told before it is loaded, so a process that reads imagery
starts with :func:`gdal_environment`. Readers also name :data:`DRIVERS` at every open, which holds in any process.
"""

from __future__ import annotations

#: Drivers that may read rasters.
DRIVERS = ("GTiff", "COG", "JP2OpenJPEG", "netCDF", "HDF5", "HDF5Image", "Zarr", "PNG", "JPEG")

#: Drivers that other libraries of this process need: arrays in memory, vector files made by ourselves.
INTERNAL = ("MEM", "Memory", "GeoJSON", "CSV")

#: What the GDAL inside rasterio knows beside. A test fails when a newer one knows more; it warns of unknown names.
_REFUSED = """
AAIGrid ACE2 ADRG AIG AVCBin AVCE00 AirSAR BAG BIGGIF BLX BMP BSB BT BYN CALS CEOS COASP COSAR CPG CTG CTable2 DAAS
DERIVED DIMAP DIPEx DOQ1 DOQ2 DTED ECRGTOC EEDA EEDAI EHdr EIR ELAS ENVI ERS ESAT ESRIC ESRIJSON FAST FIT GFF GIF
GNMDatabase GNMFile GPKG GRASSASCIIGrid GRIB GS7BG GSAG GSBG GSC GTI GTX GXF GenBin GeoJSONSeq HF2 HFA HTTP ILWIS
IRIS ISCE ISG ISIS2 ISIS3 JAXAPALSAR JDEM KMLSUPEROVERLAY KRO L1B LAN LCP LOSLAS Leveller MAP MBTiles MFF MFF2 MRF
MSGN MVT NDF NGSGEOID NITF NOAA_B NSIDCbin NTv2 NWT_GRC NWT_GRD OSM OZI PAux PCIDSK PCRaster PDF PDS PDS4 PLMOSAIC
PNM PRF R RIK RMF ROI_PAC RPFTOC RRASTER RS2 RST Rasterlite S102 S104 S111 SAFE SAGA SAR_CEOS SDTS SENTINEL2 SGI
SIGDEM SNAP_TIFF SNODAS SQLite SRP SRTMHGT STACIT STACTA TGA TIL TSX Terragen TopoJSON USGSDEM VICAR VRT WCS WEBP
WMS WMTS XPM XYZ ZMap
"""


def gdal_environment(cache_mb: int = 16) -> dict[str, str]:
    """Environment variables for a process that reads imagery; they work only before GDAL is loaded.

    :param cache_mb: bound of GDAL's block cache; blocks are read once, so a large one only costs memory. Tiles that are
        unpacked without GDAL have a cache of their own.
    """
    skip = ",".join((*_REFUSED.split(), "ESRI Shapefile"))
    return {
        "GDAL_SKIP": skip,
        "GDAL_VRT_ENABLE_PYTHON": "NO",
        "GDAL_CACHEMAX": str(cache_mb),
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_HTTP_MAX_RETRY": "3",
        "GDAL_HTTP_RETRY_DELAY": "0.5",
        "GDAL_HTTP_CONNECTTIMEOUT": "10",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
        "VSI_CACHE": "FALSE",  # it would keep 25 MB of each open file
        "CPL_VSIL_CURL_CACHE_SIZE": str(16 * 2**20),
    }
