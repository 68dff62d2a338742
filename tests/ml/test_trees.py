"""Compiled walks through forests: the predictions of scikit-learn for the same table, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

from openeo_backend.cube.pixels import PixelArray
from openeo_backend.ml import model, trees
from openeo_backend.ml.model import Model
from openeo_backend.ml.trees import Trees

FORESTS: list[dict[str, Any]] = [
    {"n_estimators": 1, "max_depth": 1},
    {"n_estimators": 30},
    {"n_estimators": 12, "max_depth": 2},
    {"n_estimators": 9, "max_depth": 5, "min_samples_leaf": 7},
    {"n_estimators": 7, "max_leaf_nodes": 4},
    {"n_estimators": 5, "min_samples_leaf": 10_000},
]


def table(seed: int, rows: int = 400, features: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features, many of them the same in several rows, and something that depends on them only partly."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, features)).astype("float32")
    found[:, 0] = np.round(found[:, 0], 1)
    found[:, 1] *= 1e-30
    return found, found[:, 0] + np.sign(found[:, 1]) + rng.normal(0, 0.4, rows)


def pixels(training: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Other values and those of the training set, where thresholds are near."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(training, count) + rng.choice([0.0, 0.05, 2.0], (count, 1)) * rng.normal(size=(count, 1))
    return np.ascontiguousarray(drawn.astype("float32").T)


@pytest.mark.parametrize("options", FORESTS, ids=str)
@pytest.mark.parametrize("count", [1, 256, 1001])
def test_classes_are_those_of_scikit_learn(options: dict[str, Any], count: int) -> None:
    features, signal = table(1)
    for classes in (2, 10):
        labels = np.digitize(signal, np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1])) * 3 + 5
        forest = RandomForestClassifier(**options, random_state=classes).fit(features, labels)
        values = pixels(features, count, count)
        compiled = Trees.of(forest)
        assert compiled is not None
        found, valid = compiled.predict(values)
        assert valid.all()
        np.testing.assert_array_equal(found, forest.predict(values.T))


@pytest.mark.parametrize("options", FORESTS, ids=str)
def test_numbers_are_those_of_scikit_learn(options: dict[str, Any]) -> None:
    features, signal = table(2)
    forest = RandomForestRegressor(**options, random_state=3).fit(features, signal)
    values = pixels(features, 4, 777)
    compiled = Trees.of(forest)
    assert compiled is not None
    found, _ = compiled.predict(values)
    np.testing.assert_array_equal(found, forest.predict(values.T))


def test_a_forest_with_many_thresholds_is_walked_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    features, signal = table(5)
    forest = RandomForestRegressor(12, random_state=3).fit(features, signal)
    values = pixels(features, 6, 300)
    monkeypatch.setattr(trees, "NEVER", 200)
    compiled = Trees.of(forest)
    assert compiled is not None
    assert len(compiled.groups) > 2
    found, _ = compiled.predict(values)
    np.testing.assert_array_equal(found, forest.predict(values.T))
    monkeypatch.setattr(trees, "NEVER", 20)
    assert Trees.of(forest) is None


def test_other_models_predict_themselves() -> None:
    features, signal = table(7)
    assert Trees.of(ExtraTreesClassifier(3, random_state=0).fit(features, signal > 0)) is None
    assert Trees.of(RandomForestRegressor(3).fit(features, np.stack([signal, signal], axis=1))) is None


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
def test_compiled_and_plain_predictions_are_the_same(monkeypatch: pytest.MonkeyPatch, task: Any, dtype: str) -> None:
    features, signal = table(8)
    features = np.abs(features * 100).round()
    labels = (signal > 0).astype(int) + (signal > 1)
    forest = (
        RandomForestClassifier(20, random_state=1).fit(features, labels)
        if task == "classification"
        else RandomForestRegressor(20, random_state=1).fit(features, signal)
    )
    values = np.abs(pixels(features, 9, 600)).reshape(5, 20, 30).astype(dtype)
    rng = np.random.default_rng(3)
    gone = rng.random(values.shape) < 0.05
    if dtype == "uint16":
        data: Any = np.ma.MaskedArray(values, gone)
    else:
        data = np.where(gone, rng.choice([np.nan, np.inf, -np.inf], gone.shape), values).astype(dtype)
    classes = (4, 9, 300) if task == "classification" else ()

    def predicted() -> Any:
        return Model(forest, task, tuple("abcde"), classes).predict(PixelArray(data))

    compiled = predicted()
    expected = np.ma.MaskedArray(np.zeros(gone.shape[1:]), gone.any(axis=0))
    said = forest.predict(values.astype("float32").reshape(5, -1).T).reshape(20, 30)
    expected[...] = np.array(classes)[said] if classes else said
    missing = np.ma.getmaskarray(compiled) | np.isnan(np.ma.getdata(compiled))
    np.testing.assert_array_equal(missing, gone.any(axis=0))
    np.testing.assert_array_equal(np.ma.getdata(compiled)[~missing], expected.data[~missing].astype(compiled.dtype))
    monkeypatch.setattr(model.Trees, "of", lambda estimator: None)
    plain = predicted()
    assert plain.dtype == compiled.dtype == (np.uint16 if classes else np.float32)
    np.testing.assert_array_equal(np.ma.filled(plain, 0), np.ma.filled(compiled, 0))


def test_nothing_is_compiled_where_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    features, signal = table(10)
    monkeypatch.setattr(trees, "kernels", lambda module: None)
    assert Trees.of(RandomForestRegressor(3).fit(features, signal)) is None
