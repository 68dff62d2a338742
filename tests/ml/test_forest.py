"""Random forests: the same predictions as scikit-learn used directly on the same table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from odc.geo.crs import CRS
from shapely import Point
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from openeo_backend.cube import Cube, Dimension
from openeo_backend.cube.pixels import PixelArray
from openeo_backend.errors import OpenEOError
from openeo_backend.ml import forest
from openeo_backend.ml.samples import collect


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(120, 4)).astype("float32")
    return features, np.where(features[:, 0] + features[:, 2] > 0, 7, 3)


def vector_cube(values: np.ndarray) -> Cube:
    points = np.empty(len(values), object)
    points[:] = [Point(i, i) for i in range(len(values))]
    labels = {"geometry": points, "t": ["a", "b"], "bands": ["B1", "B2"]}
    data = xr.DataArray(values.reshape(-1, 2, 2), labels, ("geometry", "t", "bands")).chunk()
    dimensions = (Dimension("geometry", "geometry"), Dimension("t", "other"), Dimension("bands", "bands"))
    return Cube(data, dimensions, CRS("EPSG:32632"))


def collection(target: list[Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [{"properties": {"target": value}} for value in target]}


def test_classes_equal_scikit_learn(table: tuple[np.ndarray, np.ndarray]) -> None:
    features, target = table
    samples = collect(vector_cube(features), collection(target.tolist()))
    assert samples.features == ("a_B1", "a_B2", "b_B1", "b_B2")
    model = forest.fit(samples, "classification", max_variables=2, num_trees=25, seed=11)
    direct = RandomForestClassifier(25, max_features=2, random_state=11).fit(features, target)
    pixels = np.random.default_rng(8).normal(size=(4, 30, 20)).astype("float32")
    pixels[1, 3, 5] = np.nan
    predicted = model.predict(PixelArray(pixels))
    expected = direct.predict(np.nan_to_num(pixels).reshape(4, -1).T).reshape(30, 20)
    valid = np.ones((30, 20), bool)
    valid[3, 5] = False
    assert np.array_equal(np.ma.getmaskarray(predicted), ~valid)
    assert predicted.dtype == np.uint8
    assert np.array_equal(predicted.data[valid], expected[valid])


def test_regression_equals_scikit_learn(table: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = table
    target = (features[:, 1] * 3).astype("float64")
    samples = collect(vector_cube(features), collection(target.tolist()))
    model = forest.fit(samples, "regression", max_variables="all", num_trees=10, seed=1)
    direct = RandomForestRegressor(10, max_features=1.0, random_state=1).fit(features, target)
    pixels = np.random.default_rng(9).normal(size=(4, 50)).astype("float32")
    assert np.allclose(model.predict(PixelArray(pixels)), direct.predict(pixels.T), rtol=1e-6)


def test_samples_with_missing_values_are_dropped_and_counted(table: tuple[np.ndarray, np.ndarray]) -> None:
    features, target = table
    features = features.copy()
    features[4, 2] = np.nan
    samples = collect(vector_cube(features), collection([None if i == 9 else int(v) for i, v in enumerate(target)]))
    assert samples.dropped == 2
    assert np.array_equal(samples.values, np.delete(features, [4, 9], axis=0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_trees": 0}, "num_trees"),
        ({"max_variables": 5}, "from 1 to 4"),
        ({"max_variables": "many"}, "onethird"),
    ],
)
def test_wrong_options_are_named(table: tuple[np.ndarray, np.ndarray], options: dict[str, Any], words: str) -> None:
    samples = collect(vector_cube(table[0]), collection(table[1].tolist()))
    with pytest.raises(OpenEOError, match=words) as raised:
        forest.fit(samples, "classification", **{"max_variables": None, "num_trees": 5, "seed": 0, **options})
    assert raised.value.code == "ProcessParameterInvalid"


def test_training_sets_that_do_not_fit_are_refused(table: tuple[np.ndarray, np.ndarray]) -> None:
    features, target = table
    cube = vector_cube(features)
    for wrong, words in (
        (collection([1, 2]), "120 geometries"),
        ({"type": "FeatureCollection", "features": [{"properties": {}}]}, "'target'"),
        ({"type": "Point"}, "FeatureCollection"),
    ):
        with pytest.raises(OpenEOError, match=words):
            collect(cube, wrong)
    for classes, words in (([1] * 120, "same class"), (["wheat"] * 120, "whole number"), ([1.5] * 120, "whole number")):
        with pytest.raises(OpenEOError, match=words):
            forest.fit(collect(cube, collection(classes)), "classification", max_variables=None, num_trees=5, seed=0)
    model = forest.fit(
        collect(cube, collection(target.tolist())), "classification", max_variables=None, num_trees=5, seed=0
    )
    with pytest.raises(OpenEOError, match="trained with 4 features"):
        model.predict(PixelArray(np.zeros((3, 2), "float32")))
