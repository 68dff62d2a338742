"""atmospheric_correction, cloud_detection and ard_surface_reflectance against their published formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ard_cubes import lazily, scene, surroundings

from openeo_backend.catalog.catalog import Catalog
from openeo_backend.catalog.request import LoadRequest
from openeo_backend.cube import Band, Cube
from openeo_backend.cube.clouds import HOLLSTEIN_BANDS
from openeo_backend.cube.optics import sun_zenith
from openeo_backend.errors import OpenEOError
from openeo_backend.net.door import Door
from openeo_backend.processes.optical import ard_surface_reflectance, atmospheric_correction, cloud_detection
from openeo_backend.settings import CatalogSettings, NetSettings

SCALED = Band(scale=1e-4, offset=-0.1)


def correct(cube: Cube, method: str | None = None, **more: Any) -> Cube:
    return atmospheric_correction(cube, method, env=surroundings()[0], **more)


def detect(cube: Cube, method: str | None = None, **more: Any) -> Cube:
    return cloud_detection(cube, method, env=surroundings()[0], **more)


# -- the sun --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "lon", "lat", "zenith"),
    [
        # overhead at noon: solstices over the tropics, equinox over the equator
        ("2023-06-21T12:01:50", 0.0, 23.4364, 0.0),
        ("2023-12-22T11:58:10", 0.0, -23.4364, 0.0),
        ("2023-03-20T21:24:00", -139.2, 0.0, 0.0),
        # the example of Reda and Andreas 2004 (NREL/TP-560-34302): 50.11162 degrees, at 1,830 m, with refraction
        ("2003-10-17T19:30:30", -105.1786, 39.742476, 50.11162),
    ],
)
def test_zenith_angles_of_the_sun(moment: str, lon: float, lat: float, zenith: float) -> None:
    found = sun_zenith(np.array([moment], dtype="datetime64[ns]"), lon, lat)
    assert found[0] == pytest.approx(zenith, abs=0.1)


# -- atmospheric correction -----------------------------------------------------------------------------


def toa() -> tuple[np.ndarray, Cube]:
    """Top of atmosphere digital numbers: blue, SWIR, cirrus and a band of angles, two dates, some no-data."""
    rng = np.random.default_rng(5)
    numbers = rng.integers(1500, 6000, (2, 4, 150, 160)).astype("uint16")
    numbers[0, 0, 3, :4] = [1210, 1215, 1220, 1225]
    numbers[1, 1, 7, 5] = 1100
    numbers[:, :, :2] = 0
    known = {name: SCALED for name in ("B02", "B11", "B10")}
    cube = scene(
        numbers,
        ["B02", "B11", "B10", "angle"],
        times=["2023-06-21T10:50:31", "2023-12-02T10:52:00"],
        known=known,
        nodata=0,
        levels=("L1",),
    )
    return numbers, cube


def test_dark_objects_are_subtracted_by_the_cost_method() -> None:
    numbers, cube = toa()
    result = correct(cube)
    assert list(result.labels("bands")) == ["B02", "B11", "angle"]  # no surface in the cirrus band
    assert result.data.dtype == np.float32
    assert result.bands["B02"].scale is None
    # zenith angles from a widely used calculator's algorithm are tested above; here they are an input
    middle = {}
    for t, moment in enumerate(["2023-06-21T10:50:31", "2023-12-02T10:52:00"]):
        # UTM x 500 km is the meridian of 3 degrees east; y 5,699,250 m is 51.444 degrees north
        middle[t] = float(sun_zenith(np.array([moment], dtype="datetime64[ns]"), 3.0115, 51.4440)[0])
    for t in (0, 1):
        for b, (label, scattered) in enumerate([("B02", True), ("B11", False)]):
            stored = numbers[t, b].astype(float)
            valid = stored > 0
            reflectance = stored * 1e-4 - 0.1
            ranked = np.sort(reflectance[valid])
            dark = ranked[math.ceil(1e-4 * len(ranked)) - 1]
            down = math.cos(math.radians(middle[t])) if scattered else 1.0
            # Chavez 1996: (L - L_haze) / (TAUz cos z) with a dark object of 1 percent, in terms of reflectance
            expected = np.maximum((reflectance - dark + 0.01 * down) / down, 0)
            np.testing.assert_allclose(
                result.data.sel(bands=label).values[t], np.where(valid, expected, np.nan), rtol=1e-4, atol=2e-5
            )
    np.testing.assert_array_equal(
        result.data.sel(bands="angle").values, np.where(numbers[:, 3] == 0, np.nan, numbers[:, 3].astype("float32"))
    )


def test_few_darkest_pixels_do_not_make_the_dark_object() -> None:
    values = np.full((1, 1, 200, 100), 0.2, dtype="float32")
    values[0, 0, 0, :2] = [0.01, 0.05]  # 0.01 percent of 20,000 pixels are two
    result = correct(scene(values, ["B02"], known={"B02": Band(wavelength=1.6)}, levels=("L1",)))
    assert result.data.values[0, 0, 5, 5] == pytest.approx(0.2 - 0.05 + 0.01, abs=1e-6)


def test_the_angle_band_of_the_sun_is_used_by_pixel() -> None:
    values = np.zeros((1, 2, 2, 2), dtype="float32")
    values[0, 0] = [[0.1, 0.3], [0.3, 0.3]]
    values[0, 1] = [[20, 60], [85, 0]]
    cube = scene(values, ["B04", "sunZenithAngles"], times=["2023-06-21"], levels=("L1",))
    result = correct(cube).data.sel(bands="B04").values[0]
    np.testing.assert_allclose(result, [[0.01, 0.2 / 0.5 + 0.01], [np.nan, 0.2 + 0.01]], atol=1e-6)


def test_items_tell_the_height_of_the_sun() -> None:
    values = np.full((1, 1, 2, 2), 0.3, dtype="float32")
    values[0, 0, 0, 0] = 0.1
    cube = scene(values, ["B04"], times=["2023-06-21"], levels=("L1",))
    told = replace(cube.provenance, sun=(("2023-06-21T00:00:00", 60.0),))
    found = correct(cube.patch(provenance=told)).data.values[0, 0, 1, 1]
    assert found == pytest.approx(0.2 / 0.5 + 0.01, abs=1e-4)


def test_level_1_of_a_real_collection(shared: Path) -> None:
    path = shared / "data/stac/landsat8-l1tp-ny18/collection.json"
    catalog = Catalog([str(path)], CatalogSettings(), Door(NetSettings()))
    env = surroundings()[0]
    cube = catalog.load("landsat8-l1tp-ny18", LoadRequest(bands=("B2", "B4")), env)
    assert cube.provenance.levels == ("L1",)
    # half past ten in the morning in New York: low in January, high in June
    zenith = {label[:7]: angle for label, angle in cube.provenance.sun}
    assert 60 < zenith["2018-01"] < 70
    assert min(zenith.values()) == pytest.approx(40.7 - 23.4 + 8, abs=6)
    surface, toa = atmospheric_correction(cube, None, env=env).data, cube.data
    numbers = toa.values.astype(float)
    mean = np.nanmean(np.where(numbers == cube.nodata, np.nan, numbers * 2e-5 - 0.1), axis=(2, 3))
    assert (np.nanmean(surface.values, axis=(2, 3))[:, 0] < mean[:, 0] + 0.1).all()
    assert np.nanmin(surface.values) >= 0


def test_correction_is_lazy_and_the_same_in_blocks() -> None:
    _, cube = toa()
    eager = correct(cube)
    result = lazily(correct, cube, 64)
    np.testing.assert_allclose(result.data.compute().values, eager.data.values, rtol=1e-6)


def test_surface_reflectances_pass_through_and_say_so() -> None:
    cube = scene(np.ones((1, 2, 2, 2), dtype="uint16"), ["B04", "SCL"], known={"B04": SCALED}, levels=("L2",))
    env, messages = surroundings()
    result = atmospheric_correction(cube, None, env=env)
    assert result.data is cube.data
    assert any("passed through" in note for note in result.provenance.notes)
    assert messages.entries == [("info", result.provenance.notes[0])]
    env, messages = surroundings()
    result = atmospheric_correction(cube, "iCOR", env=env)
    assert "iCOR, was not run" in result.provenance.notes[0]
    assert messages.entries[0][0] == "warning"


def test_corrected_data_are_not_corrected_again() -> None:
    _, cube = toa()
    once = correct(cube)
    assert correct(once).data is once.data


def test_bands_tell_the_level_where_metadata_do_not() -> None:
    assert correct(scene(np.ones((1, 2, 2, 2)), ["B04", "SCL"])).provenance.levels == ()
    assert correct(scene(np.ones((1, 2, 2, 2)), ["B8A", "B10"])).provenance.levels == ("L2",)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"method": "FORCE"}, "FeatureUnsupported", "FORCE"),
        ({"method": "iCOR"}, "FeatureUnsupported", "iCOR"),
        ({"options": {"aot": 0.1}}, "FeatureUnsupported", "aot"),
        ({"elevation_model": "NOTHING"}, "DigitalElevationModelInvalid", "does not exist"),
        ({"times": ("2023-06-21",)}, "ProcessParameterInvalid", "sunZenithAngles"),
        ({"times": ("2023-06-21T23:00:00",)}, "ProcessParameterInvalid", "too low"),
        ({"values": np.ones((1, 1, 2, 2), dtype="uint16")}, "ProcessParameterInvalid", "scale"),
        ({"levels": ()}, "ProcessParameterInvalid", "processing:level"),
        ({"levels": ("L1", "L2")}, "ProcessParameterInvalid", "mixes"),
        ({"bands": ["a"]}, "ProcessParameterInvalid", "wavelengths"),
    ],
)
def test_what_cannot_be_corrected(change: dict[str, Any], code: str, text: str) -> None:
    made = {key: change.pop(key) for key in ("times", "levels", "bands", "values") if key in change}
    cube = scene(**{"values": np.ones((1, 1, 2, 2)), "bands": ["B04"], "levels": ("L1",), **made})
    with pytest.raises(OpenEOError, match=text) as caught:
        correct(cube, **change)
    assert caught.value.code == code


def test_an_elevation_model_must_be_one() -> None:
    cube = scene(np.ones((1, 1, 4, 4)), ["B04"], levels=("L1",))
    heights = scene(np.ones((1, 1, 4, 4), dtype="float32"), ["DEM"], known={"DEM": Band(unit="m")})
    other = scene(np.ones((1, 2, 4, 4), dtype="float32"), ["B04", "B08"])
    nameless = scene(np.ones((1, 1, 4, 4), dtype="float32"), ["B04"])
    env, messages = surroundings(HEIGHTS=heights, OTHER=other, NAMELESS=nameless)
    atmospheric_correction(cube, None, "HEIGHTS", env=env)
    assert any("'HEIGHTS' is not used" in text for _, text in messages.entries)
    for id in ("OTHER", "NAMELESS"):
        with pytest.raises(OpenEOError) as caught:
            atmospheric_correction(cube, None, id, env=env)
        assert caught.value.code == "DigitalElevationModelInvalid"


# -- clouds ---------------------------------------------------------------------------------------------


def test_clouds_by_scene_classification() -> None:
    classes = np.arange(12, dtype="uint8").reshape(1, 1, 3, 4)
    result = detect(scene(classes, ["SCL"], nodata=0, levels=("L2",)), "Sen2Cor")
    assert list(result.labels("bands")) == ["cloud", "shadow"]
    nan = np.nan
    np.testing.assert_array_equal(result.data.values[0, 0].ravel(), [nan, nan, 0, 0, 0, 0, 0, 0, 0.5, 1, 1, 0])
    np.testing.assert_array_equal(result.data.values[0, 1].ravel(), [nan, nan, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert result.data.dtype == np.float32
    assert "SCL" in result.provenance.notes[0]


def test_clouds_by_the_quality_band_of_landsat() -> None:
    # examples of the Landsat 8-9 collection 2 level 2 product guide (LSDS-1619), table 6-3
    codes = {
        1: (np.nan, np.nan),  # fill
        21824: (0, 0),  # clear, with low confidences
        21952: (0, 0),  # water, with low confidences
        22080: (0.5, 0),  # mid confidence cloud
        22144: (0.5, 0),  # mid confidence cloud over water
        22280: (1, 0),  # high confidence cloud
        23888: (0, 1),  # high confidence cloud shadow
        30048: (0, 0),  # high confidence snow
        54596: (1, 0),  # high confidence cirrus
    }
    values = np.array(list(codes), dtype="uint16").reshape(1, 1, 3, 3)
    result = detect(scene(values, ["QA_PIXEL"], levels=("L2",)), "Fmask")
    found = result.data.values[0].reshape(2, -1).T
    np.testing.assert_array_equal(found, np.array(list(codes.values())))


#: Reflectances by band for every leaf of the tree in figure 8 of Hollstein et al. 2016, with (cloud, shadow).
LEAVES = {
    "clear, vapour": ({"B09": 0.05, "B11": 0.2}, (0, 0)),
    "shadow over land": ({"B09": 0.05, "B11": 0.1}, (0, 1)),
    "water": ({"B03": 0.1, "B07": 0.05, "B09": 0.02, "B11": 0.01}, (0, 0)),
    "shadow, bluish": ({"B03": 0.1, "B07": 0.05, "B09": 0.05, "B11": 0.01}, (0, 1)),
    "clear, little cirrus": ({"B8A": 0.3, "B10": 0.002}, (0, 0)),
    "clear, bright vapour band": ({"B8A": 0.3, "B10": 0.02, "B09": 0.2}, (0, 0)),
    "cirrus": ({"B8A": 0.3, "B10": 0.02, "B09": 0.1}, (1, 0)),
    "cloud": ({"B03": 0.5, "B11": 0.2, "B05": 0.5, "B10": 0.01, "B06": 0.5, "B07": 0.52}, (1, 0)),
    "cirrus, bright": ({"B03": 0.5, "B11": 0.2, "B05": 0.5, "B10": 0.01, "B06": 0.5, "B07": 0.5}, (1, 0)),
    "clear, bright": ({"B03": 0.5, "B11": 0.4, "B05": 0.5, "B10": 0.01, "B01": 0.2}, (0, 0)),
    "cloud, bright": ({"B03": 0.5, "B11": 0.4, "B05": 0.5, "B10": 0.01, "B01": 0.5}, (1, 0)),
    "clear, dark infrared": ({"B03": 0.4, "B11": 0.1, "B05": 0.5, "B01": 0.5}, (0, 0)),
    "shadow on snow": ({"B03": 0.4, "B11": 0.1, "B05": 0.5, "B01": 0.6}, (0, 1)),
    "snow": ({"B03": 0.8, "B11": 0.05, "B05": 0.9}, (0, 0)),
}

#: Dark vegetation: what the leaves do not say.
GROUND = dict(
    [("B01", 0.14), ("B02", 0.1), ("B03", 0.08), ("B05", 0.09), ("B06", 0.12), ("B07", 0.14), ("B8A", 0.15)]
    + [("B09", 0.05), ("B10", 0.001), ("B11", 0.1)]
)


def test_clouds_by_the_tree_of_hollstein() -> None:
    pixels = [{**GROUND, **change} for change, _ in LEAVES.values()]
    numbers = np.array([[[pixel[band] * 10_000 + 1000 for pixel in pixels]] for band in HOLLSTEIN_BANDS])
    cube = scene(
        numbers.round().astype("uint16")[None],
        HOLLSTEIN_BANDS,
        known=dict.fromkeys(HOLLSTEIN_BANDS, SCALED),
        nodata=0,
        levels=("L1",),
    )
    result = detect(cube)
    found = {name: tuple(result.data.values[0, :, 0, i]) for i, name in enumerate(LEAVES)}
    assert found == {name: expected for name, (_, expected) in LEAVES.items()}
    assert "10.3390/rs8080666" in result.provenance.notes[0]
    gap = cube.patch(data=cube.data.copy())
    gap.data.values[0, 3, 0, 0] = 0
    assert np.isnan(detect(gap).data.values[0, :, 0, 0]).all()
    np.testing.assert_array_equal(lazily(detect, cube, 5).data.compute().values, result.data.values)


@pytest.mark.parametrize(
    ("method", "bands", "level", "code", "text"),
    [
        ("Fmask", ["B04"], "L1", "FeatureUnsupported", "QA_PIXEL"),
        ("Sen2Cor", ["B04"], "L1", "FeatureUnsupported", "SCL"),
        ("s2cloudless", ["SCL"], "L2", "FeatureUnsupported", "s2cloudless"),
        (None, ["B04"], "L2", "ProcessParameterInvalid", "SCL"),
        (None, ["B01", "B10"], "L1", "ProcessParameterInvalid", "B02, B03, B05"),
    ],
)
def test_clouds_that_cannot_be_detected(method: str | None, bands: list[str], level: str, code: str, text: str) -> None:
    with pytest.raises(OpenEOError, match=text) as caught:
        detect(scene(np.ones((1, len(bands), 2, 2)), bands, levels=(level,)), method)
    assert caught.value.code == code
    with pytest.raises(OpenEOError, match="threshold") as caught:
        detect(scene(np.ones((1, 1, 2, 2)), ["SCL"]), options={"threshold": 1})
    assert caught.value.code == "FeatureUnsupported"


# -- both together --------------------------------------------------------------------------------------


def ard(cube: Cube, atmospheric: str | None = "FORCE", clouds: str | None = "Sen2Cor", **more: Any) -> Cube:
    return ard_surface_reflectance(cube, atmospheric, clouds, env=surroundings()[0], **more)


def level2() -> Cube:
    """Two spectral bands and SCL: clear, cloud, thin cloud, shadow, saturated, vegetation with a missing band."""
    values = np.array([[2000, 9000, 8000, 1500, 65535, 3000], [4000, 9000, 8000, 1500, 5000, 0], [4, 9, 8, 3, 1, 4]])
    return scene(
        values.astype("uint16").reshape(1, 3, 2, 3),
        ["B04", "B08", "SCL"],
        known={"B04": SCALED, "B08": SCALED},
        nodata=0,
        levels=("L2",),
    )


def test_surface_reflectances_without_clouds() -> None:
    result = ard(level2())
    names = ["B04", "B08", "incomplete-testing", "saturation", "cloud", "shadow"]
    assert list(result.labels("bands")) == names
    found = {name: result.data.sel(bands=name).values.ravel() for name in names}
    nan = np.nan
    np.testing.assert_allclose(found["B04"], [0.1, nan, nan, nan, 6.4535, 0.2], rtol=1e-5)
    np.testing.assert_allclose(found["B08"], [0.3, nan, nan, nan, 0.4, nan], rtol=1e-5)
    np.testing.assert_array_equal(found["incomplete-testing"], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(found["saturation"], [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(found["cloud"], [0, 1, 0.5, 0, nan, 0])
    np.testing.assert_array_equal(found["shadow"], [0, 0, 0, 1, nan, 0])
    assert result.bands["B04"].scale is None
    assert [note.split(":")[0] for note in result.provenance.notes] == ["Atmospheric correction", "Cloud detection"]
    assert "FORCE, was not run" in result.provenance.notes[0]


def test_surface_reflectances_are_lazy() -> None:
    result = lazily(ard, level2(), 2)
    np.testing.assert_array_equal(result.data.compute().values, ard(level2()).data.values)


def test_surface_reflectances_of_level_1() -> None:
    numbers = np.full((1, 10, 2, 2), 1000, dtype="uint16")
    numbers[0] += (np.array([GROUND[band] for band in HOLLSTEIN_BANDS]) * 1e4).astype("uint16")[:, None, None]
    numbers[0, 3, 0, 0] = 65535
    cube = scene(numbers, HOLLSTEIN_BANDS, known=dict.fromkeys(HOLLSTEIN_BANDS, SCALED), nodata=0, levels=("L1",))
    result = ard(cube, None, None)
    spectral = [band for band in HOLLSTEIN_BANDS if band != "B10"]
    assert list(result.labels("bands")) == [*spectral, "incomplete-testing", "saturation", "cloud", "shadow"]
    np.testing.assert_array_equal(result.data.sel(bands="saturation").values[0], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(result.data.sel(bands="incomplete-testing").values, 0)
    expected = correct(cube).data.sel(bands="B02").values
    shadow = result.data.sel(bands="shadow").values
    np.testing.assert_array_equal(result.data.sel(bands="B02").values, np.where(shadow >= 0.5, np.nan, expected))
    with pytest.raises(OpenEOError, match="FORCE") as caught:
        ard(cube, "FORCE", None)
    assert caught.value.code == "FeatureUnsupported"
    for name in ("atmospheric_correction_options", "cloud_detection_options"):
        with pytest.raises(OpenEOError, match="magic"):
            ard(level2(), **{name: {"magic": 1}})
