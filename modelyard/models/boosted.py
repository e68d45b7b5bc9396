"""Fitting XGBoost and LightGBM, and keeping them in their own text formats, without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.contract import Scalar
from modelyard.errors import first_line
from modelyard.models.classical import flatten
from modelyard.models.estimator import LIGHTGBM_TEXT, XGBOOST_JSON, Array

FILES = {"xgboost": XGBOOST_JSON, "lightgbm": LIGHTGBM_TEXT}
"""File of each family in a packed model's folder."""

OBJECTIVES = {
    "xgboost": ("reg:squarederror", "binary:logistic", "multi:softprob"),
    "lightgbm": ("regression", "binary", "multiclass"),
}
"""The libraries' names for learning a number, one of two classes, and one of several."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One fit.

    Args:
        family: a key of ``FILES``.
        parameters: every parameter of the family.
        classes: of the card; 0 for a regression.
        seed: of the rows and features that trees see.
        threads: of the library.
    """

    family: str
    parameters: Mapping[str, Scalar]
    classes: int
    seed: int
    threads: int


class BoostedEstimator:
    """Fitted trees as their library reads them back.

    They are taken from the saved text right after the fit already, so that what is measured is
    what will be served, to the last bit.

    Args:
        family: a key of ``FILES``.
        text: in the library's own format.
        classes: of the card; 0 for a regression.

    Raises:
        ValueError: the library can't read the text.
    """

    def __init__(self, family: str, text: bytes, classes: int) -> None:
        self._text = text
        self._family = family
        self._classes = classes
        self.model = _READ[family](text)

    def predict(self, features: Array) -> Array:
        """See ``Estimator``."""
        flat = np.ascontiguousarray(flatten(features))
        if self._family == "xgboost":
            flat = import_module("xgboost").DMatrix(flat)
        said = np.asarray(self.model.predict(flat), np.float64)
        if not self._classes:
            return said
        if said.ndim == 2:
            # XGBoost's are float32: they add up to 1 but for the last digits.
            total: Array = said / said.sum(axis=1, keepdims=True)
            return total
        return np.stack([1 - said, said], axis=1)

    def save(self, folder: Path) -> Path:
        """See ``Estimator``."""
        file = folder / FILES[self._family]
        file.write_bytes(self._text)
        return file

    def shape_json(self) -> None:
        """See ``Estimator``; trees know theirs."""


def fit_boosted(order: Order, features: Array, truth: Array) -> BoostedEstimator:
    """Fit on one split.

    Args:
        order: what to fit.
        features: float32 (n, …).
        truth: (n,) class indices or values.
    """
    text = _FIT[order.family](order, np.ascontiguousarray(flatten(features)), np.asarray(truth))
    return BoostedEstimator(order.family, text, order.classes)


def load_boosted(file: Path, family: str, classes: int) -> BoostedEstimator:
    """The estimator that was saved to ``file``.

    Raises:
        ValueError: the library can't read it, or isn't installed.
    """
    try:
        return BoostedEstimator(family, file.read_bytes(), classes)
    except ModuleNotFoundError as error:
        raise ValueError(f"{file.name} needs {family}: pip install {family} ({error})") from None


def _fit_xgboost(order: Order, features: Array, truth: Array) -> bytes:
    xgboost = import_module("xgboost")
    given = dict(order.parameters)
    rounds = given.pop("n_estimators")
    settings = {"seed": order.seed, "nthread": order.threads, "verbosity": 0, **_goal(order)}
    data = xgboost.DMatrix(features, label=truth, nthread=order.threads)
    booster = xgboost.train({**given, **settings}, data, num_boost_round=rounds)
    return bytes(booster.save_raw(raw_format="json"))


def _fit_lightgbm(order: Order, features: Array, truth: Array) -> bytes:
    lightgbm = import_module("lightgbm")
    given = dict(order.parameters)
    rounds = given.pop("n_estimators")
    # The last two make equal fits identical, at some cost in speed.
    settings = {
        "seed": order.seed,
        "num_threads": order.threads,
        "verbosity": -1,
        "deterministic": True,
        "force_row_wise": True,
        **_goal(order),
    }
    data = lightgbm.Dataset(features, label=truth, free_raw_data=True)
    booster = lightgbm.train({**given, **settings}, data, num_boost_round=rounds)
    return str(booster.model_to_string()).encode()


def _goal(order: Order) -> dict[str, Any]:
    number, two, several = OBJECTIVES[order.family]
    if order.classes > 2:
        return {"objective": several, "num_class": order.classes}
    return {"objective": two if order.classes else number}


def _read_xgboost(text: bytes) -> Any:
    xgboost = import_module("xgboost")
    booster = xgboost.Booster({"nthread": 1})
    try:
        json.loads(text)["learner"]  # what isn't this ends the process within the library
        booster.load_model(bytearray(text))
    except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"XGBoost can't read the model: {first_line(error)}") from None
    return booster


def _read_lightgbm(text: bytes) -> Any:
    lightgbm = import_module("lightgbm")
    try:
        return lightgbm.Booster(model_str=text.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ValueError(f"LightGBM can't read the model: {first_line(error)}") from None


_FIT: dict[str, Callable[[Order, Array, Array], bytes]] = {
    "xgboost": _fit_xgboost,
    "lightgbm": _fit_lightgbm,
}
_READ: dict[str, Callable[[bytes], Any]] = {
    "xgboost": _read_xgboost,
    "lightgbm": _read_lightgbm,
}
