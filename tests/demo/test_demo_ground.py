"""What grows, reflects and scatters in the demo archive behaves as crops, clouds and radar do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from openeo_backend.catalog.demo import Scenario
from openeo_backend.catalog.demo.landscape import Landscape, make_landscape
from openeo_backend.catalog.demo.optical import Scene, make_scenes, sun_angles
from openeo_backend.catalog.demo.radar import make_radar_scene
from openeo_backend.catalog.demo.scenario import PAD, Grid, block_mean, nearest
from openeo_backend.catalog.demo.spectra import BY_NAME

# Every third acquisition from the first is free of haze, and those asked for here are free of cirrus.
YEAR = Scenario(
    width=240,
    height=240,
    start=datetime(2025, 1, 10, 10, 10, 31, tzinfo=UTC),
    days=tuple(range(0, 350, 10)),
    radar_days=tuple(range(0, 350, 10)),
    cloud_cover=(0.0,),
    edge_every=0,
    neighbour=None,
)


@pytest.fixture(scope="module")
def landscape() -> Landscape:
    return make_landscape(YEAR)


@pytest.fixture(scope="module")
def year(landscape: Landscape) -> dict[str, Scene]:
    wanted = (0, 9, 12, 15, 21, 24, 30)
    scenes = [make_scenes(YEAR, landscape, index)[0] for index in wanted]
    return {f"{scene.time:%m-%d}": scene for scene in scenes}


def cover(landscape: Landscape) -> np.ndarray:
    return landscape.cover[PAD:-PAD, PAD:-PAD]


def reflectance(scene: Scene, band: str) -> np.ndarray:
    return scene.bands[band] * 1e-4 - 0.1


def ndvi(scene: Scene) -> np.ndarray:
    red, near = reflectance(scene, "B04"), reflectance(scene, "B08")
    return (near - red) / (near + red)


def test_dates_of_the_year(year: dict[str, Scene]) -> None:
    assert list(year) == ["01-10", "04-10", "05-10", "06-09", "08-08", "09-07", "11-06"]


@pytest.mark.parametrize(
    ("crop", "green", "bare"),
    [
        ("winter_wheat", "05-10", "08-08"),
        ("winter_barley", "05-10", "08-08"),
        ("rapeseed", "06-09", "08-08"),
        ("maize", "08-08", "05-10"),
        ("sugar_beet", "09-07", "04-10"),
        ("potato", "08-08", "04-10"),
        ("broadleaf_forest", "06-09", "01-10"),
    ],
)
def test_seasons(landscape: Landscape, year: dict[str, Scene], crop: str, green: str, bare: str) -> None:
    here = cover(landscape) == BY_NAME[crop]
    assert here.sum() > 200
    assert np.median(ndvi(year[green])[here]) > 0.65
    assert np.median(ndvi(year[bare])[here]) < 0.45


def test_grass_is_always_green_and_water_never(landscape: Landscape, year: dict[str, Scene]) -> None:
    for scene in year.values():
        assert np.median(ndvi(scene)[cover(landscape) == BY_NAME["grassland"]]) > 0.4
        assert np.median(ndvi(scene)[cover(landscape) == BY_NAME["coniferous_forest"]]) > 0.6
        water = cover(landscape) == BY_NAME["water"]
        assert np.median(ndvi(scene)[water]) < 0
        assert np.median(reflectance(scene, "B11")[water[::2, ::2]]) < 0.02


def test_rapeseed_blossoms_in_spring(landscape: Landscape) -> None:
    rape = cover(landscape) == BY_NAME["rapeseed"]
    blossom = make_scenes(replace(YEAR, start=datetime(2025, 5, 2, 10, 10, 31, tzinfo=UTC), days=(0,)), landscape, 0)[0]
    later = make_scenes(replace(YEAR, start=datetime(2025, 6, 5, 10, 10, 31, tzinfo=UTC), days=(0,)), landscape, 0)[0]
    assert np.median(reflectance(blossom, "B03")[rape]) > 1.4 * np.median(reflectance(later, "B03")[rape])


def test_fields_of_a_crop_differ(landscape: Landscape, year: dict[str, Scene]) -> None:
    """Classes must not be trivially separable: fields of one crop differ more than pixels of one field."""
    wheat = np.flatnonzero(landscape.cover_of == BY_NAME["winter_wheat"])
    unit = landscape.unit[PAD:-PAD, PAD:-PAD]
    values = ndvi(year["04-10"])
    means = [values[unit == k].mean() for k in wheat if (unit == k).sum() > 50]
    within = np.median([values[unit == k].std() for k in wheat if (unit == k).sum() > 50])
    assert len(means) > 5
    assert np.std(means) > within > 0.005


def test_the_south_has_its_summer_in_january(landscape: Landscape) -> None:
    south = replace(YEAR, epsg=32732, north=5_000_000.0, days=(0,))
    assert south.latitude < -40
    ground = make_landscape(south)
    beet = ground.cover[PAD:-PAD, PAD:-PAD] == BY_NAME["sugar_beet"]
    assert np.median(ndvi(make_scenes(south, ground, 0)[0])[beet]) > 0.5
    north = ndvi(make_scenes(replace(YEAR, days=(0,)), landscape, 0)[0])
    assert np.median(north[cover(landscape) == BY_NAME["sugar_beet"]]) < 0.35


def test_sun_angles_of_the_solstices() -> None:
    """At 22.5 degrees before noon: from the formula of spherical astronomy, in plain numbers."""
    azimuth, zenith = sun_angles(datetime(2025, 6, 21, 10, 10, tzinfo=UTC), 48.5)
    assert zenith == pytest.approx(30.7, abs=0.5)
    assert azimuth == pytest.approx(136.5, abs=1.5)
    assert sun_angles(datetime(2025, 12, 21, 10, 10, tzinfo=UTC), 48.5)[1] == pytest.approx(74.5, abs=0.7)
    assert sun_angles(datetime(2025, 12, 21, 10, 10, tzinfo=UTC), -48.5)[1] == pytest.approx(zenith, abs=0.5)


def test_clouds_are_bright_and_shadows_dark(landscape: Landscape) -> None:
    clear = make_scenes(replace(YEAR, days=(120,)), landscape, 0)[0]
    cloudy = make_scenes(replace(YEAR, days=(120,), cloud_cover=(0.35,)), landscape, 0)[0]
    change = block_mean(reflectance(cloudy, "B02") - reflectance(clear, "B02"), 2)
    relative = block_mean(reflectance(cloudy, "B08"), 2) / block_mean(reflectance(clear, "B08"), 2)
    scl = cloudy.bands["SCL"]
    assert np.median(change[scl == 9]) > 0.3
    assert np.median(change[scl == 8]) > 0.05
    assert np.median(relative[scl == 3]) < 0.75
    unmasked = np.isin(scl, (4, 5, 6))
    assert np.abs(change[unmasked]).max() < 0.06
    assert relative[unmasked & (clear.bands["SCL"] == 4)].min() > 0.9
    assert 0.25 < np.isin(scl, (8, 9)).mean() < 0.45
    assert (scl == 3).mean() > 0.05
    assert not np.isin(clear.bands["SCL"], (3, 8, 9, 10)).any()


def test_scene_classes_follow_the_ground(landscape: Landscape, year: dict[str, Scene]) -> None:
    scene = year["06-09"]
    index = block_mean(ndvi(scene), 2)
    assert (scene.bands["SCL"][index > 0.5] == 4).mean() > 0.97
    water = cover(landscape)[::2, ::2] == BY_NAME["water"]
    assert (scene.bands["SCL"][water] == 6).all()


def test_backscatter(landscape: Landscape) -> None:
    scene = make_radar_scene(YEAR, landscape, 15)
    level = {
        name: 10 * np.log10(scene.bands["VV"][cover(landscape) == BY_NAME[name]].mean())
        for name in ("water", "coniferous_forest", "roof", "winter_wheat")
    }
    assert level["water"] < level["winter_wheat"] < level["coniferous_forest"] < level["roof"]
    assert (scene.bands["VH"] < scene.bands["VV"]).mean() > 0.9
    forest = scene.bands["VV"][cover(landscape) == BY_NAME["coniferous_forest"]]
    # Speckle of L looks has a coefficient of variation of 1 / sqrt(L); slow changes of the ground add a little.
    assert forest.std() / forest.mean() == pytest.approx(1 / np.sqrt(4.4), rel=0.12)
    assert scene.bands["VV"].dtype == np.float32


def test_averaging_passes_reduces_speckle(landscape: Landscape) -> None:
    forest = cover(landscape) == BY_NAME["coniferous_forest"]
    passes = np.stack([make_radar_scene(YEAR, landscape, k).bands["VH"][forest] for k in range(8)])
    one, mean = passes[0], passes.mean(axis=0)
    assert mean.std() / mean.mean() < 0.6 * one.std() / one.mean()


def test_nearest_and_block_mean() -> None:
    source = Grid(32632, 500_000, 5_000_040, 10, 4, 4)
    values = np.arange(16, dtype=np.uint16).reshape(4, 4)
    target = Grid(32632, 500_010, 5_000_030, 10, 4, 2)
    assert nearest(values, source, target, 99).tolist() == [[5, 6, 7, 99], [9, 10, 11, 99]]
    assert block_mean(values, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
