"""sar_backscatter of images in radar geometry, against the geometry and the tables they were made with."""

from __future__ import annotations

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import grd_product as grd
import numpy as np
import pytest
from ard_cubes import Messages, no_computes
from scipy import ndimage

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.grd.product import Reader
from openeo_backend.catalog.hrefs import Gate
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.cube.geoid import geoid_height
from openeo_backend.cube.grid import take
from openeo_backend.errors import OpenEOError
from openeo_backend.graph.callback import Scope
from openeo_backend.graph.check import check
from openeo_backend.graph.evaluate import evaluate
from openeo_backend.graph.parse import parse
from openeo_backend.graph.pushdown import hints
from openeo_backend.net.door import Door
from openeo_backend.processes.environment import Env
from openeo_backend.processes.filters import filter_bands
from openeo_backend.processes.radar import ard_normalized_radar_backscatter, sar_backscatter
from openeo_backend.processes.registry import Registry
from openeo_backend.settings import CatalogSettings, CollectionSettings, NetSettings

SIZE = 60
LINE, PIXEL = np.meshgrid(np.arange(grd.LINES), np.arange(grd.PIXELS), indexing="ij")

#: Images that tell where they are seen: 100 times the line, and 100 times the pixel.
RAMPS = {"vv": 200 + 100 * LINE, "vh": 200 + 100 * PIXEL}


def surroundings(catalog: Catalog) -> Env:
    return Env(Messages(), collections=catalog)


def load(catalog: Catalog, size: int = SIZE, **shift: float) -> tuple[Cube, Env]:
    env = surroundings(catalog)
    with no_computes():
        return catalog.load("GRD", LoadRequest(spatial_extent=grd.extent(size, **shift)), env), env


def expected_places(heights: Any, size: int = SIZE, **shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Line and pixel of the cube's pixels, for heights above the ellipsoid."""
    _, _, lon, lat = grd.map_places(size, **shift)
    return grd.locate(grd.place(lon, lat, heights))


def hill(size: int = 500) -> np.ndarray:
    """A smooth hill of 300 m on a plain of 200 m."""
    y, x = np.mgrid[:size, :size] - size / 2
    return 200 + 300 * np.exp(-(x**2 + y**2) / (2 * 40.0**2))


# -- geometry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [0.0, 850.0])
def test_images_are_loaded_where_they_belong(tmp_path: Path, height: float) -> None:
    cube, _ = load(grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS, height=height)))
    assert cube.names == ("t", "bands", "y", "x")
    assert cube.data.dtype == np.float32
    assert cube.crs is not None
    assert cube.crs.epsg == grd.EPSG
    x, y, _, _ = grd.map_places(SIZE)
    np.testing.assert_allclose(cube.labels("x"), x)
    np.testing.assert_allclose(cube.labels("y"), y)
    line, pixel = expected_places(height)
    found = cube.data.compute().values[0]
    np.testing.assert_allclose((found[0] - 200) / 100, line, atol=0.01)
    np.testing.assert_allclose((found[1] - 200) / 100, pixel, atol=0.01)


def test_an_elevation_model_puts_slopes_into_their_place(tmp_path: Path) -> None:
    terrain = hill()
    catalog = grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS), grd.write_dem(tmp_path / "dem", terrain))
    cube, env = load(catalog)
    with no_computes():
        result = sar_backscatter(cube, None, noise_removal=False, env=env)
    assert result.is_lazy
    inner = slice(250 - SIZE // 2, 250 + SIZE // 2)
    _, _, lon, lat = grd.map_places(SIZE)
    line, pixel = expected_places(terrain[inner, inner] + geoid_height(lon, lat))
    found = np.sqrt(result.data.compute().values[0])
    np.testing.assert_allclose((found[0] - 200) / 100, line, atol=0.01)
    np.testing.assert_allclose((found[1] - 200) / 100, pixel, atol=0.01)
    # the top of the hill is seen nearer to the sensor, in the west, by height / tan(incidence)
    flat = expected_places(200 + geoid_height(lon, lat))[1]
    middle = SIZE // 2
    shift = (found[1, middle, middle] - 200) / 100 - flat[middle, middle]
    assert shift == pytest.approx(-300 / np.tan(np.radians(grd.INCIDENCE)) / grd.SPACING, rel=0.02)
    assert "COPERNICUS_30" in result.provenance.notes[0]


def test_a_bright_target_is_found_at_its_place(tmp_path: Path) -> None:
    # a target on top of a tower of 400 m, seen as a spot of two pixels
    _, _, lon, lat = grd.map_places(SIZE)
    line, pixel = (float(place) for place in grd.locate(grd.place(lon[30, 30], lat[30, 30], 400.0)))
    spot = 4000 * np.exp(-((line - LINE) ** 2 + (pixel - PIXEL) ** 2) / (2 * 2.0**2)) + 1
    heights = np.full((500, 500), 400.0) - geoid_height(np.array([grd.LON]), np.array([grd.LAT]))
    paths = grd.write_grd(tmp_path / "grd", {"vv": spot}), grd.write_dem(tmp_path / "dem", heights)
    cube, env = load(grd.open_catalog(*paths))
    power = sar_backscatter(cube, None, noise_removal=False, env=env).data.compute().values[0, 0]
    power = power - power.min()
    rows, columns = np.mgrid[:SIZE, :SIZE]
    assert (power * rows).sum() / power.sum() == pytest.approx(30, abs=0.1)
    assert (power * columns).sum() / power.sum() == pytest.approx(30, abs=0.1)
    assert int(np.nanargmax(cube.data.compute().values[0, 0]) % SIZE) < 0 + 30  # without the tower it lies in the west


def test_pixels_beyond_the_image_are_missing(tmp_path: Path) -> None:
    images = {"vv": np.where((LINE > 100) & (LINE < 104), 0, 500)}
    cube, _ = load(grd.open_catalog(grd.write_grd(tmp_path / "grd", images)), 400)
    line, pixel = expected_places(0.0, 400)
    inside = (line >= 0) & (line <= grd.LINES - 1) & (pixel >= 0) & (pixel <= grd.PIXELS - 1)
    gap = (line > 100) & (line < 104)
    found = cube.data.compute().values[0, 0]
    away = np.minimum.reduce([abs(line - e) for e in (0, 100, 104, 299)] + [abs(pixel - e) for e in (0, 319)]) > 0.02
    np.testing.assert_array_equal(np.isnan(found)[away], (~inside | gap)[away])
    assert 0.3 < np.isnan(found).mean() < 0.9


# -- radiometry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coefficient", "name"),
    [("sigma0-ellipsoid", "sigmaNought"), ("beta0", "betaNought"), ("gamma0-ellipsoid", "gamma"), (None, None)],
)
@pytest.mark.parametrize("removal", [True, False])
def test_calibration_and_noise(tmp_path: Path, coefficient: str | None, name: str | None, removal: bool) -> None:
    numbers = np.random.default_rng(3).integers(150, 900, LINE.shape)
    cube, env = load(grd.open_catalog(grd.write_grd(tmp_path / "grd", {"vv": numbers})))
    result = sar_backscatter(cube, coefficient, noise_removal=removal, env=env)
    power = numbers.astype(float) ** 2 - (grd.noise(LINE, PIXEL) if removal else 0)
    assert (power < 0).any() == removal
    backscatter = np.maximum(power, 0) / (grd.table(name, LINE, PIXEL) ** 2 if name else 1)
    expected = ndimage.map_coordinates(backscatter, expected_places(0.0), order=1)
    np.testing.assert_allclose(result.data.compute().values[0, 0], expected, rtol=2e-3, atol=2e-3 * expected.max())
    assert result.provenance.coefficients == (coefficient or "non-normalized",)
    assert ("noise removed" in result.provenance.notes[0]) == removal
    assert any("no elevation model" in text for _, text in env.log.entries)  # type: ignore[attr-defined]


def sensor_directions(heights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to the sensor, and along its flight, for ellipsoidal heights of `map_places`."""
    _, _, lon, lat = grd.map_places(size)
    points = grd.place(lon, lat, heights)
    times = grd.ORBIT.nearest(points)
    sight = grd.ORBIT.position(times) - points
    return sight / np.linalg.norm(sight, axis=-1)[..., None], grd.ORBIT.velocity(times) / grd.SPEED


@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.2, -0.25)])
def test_areas_and_angles_on_a_tilted_plane(tmp_path: Path, east: float, north: float) -> None:
    size = 24
    x, y, lon, lat = grd.map_places(500)
    terrain = 300 + east * (x[None, :] - x.mean()) + north * (y[:, None] - y.mean())
    numbers = np.full(LINE.shape, 800)
    paths = grd.write_grd(tmp_path / "grd", {"vv": numbers}), grd.write_dem(tmp_path / "dem", terrain)
    cube, env = load(grd.open_catalog(*paths), size)
    inner = slice(250 - size // 2, 250 + size // 2)
    ground = terrain[inner, inner] + geoid_height(lon[inner, inner], lat[inner, inner])
    sight, along = sensor_directions(ground, size)
    up = grd.place(grd.LON, grd.LAT, 1.0) - grd.place(grd.LON, grd.LAT, 0.0)
    to_east = np.cross([0, 0, 1], up)
    to_east /= np.linalg.norm(to_east)
    normal = up - east * to_east - north * np.cross(up, to_east)
    normal /= np.linalg.norm(normal)
    local = sight @ normal
    # a plane's area in a slant range pixel is that of the pixel over the cosine to the slant plane (Ulander 1996)
    slant_plane = abs(np.cross(along, sight) @ normal)
    with no_computes():
        result = sar_backscatter(
            cube,
            env=env,
            noise_removal=False,
            mask=True,
            contributing_area=True,
            local_incidence_angle=True,
            ellipsoid_incidence_angle=True,
        )
    names = ["vv", "mask", "contributing_area", "local_incidence_angle", "ellipsoid_incidence_angle"]
    assert list(result.labels("bands")) == names
    found = dict(zip(names, result.data.compute().values[0], strict=True))
    np.testing.assert_array_equal(found["mask"], 1)
    np.testing.assert_allclose(found["local_incidence_angle"], np.degrees(np.arccos(local)), atol=0.1)
    np.testing.assert_allclose(found["ellipsoid_incidence_angle"], np.degrees(np.arccos(sight @ up)), atol=0.1)
    beta = (800 / 300) ** 2
    np.testing.assert_allclose(found["vv"], beta * slant_plane / local, rtol=0.03)
    assert found["vv"].mean() == pytest.approx((beta * slant_plane / local).mean(), rel=0.01)
    slant_area = 10.0 * grd.SPACING * np.sin(np.radians(grd.INCIDENCE))
    assert found["contributing_area"].mean() == pytest.approx((slant_area / slant_plane * local).mean(), rel=0.015)


def test_sigma0_on_the_terrain_takes_the_surface_itself(tmp_path: Path) -> None:
    paths = (
        grd.write_grd(tmp_path / "grd", {"vv": np.full(LINE.shape, 800)}),
        grd.write_dem(tmp_path / "dem", np.full((500, 500), 100.0)),
    )
    cube, env = load(grd.open_catalog(*paths), 20)
    result = sar_backscatter(cube, "sigma0-terrain", noise_removal=False, env=env).data.compute().values
    # on level ground it is sigma0 on the ellipsoid: beta0 sin(i)
    assert result.mean() == pytest.approx((800 / 300) ** 2 * np.sin(np.radians(grd.INCIDENCE)), rel=0.01)


def test_a_steep_wall_is_masked(tmp_path: Path) -> None:
    terrain = np.full((500, 500), 100.0)
    terrain[:, 240:250] = 300.0
    paths = grd.write_grd(tmp_path / "grd", {"vv": np.full(LINE.shape, 800)}), grd.write_dem(tmp_path / "dem", terrain)
    cube, env = load(grd.open_catalog(*paths), 100)
    result = ard_normalized_radar_backscatter(cube, "COPERNICUS_30", noise_removal=False, env=env)
    assert list(result.labels("bands")) == ["vv", "mask", "local_incidence_angle"]
    mask = result.data.sel(bands="mask").compute().values[0, 50]
    # 200 m are laid over by 200 / tan(39) = 247 m of the ground in front; their shadow is 200 tan(39) = 162 m long
    expected = np.ones(100)
    expected[40 - 24 : 50 + 16] = 0
    assert np.abs(mask - expected).sum() <= 8  # the wall itself is two pixels wide
    np.testing.assert_array_equal(mask[:14], 1)
    np.testing.assert_array_equal(mask[70:], 1)


# -- the way from the load to the process ---------------------------------------------------------------


def test_filters_may_stand_between(tmp_path: Path) -> None:
    catalog = grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS))
    cube, env = load(catalog)
    whole = sar_backscatter(cube, "beta0", env=env).data.compute().values
    part = filter_bands(take(take(cube, "x", np.arange(10, 40)), "y", np.arange(5, 25)), ["vh"], env=env)
    found = sar_backscatter(part, "beta0", env=env)
    np.testing.assert_allclose(found.data.compute().values, whole[:, 1:, 5:25, 10:40], rtol=1e-4)


def test_blocks_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = grd.write_grd(tmp_path / "grd", RAMPS), grd.write_dem(tmp_path / "dem", hill())
    cube, env = load(grd.open_catalog(*paths))
    whole = sar_backscatter(cube, "sigma0-ellipsoid", env=env, local_incidence_angle=True)
    monkeypatch.setattr("openeo_backend.catalog.grd.load._SIDES", (25,))
    parts = sar_backscatter(cube, "sigma0-ellipsoid", env=env, local_incidence_angle=True)
    assert parts.data.data.numblocks == (1, 1, 3, 3)
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_allclose(parts.data.compute().values, whole.data.compute().values, rtol=1e-5)


def test_terrain_farther_away_than_its_relief_reaches_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = grd.write_grd(tmp_path / "grd", RAMPS), grd.write_dem(tmp_path / "dem", hill() / 10)
    cube, env = load(grd.open_catalog(*paths))
    found = []
    for per_metre in (None, 1e9):
        if per_metre is not None:
            monkeypatch.setattr("openeo_backend.catalog.grd.blocks._REACH_PER_METRE", per_metre)
        asked = {"contributing_area": True, "mask": True}
        found.append(sar_backscatter(cube, "gamma0-terrain", "COPERNICUS_30", env=env, **asked).data.compute().values)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert np.isfinite(found[0]).any()


def refuses(code: str, text: str, function: Any, *arguments: Any, **more: Any) -> None:
    with pytest.raises(OpenEOError, match=text) as caught:
        function(*arguments, **more)
    assert caught.value.code == code


def test_what_cannot_be_done(tmp_path: Path) -> None:
    flat = grd.write_dem(tmp_path / "dem", np.zeros((500, 500)), id="HEIGHTS")
    catalog = grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS), flat)
    cube, env = load(catalog)
    refuses("FeatureUnsupported", "speckle", sar_backscatter, cube, "beta0", options={"speckle": 1}, env=env)
    refuses("FeatureUnsupported", "omega0", sar_backscatter, cube, "omega0", env=env)
    # no elevation model is known, and the default coefficient needs one
    refuses("DigitalElevationModelInvalid", "gamma0-terrain", sar_backscatter, cube, env=env)
    refuses("DigitalElevationModelInvalid", "needed", sar_backscatter, cube, "beta0", mask=True, env=env)
    refuses("DigitalElevationModelInvalid", "NOTHING", sar_backscatter, cube, "beta0", "NOTHING", env=env)
    assert sar_backscatter(cube, elevation_model="HEIGHTS", env=env).is_lazy
    changed = cube.patch(data=cube.data * 2)
    refuses("ProcessParameterInvalid", "changed", sar_backscatter, changed, "beta0", env=env)
    refuses(
        "ProcessParameterInvalid", "changed", sar_backscatter, cube.patch(data=cube.data.compute()), "beta0", env=env
    )
    lost = dataclasses.replace(cube, source=None)
    refuses("ProcessParameterInvalid", "way back", sar_backscatter, lost, "beta0", env=env)
    once = sar_backscatter(cube, "beta0", env=env)
    assert sar_backscatter(once, "beta0", env=env).data is once.data


def test_products_without_their_documents(tmp_path: Path) -> None:
    cube, env = load(grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS, without=["noise"])))
    refuses("AssetUnreadable", "noise_removal", lambda: sar_backscatter(cube, "beta0", env=env).data.compute())
    assert np.isfinite(sar_backscatter(cube, "beta0", noise_removal=False, env=env).data.compute().values).all()
    path = tmp_path / "grd" / "product-vv.xml"
    path.write_text("<!DOCTYPE product [<!ENTITY a 'b'>]>" + path.read_text().split("?>", 1)[1])
    cube, env = load(grd.open_catalog(tmp_path / "grd" / "collection.json"))
    refuses("FileContentInvalid", "document type", lambda: sar_backscatter(cube, "beta0", env=env).data.compute())
    path.write_text("<product/>")
    cube, env = load(grd.open_catalog(tmp_path / "grd" / "collection.json"))
    refuses("FileContentInvalid", "imageInformation", lambda: cube.data.compute())


def test_polygons_cut_the_images(tmp_path: Path) -> None:
    x, y, lon, lat = grd.map_places(SIZE)
    corners = [[lon[0, 0], lat[0, 0]], [lon[0, -1], lat[0, -1]], [lon[-1, 0], lat[-1, 0]], [lon[0, 0], lat[0, 0]]]
    triangle = {"type": "Polygon", "coordinates": [[list(map(float, corner)) for corner in corners]]}
    catalog = grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS))
    env = surroundings(catalog)
    cube = catalog.load("GRD", LoadRequest(spatial_extent=triangle), env)
    for values in (cube.data, sar_backscatter(cube, "beta0", env=env).data):
        missing = np.isnan(values.compute().values[0, 0])
        assert missing[-5:, -5:].all()
        assert not missing[2:20, 2:20].any()
        assert 0.4 < missing.mean() < 0.6


def test_unreadable_items_are_told_or_errors(tmp_path: Path) -> None:
    path = grd.write_grd(tmp_path / "grd", RAMPS)
    (tmp_path / "grd" / "vv.tif").write_bytes(b"nothing")
    catalog = grd.open_catalog(path)
    cube, env = load(catalog)
    refuses("AssetUnreadable", "S1A_IW_GRDH_TEST", lambda: cube.data.compute())
    soft = dataclasses.replace(env, options={"soft_errors": True})
    cube = catalog.load("GRD", LoadRequest(spatial_extent=grd.extent(SIZE)), soft)
    assert np.isnan(sar_backscatter(cube, "beta0", env=soft).data.compute().values).all()
    assert any(level == "warning" and "'vv'" in text for level, text in soft.log.entries)  # type: ignore[attr-defined]


def test_two_images_of_a_pass_complete_each_other(tmp_path: Path) -> None:
    cut = {name: np.where(LINE <= 150, image, 0) for name, image in RAMPS.items()}
    rest = {name: np.where(LINE >= 149, image, 0) for name, image in RAMPS.items()}
    path = grd.write_grd(tmp_path / "grd", cut)
    other = grd.write_grd(tmp_path / "rest", rest)
    for file in other.parent.iterdir():
        if file.name != "collection.json":
            file.rename(path.parent / f"rest-{file.name}")
    text = (path.parent / "rest-S1A_IW_GRDH_TEST.json").read_text()
    for old, new in (("./", "./rest-"), ("S1A_IW_GRDH_TEST", "S1A_IW_GRDH_REST"), ("05:30:00Z", "05:30:25Z")):
        text = text.replace(old, new)
    (path.parent / "rest-S1A_IW_GRDH_TEST.json").write_text(text)
    document = json.loads(path.read_text())
    document["links"].append({"rel": "item", "href": "./rest-S1A_IW_GRDH_TEST.json"})
    path.write_text(json.dumps(document))
    catalog = Catalog(
        [str(path)], CatalogSettings(collections={"GRD": CollectionSettings(mosaic="utc_day")}), Door(NetSettings())
    )
    cube, _ = load(catalog)
    found = cube.data.compute().values
    assert len(found) == 1
    np.testing.assert_allclose((found[0, 0] - 200) / 100, expected_places(0.0)[0], atol=0.01)


class Storage(BaseHTTPRequestHandler):
    """Answers like a bucket `bucket` with an object `a.xml`, and a web server with the same."""

    def do_GET(self) -> None:
        found = self.path.split("?")[0] in ("/bucket/a.xml", "/a.xml")
        body = b"<a/>" if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Wed, 21 Jun 2023 05:30:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_documents_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    known = {"ENDPOINT_URL": address, "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
    for name, value in {**known, "REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    try:
        door = Door(NetSettings(), (address,))
        read = Reader(Gate(None, door.check, ["bucket"]), door)
        assert read("s3://bucket/a.xml") == b"<a/>"
        assert read(f"{address}/a.xml") == b"<a/>"
        refuses("AssetUnreadable", "b.xml", read, "s3://bucket/b.xml")
        refuses("PermissionsInsufficient", "other", read, "s3://other/a.xml")
        refuses("PermissionsInsufficient", "passwd", read, "/etc/passwd")
    finally:
        server.shutdown()
        server.server_close()


def test_tasks_travel_to_other_machines(tmp_path: Path) -> None:
    paths = grd.write_grd(tmp_path / "grd", RAMPS), grd.write_dem(tmp_path / "dem", hill())
    cube, env = load(grd.open_catalog(*paths), 10)
    result = sar_backscatter(cube, "beta0", env=env).data.data
    graph = cloudpickle.loads(cloudpickle.dumps(dict(result.dask)))
    key = next(iter(dask.core.flatten(result.__dask_keys__())))
    np.testing.assert_array_equal(dask.get(graph, key), result.compute())


def test_graphs_narrow_the_load(tmp_path: Path) -> None:
    catalog = grd.open_catalog(grd.write_grd(tmp_path / "grd", RAMPS))
    registry = Registry.predefined()
    nodes = {
        "load": {
            "process_id": "load_collection",
            "arguments": {"id": "GRD", **dict.fromkeys(["spatial_extent", "temporal_extent"])},
        },
        "radar": {
            "process_id": "sar_backscatter",
            "arguments": {"data": {"from_node": "load"}, "coefficient": "sigma0-ellipsoid", "mask": False},
        },
        "box": {
            "process_id": "filter_bbox",
            "arguments": {"data": {"from_node": "radar"}, "extent": grd.extent(20)},
            "result": True,
        },
    }
    graph = parse(nodes, max_nodes=100, max_depth=10)
    assert check(graph, registry) == []
    env = dataclasses.replace(surroundings(catalog), hints=hints(graph, registry, ["load_collection"]))
    result = evaluate(graph, registry, Scope(), env)
    assert result.data.shape == (1, 2, 20, 20)
    expected, _ = load(catalog, 20)
    expected = sar_backscatter(expected, "sigma0-ellipsoid", env=env)
    np.testing.assert_allclose(result.data.compute().values, expected.data.compute().values, rtol=1e-4)
