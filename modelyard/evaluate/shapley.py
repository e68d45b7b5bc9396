"""Shapley values of a table's features, by the library ``shap``.

Lundberg and Lee 2017, "A Unified Approach to Interpreting Model Predictions". Trees exactly
(Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for
trees"), other models by sampling (Štrumbelj and Kononenko 2014). The library brings a compiler of
200 MB along, so it is an extra that a trial's image does without.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
    """Values of one row.

    Args:
        amounts: (features,) what each feature adds.
        base: what is predicted where nothing is known.
        unit: probability, log-odds, or value.
    """

    amounts: Array
    base: float
    unit: str


class Explainer:
    """Finds the Shapley values of one row after the other.

    Args:
        estimator: of the model.
        background: (m, features) preprocessed training rows; trees know theirs.
        seed: of the sampling, of each row alike: a row's values don't hang on the rows before it.

    Raises:
        ImportError: the library isn't installed.
    """

    def __init__(self, estimator: Estimator, background: Array, seed: int) -> None:
        self._seed = seed
        self._trees = estimator.model if isinstance(estimator, ClassicalEstimator) else None
        with _quiet():
            import shap  # an extra

            self._explainer = (
                shap.SamplingExplainer(
                    lambda rows: estimator.predict(np.asarray(rows, np.float32)), background
                )
                if self._trees is None
                else shap.TreeExplainer(self._trees)
            )

    def __call__(self, features: Array, chosen: int | None) -> Shapley:
        """The values of a row for one output.

        Args:
            features: (features,) preprocessed.
            chosen: the class that is explained; None for a regression.
        """
        with _quiet():
            found = self._sampled(features) if self._trees is None else self._exact(features)
        base = np.atleast_1d(np.asarray(self._explainer.expected_value, np.float64))
        if chosen is None:
            return Shapley(amounts=found, base=float(base[0]), unit="value")
        if self._trees is None:
            return Shapley(amounts=found[:, chosen], base=float(base[chosen]), unit="probability")
        unit = "probability" if hasattr(self._trees, "estimators_") else "log-odds"
        if found.ndim == 1:  # two classes of boosted trees: the log-odds of the second
            sign = 1.0 if chosen == self._trees.classes_[-1] else -1.0
            return Shapley(amounts=found * sign, base=sign * float(base[0]), unit=unit)
        known = int(np.searchsorted(self._trees.classes_, chosen))
        return Shapley(amounts=found[:, known], base=float(base[known]), unit=unit)

    def _exact(self, features: Array) -> Array:
        """(features,), or (features, outputs)."""
        found: Array = np.asarray(self._explainer.shap_values(features[None]), np.float64)[0]
        return found

    def _sampled(self, features: Array) -> Array:
        """(features,), or (features, outputs)."""
        # The library draws from numpy's global generator, which is put back as it was.
        state = np.random.get_state()
        np.random.seed(self._seed)
        try:
            found = self._explainer.shap_values(features[None], nsamples=SAMPLES, silent=True)
        finally:
            np.random.set_state(state)
        values: Array = np.asarray(found)[0]
        return values


@contextmanager
def _quiet() -> Iterator[None]:
    """The library's own way with others' deprecations is none of the user's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
