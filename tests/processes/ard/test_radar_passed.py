"""sar_backscatter of data that are backscatter already, and the numbers behind images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ard_cubes import lazily, scene, surroundings

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.grd.annotation import parse_xml
from openeo_backend.catalog.item import Item
from openeo_backend.catalog.levels import optical_levels, radar_coefficients
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Cube
from openeo_backend.cube.backscatter import AzimuthNoise, Noise, Table, calibrate, interpolate
from openeo_backend.cube.geoid import geoid_height
from openeo_backend.cube.relief import distorted
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.processes.radar import ard_normalized_radar_backscatter, sar_backscatter
from openeo_backend.processes.registry import Registry
from openeo_backend.settings import CatalogSettings, NetSettings


def backscatter(cube: Cube, coefficient: str | None = "sigma0-ellipsoid", **more: Any) -> Cube:
    return sar_backscatter(cube, coefficient, env=surroundings()[0], **more)


def measured(angle: str | None = "incidence_angle", coefficient: str = "sigma0-ellipsoid") -> Cube:
    values = np.array([[[0.1, 0.2]], [[0.01, np.nan]], [[30.0, 45.0]]], dtype="float32")[None]
    bands = ["VV", "VH", angle] if angle else ["VV", "VH"]
    return scene(values[:, : len(bands)], bands, coefficients=(coefficient,))


# -- passing through ------------------------------------------------------------------------------------


def test_backscatter_passes_through_and_says_so() -> None:
    cube = measured(None)
    env, messages = surroundings()
    result = sar_backscatter(cube, "sigma0-ellipsoid", env=env)
    assert result.data is cube.data
    assert "passed through" in result.provenance.notes[0]
    assert "sigma0-ellipsoid" in result.provenance.notes[0]
    assert messages.entries == [("info", result.provenance.notes[0])]
    assert result.provenance.coefficients == ("sigma0-ellipsoid",)
    assert list(backscatter(measured()).labels("bands")) == ["VV", "VH"]


@pytest.mark.parametrize("given", ["beta0", "sigma0-ellipsoid", "gamma0-ellipsoid"])
@pytest.mark.parametrize("wanted", ["beta0", "sigma0-ellipsoid", "gamma0-ellipsoid"])
def test_coefficients_on_the_ellipsoid_are_converted(given: str, wanted: str) -> None:
    # of one beta0, at 30 and 45 degrees: sigma0 = beta0 sin(i), gamma0 = beta0 tan(i)
    beta = {"beta0": [1.0, 1.0], "sigma0-ellipsoid": [0.5, 0.5**0.5], "gamma0-ellipsoid": [3**-0.5, 1.0]}
    values = np.array([[beta[given]], [[30.0, 45.0]]], dtype="float32")[None]
    result = backscatter(scene(values, ["VV", "angle"], coefficients=(given,)), wanted)
    np.testing.assert_allclose(result.data.values.ravel(), beta[wanted], rtol=1e-6)
    assert result.data.dtype == np.float32
    assert ("brought to" in result.provenance.notes[0]) == (given != wanted)
    assert backscatter(result, wanted).data is result.data


def test_bands_beside_passed_backscatter() -> None:
    result = backscatter(measured(), mask=True, ellipsoid_incidence_angle=True)
    assert list(result.labels("bands")) == ["VV", "VH", "mask", "ellipsoid_incidence_angle"]
    np.testing.assert_array_equal(result.data.sel(bands="mask").values.ravel(), [1, 1])
    np.testing.assert_array_equal(result.data.sel(bands="ellipsoid_incidence_angle").values.ravel(), [30, 45])
    empty = measured().patch(data=measured().data.where(measured().data["x"] < 500_010))
    np.testing.assert_array_equal(backscatter(empty, mask=True).data.sel(bands="mask").values.ravel(), [1, np.nan])
    lazy = lazily(lambda cube: backscatter(cube, "gamma0-ellipsoid", mask=True), measured(), 1)
    expected = backscatter(measured(), "gamma0-ellipsoid", mask=True)
    np.testing.assert_array_equal(lazy.data.compute().values, expected.data.values)


@pytest.mark.parametrize(
    ("cube", "more", "code", "text"),
    [
        (measured(None), {"coefficient": "gamma0-ellipsoid"}, "FeatureUnsupported", "incidence angle is needed"),
        (measured(), {"coefficient": "gamma0-terrain"}, "FeatureUnsupported", "are sigma0-ellipsoid already"),
        (measured(), {"coefficient": "sigma0-terrain"}, "FeatureUnsupported", "are sigma0-ellipsoid already"),
        (measured(), {"coefficient": None}, "FeatureUnsupported", "non-normalised"),
        (measured(coefficient="gamma0-terrain"), {"coefficient": "beta0"}, "FeatureUnsupported", "gamma0-terrain"),
        (measured(), {"local_incidence_angle": True}, "FeatureUnsupported", "local_incidence_angle"),
        (measured(), {"contributing_area": True}, "FeatureUnsupported", "contributing_area"),
        (measured(), {"options": {"orbit": 1}}, "FeatureUnsupported", "orbit"),
        (measured(), {"elevation_model": "X"}, "DigitalElevationModelInvalid", "'X'"),
        (scene(np.ones((1, 1, 1, 1)), ["VV"]), {}, "ProcessParameterInvalid", "do not state"),
        (scene(np.ones((1, 1, 1, 1)), ["B04"], coefficients=("beta0",)), {}, "ProcessParameterInvalid", "B04"),
        (scene(np.ones((1, 1, 1, 1)), ["VV"], coefficients=("a", "b")), {}, "ProcessParameterInvalid", "several"),
    ],
)
def test_what_passed_data_do_not_allow(cube: Cube, more: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(OpenEOError, match=text) as caught:
        backscatter(cube, **more)
    assert caught.value.code == code


def test_normalised_backscatter_is_that_of_the_terrain() -> None:
    names = ["VV", "local_incidence_angle"]
    cube = scene(np.array([[[0.1]], [[20.0]]])[None], names, coefficients=("gamma0-terrain",))
    result = ard_normalized_radar_backscatter(cube, env=surroundings()[0])
    assert list(result.labels("bands")) == ["VV", "mask", "local_incidence_angle"]
    np.testing.assert_array_equal(result.data.values.ravel(), [0.1, 1.0, 20.0])
    with pytest.raises(OpenEOError, match="sigma0-ellipsoid") as caught:
        ard_normalized_radar_backscatter(measured(), env=surroundings()[0])
    assert caught.value.code == "FeatureUnsupported"


def test_the_real_collection_says_what_it_is(shared: Path) -> None:
    catalog = Catalog(
        [str(shared / "data/stac/s1-grd-flanders/collection.json")], CatalogSettings(), Door(NetSettings())
    )
    env, _ = surroundings()
    cube = catalog.load("s1-grd-flanders", LoadRequest(), env)
    assert cube.provenance.coefficients == ("sigma0-ellipsoid",)
    assert sar_backscatter(cube, "sigma0-ellipsoid", env=env).data is cube.data


def test_all_five_processes_are_offered() -> None:
    ids = set(Registry.predefined().ids())
    assert {"atmospheric_correction", "cloud_detection", "ard_surface_reflectance"} <= ids
    assert {"sar_backscatter", "ard_normalized_radar_backscatter"} <= ids


# -- what metadata say ----------------------------------------------------------------------------------


def item(**properties: Any) -> Item:
    return Item("a", "a", "c", np.datetime64(0, "s"), np.datetime64(0, "s"), None, properties, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("collection", "properties", "levels"),
    [
        ({"id": "x"}, {"processing:level": "L2A"}, ("L2",)),
        ({"id": "x"}, {"s2:product_type": "S2MSI1C"}, ("L1",)),
        ({"id": "x"}, {"landsat:correction": "L2SP"}, ("L2",)),
        ({"id": "x"}, {"landsat:correction": "L1TP"}, ("L1",)),
        ({"id": "SENTINEL2_L2A"}, {"processing:level": "L1C"}, ("L1",)),
        ({"id": "x", "summaries": {"processing:level": ["L2A"]}}, {}, ("L2",)),
        ({"id": "SENTINEL2_L1C"}, {}, ("L1",)),
        ({"id": "s2-l2a-flanders"}, {}, ("L2",)),
        ({"id": "x", "title": "Landsat 8 Level-2"}, {}, ("L2",)),
        ({"id": "world"}, {"processing:level": "L3"}, ()),
    ],
)
def test_levels(collection: dict[str, Any], properties: dict[str, Any], levels: tuple[str, ...]) -> None:
    assert optical_levels(collection, [item(**properties)]) == levels


@pytest.mark.parametrize(
    ("title", "description", "band", "coefficients"),
    [
        ("GRD", "", "Backscatter VV, linear sigma0", ("sigma0-ellipsoid",)),
        ("Sentinel-1 GRD sigma0", "", None, ("sigma0-ellipsoid",)),
        ("Sentinel-1 RTC", "Radiometrically terrain corrected gamma naught", None, ("gamma0-terrain",)),
        ("GRD", "calibrated to beta nought", None, ("beta0",)),
        ("GRD", "ground range detected", None, ()),
        ("GRD", "sigma0 or gamma0", None, ("sigma0-ellipsoid", "gamma0-ellipsoid")),
    ],
)
def test_coefficients(title: str, description: str, band: str | None, coefficients: tuple[str, ...]) -> None:
    assert radar_coefficients({"title": title, "description": description}, [band]) == coefficients


# -- numbers --------------------------------------------------------------------------------------------


def test_tables_between_their_vectors() -> None:
    table = Table(
        np.array([0, 10]), (np.array([0, 20]), np.array([0, 10, 20])), (np.array([1.0, 3.0]), np.array([5.0, 9.0, 5.0]))
    )
    # line 5 is half of line 0 (1 to 3) and half of line 10 (5 to 9 to 5)
    np.testing.assert_allclose(table.at(slice(5, 6), slice(0, 21))[0, [0, 5, 10, 20]], [3.0, 4.25, 5.5, 4.0])
    np.testing.assert_allclose(table.at(slice(-3, 0), slice(0, 1)), 1.0)
    np.testing.assert_allclose(table.at(slice(12, 15), slice(25, 27)), 5.0)
    np.testing.assert_allclose(table.points(np.array([5.0, 20.0]), np.array([2.5, 10.0])), [3.625, 9.0])
    single = Table(np.array([4]), (np.array([0, 2]),), (np.array([1.0, 2.0]),))
    np.testing.assert_allclose(single.at(slice(0, 2), slice(0, 3)), [[1, 1.5, 2], [1, 1.5, 2]])


def test_noise_and_calibration_of_single_pixels() -> None:
    level = Table(np.array([0]), (np.array([0]),), (np.array([100.0]),))
    noise = Noise(level, [AzimuthNoise((1, 2), (1, 1), np.array([1, 2]), np.array([2.0, 3.0]))])
    np.testing.assert_array_equal(noise.at(slice(0, 4), slice(0, 2)), [[100, 100], [100, 200], [100, 300], [100, 100]])
    numbers = np.array([[0, 5, 20, 60_000]], dtype="uint16")
    result = calibrate(numbers, np.full((1, 4), 10.0), np.full((1, 4), 100.0))
    np.testing.assert_allclose(result, [[np.nan, 0.0, 3.0, (60_000.0**2 - 100) / 100]])


def test_interpolation_takes_no_missing_neighbour() -> None:
    image = np.array([[1.0, 2.0], [3.0, np.nan]])
    found = interpolate(image, np.array([0, 0.5, 0.5, 0, -0.1, 1]), np.array([0.5, 0, 0.5, 1, 0, 1.0]))
    np.testing.assert_allclose(found, [1.5, 2.0, np.nan, 2.0, np.nan, np.nan])


def test_layover_and_shadow_of_a_block() -> None:
    heights = np.zeros((1 + 60, 120))
    heights[:, 50:60] = 100.0
    angle = np.full(heights.shape, 45.0)
    margin = 30
    layover, shadow = distorted(heights, angle, (0.0, 1.0), 10.0, margin)
    assert layover.shape == (1, 60)
    # at 45 degrees a wall of 100 m falls on 100 m of ground in front of it, and on itself; its shadow is as long
    columns = np.arange(30, 90)
    np.testing.assert_array_equal(layover[0], (columns >= 40) & (columns < 60))
    np.testing.assert_array_equal(shadow[0], (columns >= 60) & (columns < 69))
    mirrored = distorted(heights, angle, (0.0, -1.0), 10.0, margin)
    np.testing.assert_array_equal(mirrored[1][0], (columns >= 41) & (columns < 50))
    assert not np.logical_or(*distorted(heights * 0, angle, (0.0, 1.0), 10.0, margin)).any()


@pytest.mark.parametrize(
    ("lon", "lat", "height"),
    # EGM2008, by GeographicLib's calculator
    [(10.0, 50.0, 47.99), (-170.0, 0.0, 15.32), (80.0, 0.0, -102.59), (180.0, 10.0, 12.85), (4.35, 50.85, 43.7)],
)
def test_the_geoid_is_a_few_metres_near(lon: float, lat: float, height: float) -> None:
    assert geoid_height(np.array([lon]), np.array([lat]))[0] == pytest.approx(height, abs=3)


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        "<a>",
        "<a>&b;</a>",
        "<?xml version='1.0' encoding='utf-16'?><!DOCTYPE a><a/>",
    ],
)
def test_documents_with_declarations_are_refused(text: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        parse_xml(text.encode(), "document")
    assert caught.value.code == "FileContentInvalid"
    with pytest.raises(OpenEOError):
        parse_xml(text.encode("utf-16"), "document")
    assert parse_xml(b"<?xml version='1.0' encoding='UTF-8'?><!-- c --><a><b>1</b></a>", "d").findtext("b") == "1"
