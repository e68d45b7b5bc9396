"""The tree families: building them with scikit-learn, and keeping them without pickle (skops)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from modelyard.contract import Scalar
from modelyard.models.estimator import TREES, Array
from modelyard.models.families import FAMILIES, family_named
from modelyard.models.family import Family, Task
from modelyard.plugins.loading import guarded

TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""What skops doesn't trust by itself and these families hold: plain node arrays."""


def build_classical(family: str, parameters: Mapping[str, Scalar], task: Task, seed: int) -> Any:
    """An unfitted scikit-learn model.

    Args:
        family: ``random-forest``, ``gradient-boosting``, or a plugin's name.
        parameters: every parameter of the family.
        task: what it is to learn.
        seed: of bootstrap samples and feature choices.
    """
    if family not in FAMILIES:
        return _plugged(family_named(family), parameters, task, seed)
    # Importing scikit-learn's ensembles takes seconds that a network's trial must not pay.
    from sklearn import ensemble

    names = {
        ("random-forest", "classification"): "RandomForestClassifier",
        ("random-forest", "regression"): "RandomForestRegressor",
        ("gradient-boosting", "classification"): "HistGradientBoostingClassifier",
        ("gradient-boosting", "regression"): "HistGradientBoostingRegressor",
    }
    given: dict[str, Any] = dict(parameters)
    if family == "gradient-boosting":
        # Its own early stopping would hold out rows of the training split.
        given["early_stopping"] = False
    return getattr(ensemble, names[family, task])(random_state=seed, **given)


def _plugged(family: Family, parameters: Mapping[str, Scalar], task: Task, seed: int) -> Any:
    assert family.build is not None, family.name
    with guarded(f"the model {family.name}", f"be built for {task}"):
        model = family.build(task=task, seed=seed, **parameters)
        wanted = ("fit", "predict_proba" if task == "classification" else "predict")
        if lacking := [name for name in wanted if not callable(getattr(model, name, None))]:
            raise TypeError(f"build gives a {type(model).__name__} without {', '.join(lacking)}")
    return model


class ClassicalEstimator:
    """A fitted scikit-learn model.

    Args:
        model: fitted on preprocessed features; a classifier on class indices.
        classes: number of the card's classes, 0 for a regression.
    """

    def __init__(self, model: Any, classes: int) -> None:
        self.model = model
        self.classes = classes

    def predict(self, features: Array) -> Array:
        """See ``Estimator``."""
        flat = flatten(features)
        if not self.classes:
            values: Array = np.asarray(self.model.predict(flat), np.float64)
            return values
        # A class that the training split lacks is unknown to the model: probability 0.
        result = np.zeros((len(flat), self.classes))
        result[:, self.model.classes_] = self.model.predict_proba(flat)
        return result

    def save(self, folder: Path) -> Path:
        """See ``Estimator``."""
        io = _skops()
        file = folder / TREES
        io.dump(self.model, file)
        return file

    def shape_json(self) -> None:
        """See ``Estimator``; trees know theirs."""


def flatten(features: Array) -> Array:
    """(n, …) → (n, features): trees take an image as its pixels."""
    return features.reshape(len(features), -1)


def load_classical(file: Path, classes: int, trusted: Sequence[str] = ()) -> ClassicalEstimator:
    """The estimator that was saved to ``file``.

    Args:
        file: of skops.
        classes: number of the card's classes, 0 for a regression.
        trusted: types of a plugin's own that it may consist of.

    Raises:
        ValueError: no skops file, or one that holds types beyond ``TRUSTED``.
    """
    io = _skops()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        model = io.load(file, trusted=[*TRUSTED, *trusted])
    except UntrustedTypesFoundException as error:
        raise ValueError(f"{file.name} holds types that are not trusted: {error}") from None
    except (BadZipFile, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} is no skops file: {error}") from None
    return ClassicalEstimator(model, classes)


def _skops() -> Any:
    """``skops.io``, without torch.

    At its import skops walks through all of scikit-learn for a list of estimators, and so meets
    a bridge to torch that no estimator here needs: seconds and 200 MB for a server of trees.
    """
    bridge = "sklearn.externals.array_api_compat.torch"
    hide = "torch" not in sys.modules
    if hide:
        sys.modules[bridge] = None  # type: ignore[assignment]
    try:
        from skops import io
    finally:
        if hide:
            del sys.modules[bridge]
    return io
