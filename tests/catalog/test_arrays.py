"""netCDF, Zarr, JPEG 2000 and several-band assets, equal to what their own libraries read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dask
import h5py
import netCDF4
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine

from openeo_backend.catalog.request import LoadRequest
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.effects import LoadHints

TRANSFORM = Affine(10, 0, 600_000, 0, -10, 5_700_000)
NETCDF, ZARR = "application/x-netcdf", "application/vnd+zarr"


def stored(seed: int, shape: tuple[int, ...] = (20, 24), dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9000, shape).astype(dtype)


def centres(shape: tuple[int, int]) -> dict[str, Any]:
    x, y = 600_005 + 10.0 * np.arange(shape[1]), 5_699_995 - 10.0 * np.arange(shape[0])
    return {
        "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
        "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
    }


def dataset(variables: dict[str, np.ndarray], times: list[str] | None = None, **attributes: Any) -> xr.Dataset:
    """A CF dataset in UTM 31N."""
    shape = next(iter(variables.values())).shape[-2:]
    dims = ("time", "y", "x") if times else ("y", "x")
    data = {name: (dims, values, {"grid_mapping": "crs", **attributes}) for name, values in variables.items()}
    mapping = ((), np.int32(0), pyproj.CRS.from_epsg(32631).to_cf())
    found = xr.Dataset({**data, "crs": mapping}, coords=centres(shape))
    if times:
        found["time"] = pd.to_datetime(times)
    return found


def item(archive, id: str, assets: dict[str, Any], shape: tuple[int, int] = (20, 24), **properties: Any) -> None:
    """An item of so many pixels of 10 m, whose assets tell no more than given."""
    west, south, east, north = rasterio.warp.transform_bounds(
        32631, 4326, 600_000, 5_700_000 - 10 * shape[0], 600_000 + 10 * shape[1], 5_700_000
    )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    when = {} if "start_datetime" in properties else {"datetime": "2023-04-02T10:50:00Z"}
    archive.write_item(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": id,
            "collection": "TEST",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [west, south, east, north],
            "properties": {**when, **properties},
            "links": [],
            "assets": assets,
        }
    )


def folder(archive, id: str) -> Path:
    path = archive.folder / id
    path.mkdir(exist_ok=True)
    return path


def load(archive, env, **request):
    return archive.open().load("TEST", LoadRequest(**request), env)


def test_a_netcdf_with_several_variables_has_several_bands(archive, env):
    values = {"red": stored(1), "nir": stored(2)}
    dataset(values, _FillValue=np.uint16(0)).to_netcdf(folder(archive, "N") / "a.nc")
    item(archive, "N", {"data": {"href": "./a.nc", "type": NETCDF}})

    def forbidden(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=forbidden):
        cube = load(archive, env)
    assert cube.labels("bands").tolist() == ["red", "nir"]
    assert (cube.crs.epsg, cube.geobox.affine, cube.nodata) == (32631, TRANSFORM, 0)
    np.testing.assert_array_equal(cube.data.values[0], np.stack(list(values.values())))


def test_the_only_variable_is_the_band_of_the_asset(archive, env):
    dataset({"Band1": stored(3, dtype="float32")}).to_netcdf(folder(archive, "N") / "a.nc")
    item(archive, "N", {"ndvi": {"href": "./a.nc", "type": NETCDF}})
    cube = load(archive, env, bands=("ndvi",))
    assert cube.data.dtype == np.float32
    np.testing.assert_array_equal(cube.data.values[0, 0], stored(3, dtype="float32"))


def test_each_date_of_a_file_is_a_time_step(archive, env):
    times = ["2023-04-02T06:00", "2023-04-02T12:00", "2023-04-05T00:00"]
    values = stored(4, (3, 20, 24))
    dataset({"t2m": values}, times).to_netcdf(folder(archive, "N") / "a.nc")
    period = {"start_datetime": "2023-04-02T06:00:00Z", "end_datetime": "2023-04-05T00:00:00Z", "datetime": None}
    item(archive, "N", {"data": {"href": "./a.nc", "type": NETCDF, "bands": [{"name": "t2m"}]}}, **period)
    cube = load(archive, env)
    np.testing.assert_array_equal(cube.labels("t"), np.array(times, dtype="datetime64[ns]"))
    np.testing.assert_array_equal(cube.data.values[:, 0], values)
    later = load(archive, env, temporal_extent=["2023-04-02T12:00:00Z", "2023-04-05"])
    np.testing.assert_array_equal(later.data.values[:, 0], values[1:2])


def test_a_file_with_dates_that_its_item_does_not_have_is_an_error(archive, env):
    dataset({"t2m": stored(4, (2, 20, 24))}, ["2023-04-02", "2023-04-03"]).to_netcdf(folder(archive, "N") / "a.nc")
    item(archive, "N", {"data": {"href": "./a.nc", "type": NETCDF}})
    with pytest.raises(OpenEOError, match="'time' has 2 labels") as wrong:
        load(archive, env).data.compute()
    assert wrong.value.code == "AssetUnreadable"


def test_scale_and_offset_of_files_are_published_and_not_applied(archive, env):
    values = stored(5, dtype="int16")
    attributes = {"scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": np.int16(-9999), "units": "1"}
    for id, offset in (("A", -0.1), ("B", 0.0)):
        found = dataset({"red": values}, **{**attributes, "add_offset": offset})
        found.to_netcdf(folder(archive, id) / "a.nc")
    item(archive, "A", {"data": {"href": "./a.nc", "type": NETCDF, "bands": [{"name": "red"}]}})
    when = {"datetime": "2023-04-12T10:50:00Z"}
    item(archive, "B", {"data": {"href": "./a.nc", "type": NETCDF, "bands": [{"name": "red"}]}}, **when)
    cube = load(archive, env)
    assert cube.nodata == -9999
    assert (cube.bands["red"].scale, cube.bands["red"].offset, cube.bands["red"].unit) == (0.0001, -0.1, "1")
    np.testing.assert_array_equal(cube.data.values[0, 0], values)
    # The second file has another offset: the same physical values are stored as 1000 more.
    np.testing.assert_array_equal(cube.data.values[1, 0], values + 1000)


def test_unsigned_numbers_in_signed_ones(archive, env):
    values = np.array([[1, 40_000], [65_000, 7]], dtype="uint16")
    path = folder(archive, "N") / "a.nc"
    with netCDF4.Dataset(path, "w") as file:  # as Geotrellis writes them
        for name, axis in (("y", [5_699_995.0, 5_699_985.0]), ("x", [600_005.0, 600_015.0])):
            file.createDimension(name, 2)
            file.createVariable(name, "f8", (name,))[:] = axis
        file.createVariable("crs", "i4").setncattr("crs_wkt", pyproj.CRS.from_epsg(32631).to_wkt())
        variable = file.createVariable("B04", "i2", ("y", "x"), fill_value=np.int16(-1))
        variable.setncatts({"_Unsigned": "true", "grid_mapping": "crs"})
        variable.set_auto_maskandscale(False)
        variable[:] = values.view("int16")
    item(archive, "N", {"data": {"href": "./a.nc", "type": NETCDF, "bands": [{"name": "B04"}]}})
    cube = load(archive, env)
    assert (cube.data.dtype, cube.nodata) == (np.uint16, 65_535)
    np.testing.assert_array_equal(cube.data.values[0, 0], values)


def test_longitude_and_latitude_need_no_reference_system_and_may_ascend(archive, env):
    values = stored(6, (4, 5), "float32")
    lat, lon = 50 + 0.25 * np.arange(4), 4 + 0.25 * np.arange(5)
    found = xr.Dataset(
        {"t2m": (("lon", "lat"), values.T)},
        coords={"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
    )
    found.to_netcdf(folder(archive, "N") / "a.nc", format="NETCDF3_CLASSIC", engine="netcdf4")
    item(archive, "N", {"t2m": {"href": "./a.nc", "type": NETCDF}})
    cube = load(archive, env)
    assert cube.crs.epsg == 4326
    np.testing.assert_array_equal(cube.data.values[0, 0], values[::-1])
    np.testing.assert_allclose(cube.data["y"].values, lat[::-1], atol=1e-9)


def test_uneven_coordinates_are_an_error(archive, env):
    found = dataset({"red": stored(7)})
    x = found["x"].values.copy()
    x[3] += 4
    found.assign_coords(x=x).to_netcdf(folder(archive, "N") / "a.nc")
    item(archive, "N", {"red": {"href": "./a.nc", "type": NETCDF}})
    with pytest.raises(OpenEOError, match="evenly spaced"):
        load(archive, env)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_groups_as_eopf_lays_them_out(archive, env, version):
    """A product with a group per resolution, small letters, attributes for scale and offset, and a fill value."""
    root = folder(archive, "Z") / "S2.zarr"
    fine, coarse = {"b02": stored(8), "b04": stored(9)}, {"b11": stored(10, (10, 12))}
    for group, bands, step in (("r10m", fine, 10), ("r20m", coarse, 20)):
        shape = next(iter(bands.values())).shape
        coords = {
            "x": 600_000 + step / 2 + step * np.arange(shape[1]),
            "y": 5_700_000 - step / 2 - step * np.arange(shape[0]),
        }
        attributes = {"scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": np.uint16(0)}
        found = xr.Dataset({n: (("y", "x"), v, attributes) for n, v in bands.items()}, coords=coords)
        found.to_zarr(root, group=f"measurements/reflectance/{group}", zarr_format=version, consolidated=False)
    href = "./S2.zarr/measurements/reflectance"
    assets = {
        "SR_10m": {"href": f"{href}/r10m", "type": ZARR, "bands": [{"name": "B02"}, {"name": "B04"}], "gsd": 10},
        "B11_20m": {"href": f"{href}/r20m/b11", "type": f"{ZARR}; version={version}", "bands": [{"name": "B11"}]},
        "product": {"href": "./S2.zarr", "type": ZARR, "roles": ["data", "metadata"]},
    }
    item(archive, "Z", assets, **{"proj:code": "EPSG:32631"})
    cube = load(archive, env, bands=("B02", "B04", "B11"))
    assert (cube.data.dtype, cube.nodata, cube.geobox.affine) == (np.uint16, 0, TRANSFORM)
    assert {(band.scale, band.offset) for band in cube.bands.values()} == {(0.0001, -0.1)}
    group = zarr.open_group(root, path="measurements/reflectance", mode="r")
    np.testing.assert_array_equal(cube.data.values[0, 0], group["r10m/b02"][:])
    np.testing.assert_array_equal(cube.data.values[0, 1], group["r10m/b04"][:])
    np.testing.assert_array_equal(cube.data.values[0, 2], np.repeat(np.repeat(group["r20m/b11"][:], 2, 0), 2, 1))


def test_the_grid_of_the_metadata_serves_arrays_without_coordinates(archive, env):
    root = folder(archive, "Z") / "a.zarr"
    group = zarr.create_group(root)
    array = group.create_array("red", shape=(20, 24), dtype="uint16", chunks=(10, 10), dimension_names=("y", "x"))
    array[:] = stored(11)
    grid = {"proj:transform": list(TRANSFORM)[:6], "proj:shape": [20, 24]}
    item(
        archive,
        "Z",
        {"a": {"href": "./a.zarr", "type": ZARR, "bands": [{"name": "red"}], **grid}},
        **{"proj:epsg": 32631},
    )
    cube = load(archive, env)
    assert cube.geobox.affine == TRANSFORM
    np.testing.assert_array_equal(cube.data.values[0, 0], stored(11))


def test_only_the_chunks_of_the_extent_are_read(archive, env, monkeypatch):
    path = folder(archive, "N") / "a.nc"
    found = dataset({"red": stored(12, (512, 512))})
    found.to_netcdf(path, encoding={"red": {"chunksizes": (64, 64), "zlib": True}}, engine="h5netcdf")
    item(archive, "N", {"red": {"href": "./a.nc", "type": NETCDF}}, (512, 512))
    west, south = 600_000 + 640, 5_700_000 - 1280
    extent = {"west": west, "south": south, "east": west + 640, "north": south + 640, "crs": 32631}
    read: list[tuple[slice, ...]] = []
    original = h5py.Dataset.__getitem__

    def watched(self, args, *more, **options):
        if self.ndim == 2:
            read.append(args)
        return original(self, args, *more, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    cube = load(archive, env, spatial_extent=extent)
    np.testing.assert_array_equal(cube.data.values[0, 0], stored(12, (512, 512))[64:128, 64:128])
    assert [[(part.start, part.stop) for part in window] for window in read] == [[(64, 128), (64, 128)]]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("kind", [NETCDF, ZARR])
def test_unreadable_arrays_are_errors_or_warnings(archive, env, kind, soft):
    name = "a.nc" if kind == NETCDF else "a.zarr"
    good = dataset({"red": stored(13)}, _FillValue=np.uint16(0))
    if kind == NETCDF:
        good.to_netcdf(folder(archive, "A") / name)
    else:
        good.to_zarr(folder(archive, "A") / name, consolidated=False)
    (folder(archive, "B") / name).write_bytes(b"nothing of the kind")
    band = {"name": "red", "data_type": "uint16", "nodata": 0, "raster:scale": 1}
    asset = {"href": f"./{name}", "type": kind, "bands": [band]}
    asset |= {"proj:code": "EPSG:32631", "proj:transform": list(TRANSFORM)[:6], "proj:shape": [20, 24]}
    item(archive, "A", {"data": asset})
    item(archive, "B", {"data": asset}, datetime="2023-04-12T10:50:00Z")
    env.options = {"soft_errors": soft}
    cube = load(archive, env)
    if not soft:
        with pytest.raises(OpenEOError, match="asset 'data' of item 'B'") as wrong:
            cube.data.compute()
        assert wrong.value.code == "AssetUnreadable"
        return
    found = cube.data.values
    np.testing.assert_array_equal(found[0, 0], stored(13))
    assert not found[1].any()
    assert any(level == "warning" and "item 'B'" in message for level, message in env.entries)


@pytest.mark.parametrize("told", [True, False])
def test_items_whose_dates_or_variables_cannot_be_read_are_left_out(archive, env, told):
    period = {"start_datetime": "2023-04-02T00:00:00Z", "end_datetime": "2023-04-03T00:00:00Z"}
    values = stored(4, (2, 20, 24))
    dataset({"t2m": values}, ["2023-04-02", "2023-04-03"]).to_netcdf(folder(archive, "B") / "a.nc")
    (folder(archive, "A") / "a.nc").write_bytes(b"nothing of the kind")
    asset = {"href": "./a.nc", "type": NETCDF, **({"bands": [{"name": "t2m"}]} if told else {})}
    for id in ("A", "B"):
        item(archive, id, {"t2m": asset}, **period)
    with pytest.raises(OpenEOError, match="of item 'A' cannot be used"):
        load(archive, env)
    env.options = {"soft_errors": True}
    np.testing.assert_array_equal(load(archive, env).data.values[:, 0], values)
    assert any(level == "warning" and "item 'A'" in message for level, message in env.entries)


class Ranges(SimpleHTTPRequestHandler):
    """Files with ranges."""

    def do_GET(self) -> None:
        wanted, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            return super().do_GET()
        content = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def web(archive) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(archive.folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("format", ["netcdf", "zarr 2", "zarr 3"])
def test_arrays_are_read_over_http_under_the_policy(archive, env, web, format):
    from openeo_backend.catalog.catalog import Catalog
    from openeo_backend.net.door import Door
    from openeo_backend.settings import CatalogSettings, NetSettings

    found = dataset({"red": stored(14)}, _FillValue=np.uint16(0))
    if format == "netcdf":
        found.to_netcdf(folder(archive, "A") / "a.nc")
        asset = {"href": "./a.nc", "type": NETCDF, "bands": [{"name": "red"}]}
    else:
        found.to_zarr(folder(archive, "A") / "a.zarr", zarr_format=int(format[-1]), consolidated=True)
        asset = {"href": "./a.zarr", "type": ZARR, "bands": [{"name": "red"}]}
    item(archive, "A", {"data": asset})
    url = f"{web}/A/item.json"
    open_ = Catalog([], CatalogSettings(), Door(NetSettings(), (web,)))
    cube = open_.load_url(url, LoadRequest(), env)
    np.testing.assert_array_equal(cube.data.values[0, 0], stored(14))
    closed = Catalog([], CatalogSettings(), Door(NetSettings()))
    with pytest.raises(OpenEOError) as refused:
        closed.load_url(url, LoadRequest(), env)
    assert refused.value.code == "UrlNotAllowed"


def test_jpeg_2000_band_files_of_a_product(archive, env):
    paths = {}
    for name, seed, step in (("B04", 15, 10), ("B11", 16, 20)):
        shape = (20, 24) if step == 10 else (10, 12)
        place = folder(archive, "S") / "GRANULE" / "IMG_DATA"
        place.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
        paths[name] = place / f"T31UFS_{name}.jp2"
        with rasterio.open(
            paths[name],
            "w",
            width=shape[1],
            height=shape[0],
            count=1,
            dtype="uint16",
            crs=32631,
            transform=TRANSFORM @ Affine.scale(step / 10),
            **profile,
        ) as file:
            file.write(stored(seed, shape), 1)
    assets = {
        name: {"href": f"./GRANULE/IMG_DATA/{path.name}", "type": "image/jp2", "bands": [{"name": name}]}
        for name, path in paths.items()
    }
    item(archive, "S", assets)
    cube = load(archive, env)
    for index, path in enumerate(paths.values()):
        with rasterio.open(path) as file:
            pixels = file.read(1)
        factor = 20 // pixels.shape[0]
        np.testing.assert_array_equal(cube.data.values[0, index], np.kron(pixels, np.ones((factor, factor), "uint16")))


def test_bands_of_one_file_by_name_and_common_name(archive, env):
    planes = stored(17, (3, 20, 24))
    path = folder(archive, "M") / "a.tif"
    profile = {"driver": "GTiff", "width": 24, "height": 20, "count": 3, "dtype": "uint16", "crs": 32631}
    with rasterio.open(path, "w", **profile, transform=TRANSFORM) as file:
        file.write(planes)
    bands = [{"name": "b1", "eo:common_name": "blue"}, {"name": "b2", "eo:common_name": "red"}, {"name": "b3"}]
    item(archive, "M", {"data": {"href": "./a.tif", "type": "image/tiff; application=geotiff", "bands": bands}})
    cube = load(archive, env, bands=("b3", "blue"))
    assert cube.labels("bands").tolist() == ["b3", "b1"]
    np.testing.assert_array_equal(cube.data.values[0], planes[[2, 0]])
    env.hint = LoadHints(bands=("red",))
    np.testing.assert_array_equal(load(archive, env).data.values[0], planes[[1]])
