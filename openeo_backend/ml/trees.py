"""Forests as flat arrays for compiled walks, with the predictions of scikit-learn bit by bit.

scikit-learn compares a value of 32 bits with a threshold of 64: the same as comparing it with the next threshold of 32
bits below. Among the sorted thresholds of a feature, the number of those below a value says as much as the value
itself, so that walks compare small integers. Sums are made tree by tree in double precision, as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openeo_backend.cube.compiled import kernels

#: The limit of a leaf, which no rank exceeds, and the most thresholds of a feature in a group of trees.
NEVER = 65_535

#: Levels of each tree that are compared at once.
LEVELS = 3

#: Pixels whose sums are held at once.
PIXELS = 16_384


@dataclass(frozen=True, eq=False)
class Group:
    """Some trees, whose nodes follow each other; children of a node stand side by side."""

    thresholds: np.ndarray
    """float32, those of each feature in ascending order, feature by feature."""
    starts: np.ndarray
    """Where the thresholds of each feature begin, and where the last ones end."""
    nodes: np.ndarray
    """uint64: left child << 32 | feature << 16 | rank of the threshold; leaves lead to themselves."""
    leaves: np.ndarray
    """Per node: 0 where it is no leaf, the class + 1 where that is certain, else minus the row in `values` minus 1."""
    values: np.ndarray
    """float64 (leaves, outputs)."""
    features: np.ndarray
    limits: np.ndarray
    """Features and ranks (trees, 7) of the first levels: the root, its children, their children."""
    exits: np.ndarray
    """Nodes (trees, 8) of the level below, or the leaf above."""

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """In the order in which the kernels take them."""
        return tuple(self.__dict__.values())


@dataclass(frozen=True, eq=False)
class Trees:
    """A forest of trees with one target."""

    groups: tuple[Group, ...]
    count: int
    """Of trees."""
    outputs: int
    """Of each tree: probabilities of classes, or the one number of a regression."""
    classes: np.ndarray | None
    """What is predicted for each output; None for regression."""

    @classmethod
    def of(cls, estimator: Any) -> Trees | None:
        """The trees of a fitted scikit-learn forest; None for other models, and where nothing can be compiled."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor  # imported when it was trained

        if type(estimator) not in (RandomForestClassifier, RandomForestRegressor) or estimator.n_outputs_ != 1:
            return None
        if kernels("openeo_backend.ml.walk") is None or estimator.n_features_in_ > NEVER:
            return None
        trees = [tree.tree_ for tree in estimator.estimators_]
        groups = _grouped(trees, estimator.n_features_in_)
        if groups is None:
            return None
        classes = estimator.classes_ if isinstance(estimator, RandomForestClassifier) else None
        outputs = 1 if classes is None else len(classes)
        return cls(tuple(_packed(*group, outputs) for group in groups), len(trees), outputs, classes)

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classes or numbers, and where they are valid: where all features are finite.

        :param pixels: float32 (features, pixels).
        """
        walk = kernels("openeo_backend.ml.walk")
        total = pixels.shape[1]
        valid = np.ones(total, bool)
        found = np.empty(total, "float64" if self.classes is None else "int32")
        for start in range(0, total, PIXELS):
            part = slice(start, min(start + PIXELS, total))
            sums = np.zeros((part.stop - part.start, self.outputs))
            for group in self.groups:
                walk.add(pixels[:, part], group.arrays, sums, valid[part])
            if self.classes is None:
                np.divide(sums[:, 0], self.count, out=found[part])
            else:
                walk.largest(sums, float(self.count), found[part])
        return (found if self.classes is None else self.classes.take(found)), valid


def warm() -> None:
    """Compile, or load what was compiled before, so that children of this process need not."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor  # takes half a second

    rows = np.array([[0.0], [1.0]], "float32")
    for estimator in (RandomForestClassifier(1, random_state=0), RandomForestRegressor(1, random_state=0)):
        trees = Trees.of(estimator.fit(rows, [0, 1]))
        if trees is not None:
            trees.predict(rows.T.copy())


# -- packing --------------------------------------------------------------------------------------------


def _floors(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each threshold."""
    near = thresholds.astype("float32")
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _grouped(trees: list[Any], features: int) -> list[tuple[list[Any], list[np.ndarray]]] | None:
    """The trees in groups that have few enough thresholds, and these by feature; None where one tree has too many."""
    limits = np.concatenate([np.where(tree.children_left >= 0, tree.feature, -1) for tree in trees])
    floors = np.concatenate([_floors(tree.threshold) for tree in trees])
    thresholds = [np.unique(floors[limits == feature]) for feature in range(features)]
    if max(map(len, thresholds)) <= NEVER:
        return [(trees, thresholds)]
    half = len(trees) // 2
    parts = [_grouped(some, features) for some in (trees[:half], trees[half:])] if half else [None]
    return None if None in parts else [group for part in parts for group in part or ()]


def _packed(trees: Sequence[Any], thresholds: Sequence[np.ndarray], outputs: int) -> Group:
    nodes: list[np.ndarray] = []
    leaves: list[np.ndarray] = []
    values: list[np.ndarray] = []
    tops: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    first = rows = 0
    for tree in trees:
        order = np.concatenate(list(_levels(tree)))
        place = np.empty(len(order), "int64")
        place[order] = np.arange(len(order)) + first
        is_leaf = tree.children_left < 0
        feature = np.where(is_leaf, 0, tree.feature)
        ranks = np.where(is_leaf, NEVER, _ranks(tree, thresholds))
        child = np.where(is_leaf, place, place[tree.children_left])
        packed = child.astype("uint64") << 32 | feature.astype("uint64") << 16 | ranks.astype("uint64")
        nodes.append(packed[order])
        said = tree.value[:, 0, :outputs]
        certain = is_leaf & (said.max(axis=1) == 1.0) & (np.count_nonzero(said, axis=1) == 1) & (outputs > 1)
        open_ = is_leaf & ~certain
        leaf = np.where(certain, said.argmax(axis=1) + 1, 0)
        leaf[open_] = -np.arange(rows, rows + np.count_nonzero(open_)) - 1
        leaves.append(leaf[order])
        values.append(said[open_])
        tops.append(_top(tree, feature, ranks, place))
        first, rows = first + len(order), rows + len(values[-1])
    return Group(
        np.concatenate(thresholds).astype("float32"),
        np.concatenate([[0], np.cumsum([len(own) for own in thresholds])]).astype("int64"),
        np.concatenate(nodes),
        np.concatenate(leaves).astype("int32"),
        np.ascontiguousarray(np.concatenate(values), "float64"),
        *(np.stack(parts) for parts in zip(*tops, strict=True)),
    )


def _levels(tree: Any) -> Iterator[np.ndarray]:
    """The nodes level by level, children of a node side by side."""
    level = np.array([0])
    while level.size:
        yield level
        inner = level[tree.children_left[level] >= 0]
        level = np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1).reshape(-1)


def _ranks(tree: Any, thresholds: Sequence[np.ndarray]) -> np.ndarray:
    ranks, floors = np.zeros(tree.node_count, "int64"), _floors(tree.threshold)
    for feature, own in enumerate(thresholds):
        here = tree.feature == feature
        ranks[here] = np.searchsorted(own, floors[here])
    return ranks


def _top(
    tree: Any, feature: np.ndarray, ranks: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features and ranks of the first levels, and the nodes below; a leaf stands for its left child, and so on."""
    level, above = np.array([0]), []
    for _ in range(LEVELS):
        above.append(level)
        is_leaf = tree.children_left[level] < 0
        children = [np.where(is_leaf, level, side[level]) for side in (tree.children_left, tree.children_right)]
        level = np.stack(children, axis=1).reshape(-1)
    nodes = np.concatenate(above)
    return feature[nodes].astype("uint32"), ranks[nodes].astype("uint16"), place[level].astype("uint32")
