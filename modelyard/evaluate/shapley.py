"""Shapley values of a table's features, by the library ``shap``.

Lundberg and Lee 2017, "A Unified Approach to Interpreting Model Predictions". Trees exactly
(Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for
trees"), other models by sampling (Štrumbelj and Kononenko 2014). The library brings a compiler of
200 MB along, so it is an extra that a trial's image does without.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.models.classical import ClassicalEstimator
from modelyard.models.estimator import Array, Estimator

MISSING = (
    "Shapley values were left out: the library shap isn't installed; "
    "`pip install modelyard[explain]` brings it."
)

SAMPLES = 500
"""Model calls for one row and output, by sampling."""

BACKGROUND = 50
"""Training rows that stand for what isn't known of a row."""


@dataclass(frozen=True, kw_only=True)
class Shapley:
    """Values of n rows.

    Args:
        amounts: (n, features) what each feature adds for the row's own output.
        base: (n,) what is predicted where nothing is known.
        unit: probability, log-odds, or value.
    """

    amounts: Array
    base: Array
    unit: str


def shapley(
    estimator: Estimator, features: Array, chosen: Array | None, background: Array, seed: int
) -> Shapley:
    """The Shapley values of rows for one output each.

    Args:
        estimator: of the model.
        features: (n, features) preprocessed rows.
        chosen: (n,) the class that is explained; None for a regression.
        background: (m, features) preprocessed training rows.
        seed: of the sampling.

    Raises:
        ImportError: the library isn't installed.
    """
    with warnings.catch_warnings():
        # Its own way with others' deprecations is none of the user's business.
        warnings.simplefilter("ignore")
        import shap  # an extra

        if isinstance(estimator, ClassicalEstimator):
            return _of_trees(shap, estimator, features, chosen)
        return _by_sampling(shap, estimator, features, chosen, background, seed)


def _of_trees(
    shap: Any, estimator: ClassicalEstimator, features: Array, chosen: Array | None
) -> Shapley:
    explainer = shap.TreeExplainer(estimator.model)
    values = np.asarray(explainer.shap_values(features), np.float64)
    base = np.atleast_1d(np.asarray(explainer.expected_value, np.float64))
    if chosen is None:
        return Shapley(amounts=values, base=np.full(len(values), base[0]), unit="value")
    forest = hasattr(estimator.model, "estimators_")
    unit = "probability" if forest else "log-odds"
    rows = np.arange(len(values))
    if values.ndim == 2:  # two classes of boosted trees: the log-odds of the second
        sign = np.where(chosen == estimator.model.classes_[-1], 1.0, -1.0)
        return Shapley(amounts=values * sign[:, None], base=sign * base[0], unit=unit)
    known = np.searchsorted(estimator.model.classes_, chosen)
    return Shapley(amounts=values[rows, :, known], base=base[known], unit=unit)


def _by_sampling(
    shap: Any,
    estimator: Estimator,
    features: Array,
    chosen: Array | None,
    background: Array,
    seed: int,
) -> Shapley:
    def output(rows: Array) -> Array:
        return estimator.predict(np.asarray(rows, np.float32))

    # The library draws from numpy's global generator, which is put back as it was.
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        explainer = shap.SamplingExplainer(output, background)
        values = np.asarray(explainer.shap_values(features, nsamples=SAMPLES, silent=True))
    finally:
        np.random.set_state(state)
    base = np.atleast_1d(np.asarray(explainer.expected_value, np.float64))
    if chosen is None:
        return Shapley(amounts=values, base=np.full(len(values), base[0]), unit="value")
    rows = np.arange(len(values))
    return Shapley(amounts=values[rows, :, chosen], base=base[chosen], unit="probability")
