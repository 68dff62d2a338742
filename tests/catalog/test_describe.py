"""Collections as openEO publishes them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import rasterio.warp
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.settings import CatalogSettings, NetSettings, SettingsError


@pytest.fixture(scope="module")
def real(shared: Path) -> Catalog:
    return Catalog([str(shared / "data/stac/catalog.json")], CatalogSettings(), Door(NetSettings()))


def nulls(value, path=""):
    if isinstance(value, dict):
        for key, entry in value.items():
            if entry is None:
                yield f"{path}/{key}"
            yield from nulls(entry, f"{path}/{key}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from nulls(entry, f"{path}/{index}")


def test_all_collections_are_complete(real):
    found = real.collections()
    assert len(found) == 6
    for collection in found:
        for member in ("id", "stac_version", "title", "description", "license", "keywords", "providers", "extent"):
            assert collection[member], member
        for member in ("links", "cube:dimensions", "summaries", "stac_extensions", "item_assets", "crs"):
            assert member in collection
        assert set(collection["cube:dimensions"]) == {"x", "y", "t", "bands"}
        assert not list(nulls(collection))


def test_sentinel2_in_detail(real):
    found = real.collection("s2-l2a-flanders")
    bands = ["B01", "B04", "B08", "B11", "AOT", "SCL"]
    assert found["cube:dimensions"]["bands"] == {"type": "bands", "values": bands}
    assert found["cube:dimensions"]["t"]["extent"] == ["2023-04-02T00:00:00Z", "2023-04-30T00:00:00Z"]
    assert [band["name"] for band in found["summaries"]["eo:bands"]] == bands
    red = found["summaries"]["eo:bands"][1]
    assert (red["common_name"], red["center_wavelength"]) == ("red", 0.6646)
    assert found["summaries"]["raster:bands"][1] == {
        "data_type": "uint16",
        "nodata": 65535,
        "scale": 0.0001,
        "offset": 0.0,
    }
    assert found["summaries"]["platform"] == ["sentinel-2"]
    cover = found["summaries"]["eo:cloud_cover"]
    assert (cover["min"], cover["max"]) == (cover["minimum"], cover["maximum"])
    assert found["crs"] == ["http://www.opengis.net/def/crs/EPSG/0/32631"]
    for family in ("datacube", "eo", "raster", "item-assets"):
        assert sum(f"/{family}/" in uri for uri in found["stac_extensions"]) == 1


def test_radar_extension_is_listed_where_its_members_are(real):
    found = real.collection("s1-grd-flanders")
    if any(name.startswith("sar:") for name in found["summaries"]):
        assert any("/sar/" in uri for uri in found["stac_extensions"])
    assert found["summaries"]["raster:bands"][0]["nodata"] == "nan"


def test_extents_are_those_of_the_items_that_are_there(archive):
    for day in (2, 22):
        archive.add(f"D{day}", {"B04": np.ones((4, 4), "uint16")}, time=f"2023-04-{day:02d}T10:50:00Z")
    found = archive.open().collection("TEST")
    assert found["extent"]["temporal"]["interval"] == [["2023-04-02T10:50:00Z", "2023-04-22T10:50:00Z"]]
    assert found["cube:dimensions"]["t"]["extent"] == ["2023-04-02T10:50:00Z", "2023-04-22T10:50:00Z"]
    west, south, east, north = rasterio.warp.transform_bounds(32631, 4326, 600_000, 5_699_960, 600_040, 5_700_000)
    assert found["extent"]["spatial"]["bbox"][0] == pytest.approx([west, south, east, north], abs=1e-6)
    assert found["cube:dimensions"]["x"]["extent"] == pytest.approx([west, east], abs=1e-6)


def test_bands_are_the_union_ordered_as_the_metadata_say(archive, env):
    def asset(name, **more):
        return {"type": "image/tiff", "roles": ["data"], "eo:bands": [{"name": name}], **more}

    picture = {
        "type": "image/tiff",
        "roles": ["visual"],
        "eo:bands": [{"name": "B08"}, {"name": "B04"}, {"name": "B03"}],
    }
    archive.collection["item_assets"] = {"TCI": picture, "B08": asset("B08"), "B04": asset("B04")}
    archive.collection["cube:dimensions"] = {"bands": {"type": "bands", "values": ["B04", "B08"]}}
    archive.add("A", {"SCL": np.ones((4, 4), "uint8"), "B04": np.ones((4, 4), "uint16")})
    catalog = archive.open()
    assert catalog.collection("TEST")["cube:dimensions"]["bands"]["values"] == ["B04", "B08", "SCL"]
    cube = catalog.load("TEST", LoadRequest(), env)
    assert list(cube.labels("bands")) == ["B04", "B08", "SCL"]


def test_dimension_names_of_the_metadata_are_kept(archive, env):
    archive.collection["cube:dimensions"] = {
        "lon": {"type": "spatial", "axis": "x", "extent": [4, 5]},
        "lat": {"type": "spatial", "axis": "y", "extent": [51, 52]},
        "time": {"type": "temporal", "extent": ["2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]},
        "spectral": {"type": "bands", "values": ["B04"]},
    }
    archive.add("A", {"B04": np.ones((4, 4), "uint16")})
    catalog = archive.open()
    assert set(catalog.collection("TEST")["cube:dimensions"]) == {"lon", "lat", "time", "spectral"}
    assert catalog.load("TEST", LoadRequest(), env).names == ("time", "spectral", "lat", "lon")


def test_settings_replace_members(archive):
    archive.add("A", {"B04": np.ones((4, 4), "uint16")})
    overrides = {"title": "Other", "metadata": {"common_name": "SENTINEL2_L2A", "experimental": True}}
    found = archive.open(collections={"TEST": overrides}).collection("TEST")
    assert (found["title"], found["common_name"], found["experimental"]) == ("Other", "SENTINEL2_L2A", True)


def test_settings_for_an_unknown_collection_are_a_mistake(archive):
    archive.add("A", {"B04": np.ones((4, 4), "uint16")})
    with pytest.raises(SettingsError, match="TSET"):
        archive.open(collections={"TSET": {}})


def test_queryables_are_learnt_from_items(real):
    found = real.queryables("s2-l2a-flanders")
    assert found["properties"]["eo:cloud_cover"]["type"] == "number"
    assert found["properties"]["datetime"] == {"type": "string", "format": "date-time"}
    with pytest.raises(OpenEOError) as failure:
        real.queryables("NOPE")
    assert failure.value.code == "CollectionNotFound"


def test_extensions_are_listed_in_the_version_that_is_published(archive):
    base = "https://stac-extensions.github.io"
    archive.collection["stac_extensions"] = [f"{base}/raster/v2.0.0/schema.json", f"{base}/sat/v1.0.0/schema.json"]
    archive.collection["summaries"] = {"sar:instrument_mode": ["IW"], "sat:orbit_state": ["ascending"]}
    archive.collection["license"] = "other"
    archive.add("A", {"VV": np.ones((4, 4), "float32")}, nodata=float("nan"))
    found = archive.open().collection("TEST")
    assert found["stac_version"] == "1.0.0"
    assert found["license"] == "proprietary"
    assert sorted(uri.removeprefix(base).split("/")[1] for uri in found["stac_extensions"]) == [
        "datacube",
        "eo",
        "item-assets",
        "raster",
        "sar",
        "sat",
    ]
    assert f"{base}/raster/v1.1.0/schema.json" in found["stac_extensions"]


@pytest.mark.parametrize(
    "schema",
    [
        "schemas.stacspec.org/v1.0.0/collection-spec/json-schema/collection.json",
        "stac-extensions.github.io/datacube/v2.2.0/schema.json",
    ],
)
def test_published_collections_are_valid_stac(real, shared, schema):
    folder = shared / "spec" / "stac-schemas"

    def retrieve(uri: str) -> Resource:
        if "projjson" in uri:  # not kept with the others; reference systems here are numbers
            return Resource.from_contents({"type": "object"}, default_specification=DRAFT7)
        path = folder / uri.split("://", 1)[1].split("#")[0]
        return Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT7)

    document = json.loads((folder / schema).read_text())
    checker = jsonschema.Draft7Validator(document, registry=Registry(retrieve=retrieve))
    for collection in real.collections():
        errors = [f"{error.json_path}: {error.message[:200]}" for error in checker.iter_errors(collection)]
        assert not errors, collection["id"]
