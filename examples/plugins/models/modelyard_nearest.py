"""k nearest neighbours by any installed distance, as a family of classical models."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from modelyard.experiment.search import Parameter
from modelyard.models.family import Family, FamilyParameter
from modelyard.plugins.distances import distance
from modelyard.plugins.groups import Group

Array = NDArray[Any]

ROWS_AT_ONCE = 256
"""Rows that are compared with all training rows at once; bounds memory."""


class Nearest(BaseEstimator):
    """What the nearest training rows have; each of them counts the same.

    Args:
        neighbours: how many are asked.
        distance: name of an installed distance.
        task: classification or regression.
    """

    def __init__(self, neighbours: int = 5, distance: str = "euclidean", task: str = "") -> None:
        self.neighbours = neighbours
        self.distance = distance
        self.task = task

    def fit(self, rows: Array, truth: Array) -> "Nearest":
        """Remember all rows."""
        self.rows_ = np.asarray(rows, np.float64)
        self.truth_ = np.asarray(truth)
        self.classes_ = np.unique(truth) if self.task == "classification" else None
        return self

    def predict(self, rows: Array) -> Array:
        """(n,) the mean of the neighbours' values."""
        result: Array = self._neighbours(rows).mean(axis=1)
        return result

    def predict_proba(self, rows: Array) -> Array:
        """(n, classes) the share of each class among the neighbours."""
        found = self._neighbours(rows)
        return np.stack([(found == name).mean(axis=1) for name in self.classes_], axis=1)

    def _neighbours(self, rows: Array) -> Array:
        """(n, neighbours) truth of the nearest rows; among equally near ones the first."""
        measure = distance(self.distance)
        asked, count = np.asarray(rows, np.float64), min(self.neighbours, len(self.rows_))
        parts = [
            np.argsort(measure(part, self.rows_), axis=1, kind="stable")[:, :count]
            for part in np.array_split(asked, max(1, -(-len(asked) // ROWS_AT_ONCE)))
        ]
        return self.truth_[np.concatenate(parts)]


def build(*, task: str, seed: int, neighbours: int, distance: str) -> Nearest:
    """An unfitted model; nothing about it is random, so the seed is of no use."""
    del seed
    return Nearest(neighbours=neighbours, distance=distance, task=task)


NEAREST = Family(
    name="nearest-neighbours",
    kinds=("table", "image"),
    network=False,
    description="the nearest rows of the training split",
    parameters={
        "neighbours": FamilyParameter(
            default=5, type=int, low=1, high=1_000, description="rows that are asked"
        ),
        "distance": FamilyParameter(
            default="euclidean",
            type=str,
            plugin=Group.DISTANCES,
            description="an installed distance",
        ),
    },
    space={"neighbours": Parameter(int_=(1, 25), log=True)},
    build=build,
    trusted=("modelyard_nearest.Nearest",),
)
"""The entry point."""
