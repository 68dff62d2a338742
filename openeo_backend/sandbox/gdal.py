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

_REFUSED = """
AAIGrid ACE2 ADRG AIG AVCBin AVCE00 AirSAR BAG BIGGIF BLX BMP BSB BT BYN CAD CALS CEOS COASP COSAR CPG CSW CTG CTable2
Carto DAAS DERIVED DGN DIMAP DIPEx DOQ1 DOQ2 DTED DXF ECRGTOC EDIGEO EEDA EEDAI EHdr EIR ELAS ENVI ERS ESAT ESRIC
ESRIJSON Elasticsearch FAST FIT FlatGeobuf GFF GIF GML GMLAS GNMDatabase GNMFile GPKG GPSBabel GPX GRASSASCIIGrid GRIB
GS7BG GSAG GSBG GSC GTI GTX GXF GenBin GeoJSONSeq GeoRSS HF2 HFA HTTP Idrisi ILWIS IRIS ISCE ISG ISIS2 ISIS3
JAXAPALSAR JDEM JML JSONFG KML KMLSUPEROVERLAY KRO L1B LAN LCP LIBKML LOSLAS LVBAG Leveller MAP MBTiles MFF MFF2 MRF
MSGN MVT NDF NGSGEOID NGW NITF NOAA_B NSIDCbin NTv2 NWT_GRC NWT_GRD OAPIF ODS OGCAPI OGR_GMT OGR_VRT OSM OZI OpenFileGDB
PAux PCIDSK PCRaster PDF PDS PDS4 PGDUMP PLMOSAIC PLSCENES PMTiles PNM PRF R RIK RMF ROI_PAC RPFTOC RRASTER RS2 RST
Rasterlite S102 S104 S111 S57 SAFE SAGA SAR_CEOS SDTS SENTINEL2 SGI SIGDEM SNAP_TIFF SNODAS SQLite SRP SRTMHGT STACIT
STACTA SXF Selafin TGA TIL TSX Terragen TopoJSON USGSDEM VDV VFK VICAR VRT WAsP WCS WEBP WFS WMS WMTS XLS XLSX XODR XPM
XYZ ZMap
"""


def gdal_environment(cache_mb: int = 64) -> dict[str, str]:
    """Environment variables for a process that reads imagery; they work only before GDAL is loaded.

    :param cache_mb: bound of GDAL's block cache; blocks are read once, so a large one only costs memory.
    """
    skip = ",".join((*_REFUSED.split(), "ESRI Shapefile", "MapInfo File", "OGR_PDS", "UK .NTF", "Interlis 1"))
    return {
        "GDAL_SKIP": skip,
        "OGR_SKIP": skip,
        "GDAL_VRT_ENABLE_PYTHON": "NO",
        "GDAL_CACHEMAX": str(cache_mb),
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_HTTP_MAX_RETRY": "3",
        "GDAL_HTTP_RETRY_DELAY": "0.5",
        "GDAL_HTTP_CONNECTTIMEOUT": "10",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
        "VSI_CACHE": "TRUE",
        "CPL_VSIL_CURL_CACHE_SIZE": str(16 * 2**20),
    }
