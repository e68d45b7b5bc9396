"""A fitted model with its preprocessing: raw rows in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.rows import Rows
from modelyard.models.estimator import Array, Estimator

PREDICT_ROWS = 8192
"""Rows that are preprocessed at once; bounds memory, not what may be asked for."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says about n rows.

    Args:
        labels: (n,) names of the likeliest classes; None for a regression.
        values: (n,) numbers in the target's own unit; None for a classification.
        confidence: (n,) probability of the label; None for a regression.
        probabilities: (n, classes) in the card's order; None for a regression.
    """

    labels: Array | None
    values: Array | None
    confidence: Array | None
    probabilities: Array | None

    @property
    def output(self) -> Array:
        """Probabilities or values: what metrics are computed from."""
        output = self.probabilities if self.probabilities is not None else self.values
        assert output is not None
        return output


class Predictor:
    """A loaded model: raw rows in, predictions out. Not for two threads at once.

    Args:
        family: its family's name.
        parameters: the family's parameters, all of them.
        card: of the data it was fitted on.
        preprocessor: fitted on the training split.
        estimator: fitted.
    """

    def __init__(
        self,
        *,
        family: str,
        parameters: Mapping[str, Scalar],
        card: DataCard,
        preprocessor: Preprocessor,
        estimator: Estimator,
    ) -> None:
        self.family = family
        self.parameters = dict(parameters)
        self.card = card
        self.preprocessor = preprocessor
        self.estimator = estimator

    def predict(self, rows: Rows) -> Prediction:
        """Predictions for raw rows, in their order.

        Raises:
            SchemaMismatch: a column that the model needs is missing or of the wrong type.
        """
        output = self._output(rows)
        if self.card.task == "regression":
            return Prediction(labels=None, values=output, confidence=None, probabilities=None)
        names = np.array(self.card.classes, dtype=object)
        return Prediction(
            labels=names[output.argmax(axis=1)],
            values=None,
            confidence=output.max(axis=1),
            probabilities=output,
        )

    def _output(self, rows: Rows) -> Array:
        starts = range(0, max(len(rows), 1), PREDICT_ROWS)
        parts = (rows.take(np.arange(s, min(s + PREDICT_ROWS, len(rows)))) for s in starts)
        return np.concatenate(
            [self.estimator.predict(self.preprocessor.transform(part)) for part in parts]
        )
