"""Metrics as functions of sums over rows.

Every metric here depends on the rows only through sums of a few numbers per row: counts of
(true class, predicted class), squared errors, … So one function serves the plain value (the
sums over all rows), each bootstrap resample (weighted sums) and each leave-one-out value (the
sums less one row), all at once as arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelyard.models.estimator import Array

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to it before the logarithm, as scikit-learn's log_loss does."""

BINS = 15
"""Bins of equal width of the calibration error: Guo, Pleiss, Sun and Weinberger 2017, "On
Calibration of Modern Neural Networks", equation 3 and their experiments' M = 15."""


@dataclass(frozen=True, kw_only=True)
class RowSums:
    """See ``measured.Measured``: a metric in two steps.

    Args:
        rows: (n, k) what each row adds.
        finish: sums (…, k) → values (…). May give NaN where the sums say nothing.
    """

    rows: Array
    finish: Callable[[Array], Array]

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    @property
    def value(self) -> float:
        """The metric over all rows."""
        return float(self.finish(self.rows.sum(axis=0)))

    def over(self, weights: Array) -> Array:
        """(m,) the metric over rows that count as often as ``weights`` (m, n) say."""
        return self.finish(weights @ self.rows)

    def left_out(self) -> Array:
        """(n,) the metric over all rows but one."""
        return self.finish(self.rows.sum(axis=0) - self.rows)


def row_sums(metric: str, truth: Array, output: Array) -> RowSums:
    """A metric over given rows.

    Args:
        metric: a key of ``catalogue.METRICS`` that suits the output; not ``auc``.
        truth: (n,) class indices or values.
        output: (n, classes) probabilities or (n,) values.
    """
    if output.ndim == 1:
        return _regression(metric, truth, output)
    if metric in ("log_loss", "loss"):
        chosen = output[np.arange(len(truth)), truth] / output.sum(axis=1)
        loss = -np.log(np.clip(chosen, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
        return RowSums(rows=_with_count(loss), finish=_mean)
    predicted = output.argmax(axis=1)
    classes = output.shape[1]
    if metric == "calibration_error":
        return RowSums(rows=_binned(output, predicted == truth), finish=_calibration_error)
    if metric == "accuracy":
        return RowSums(rows=_with_count(predicted == truth), finish=_mean)
    return RowSums(rows=_hits(truth, predicted, classes), finish=_FROM_HITS[metric])


def _with_count(values: Array) -> Array:
    return np.stack([np.asarray(values, np.float64), np.ones(len(values))], axis=1)


def _mean(sums: Array) -> Array:
    result: Array = sums[..., 0] / sums[..., 1]
    return result


def _binned(output: Array, right: Array) -> Array:
    """(n, BINS + 1): confidence less hit, in the column of the row's bin; and a count."""
    confidence = output.max(axis=1)
    rows = np.zeros((len(right), BINS + 1))
    rows[np.arange(len(right)), bin_of(confidence)] = confidence - right
    rows[:, BINS] = 1.0
    return rows


def bin_of(confidence: Array) -> Array:
    """(n,) the bin of each confidence, from 0; a bin's upper edge belongs to it, as in Guo."""
    result: Array = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return result


def _calibration_error(sums: Array) -> Array:
    """The bins' gaps between mean confidence and accuracy, weighted by their rows."""
    result: Array = np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS]
    return result


def _hits(truth: Array, predicted: Array, classes: int) -> Array:
    """(n, 3·classes): for each class right, true, predicted."""
    numbers = np.arange(classes)
    is_true = truth[:, None] == numbers
    is_predicted = predicted[:, None] == numbers
    return np.concatenate([is_true & is_predicted, is_true, is_predicted], axis=1).astype(
        np.float64
    )


def _share(part: Array, whole: Array) -> Array:
    """part / whole, 0 where there is nothing to share."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _macro(values: Array, counted: Array) -> Array:
    """Mean over the classes that count; as scikit-learn, those in truth or prediction."""
    result: Array = (values * counted).sum(axis=-1) / counted.sum(axis=-1)
    return result


def _precision(sums: Array) -> Array:
    right, true, predicted = np.split(sums, 3, axis=-1)
    return _macro(_share(right, predicted), (true > 0) | (predicted > 0))


def _recall(sums: Array) -> Array:
    right, true, predicted = np.split(sums, 3, axis=-1)
    return _macro(_share(right, true), (true > 0) | (predicted > 0))


def _balanced_accuracy(sums: Array) -> Array:
    right, true, _ = np.split(sums, 3, axis=-1)
    return _macro(_share(right, true), true > 0)


def _f1(sums: Array) -> Array:
    right, true, predicted = np.split(sums, 3, axis=-1)
    return _macro(_share(2 * right, true + predicted), (true > 0) | (predicted > 0))


_FROM_HITS: dict[str, Callable[[Array], Array]] = {
    "precision": _precision,
    "recall": _recall,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
}


def macro_metrics(matrix: Array) -> dict[str, float]:
    """The metrics that are means over classes, from a confusion matrix: without a row each."""
    sums = np.concatenate([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)])
    return {name: float(finish(sums.astype(np.float64))) for name, finish in _FROM_HITS.items()}


def _regression(metric: str, truth: Array, output: Array) -> RowSums:
    error = output - truth
    if metric == "mae":
        return RowSums(rows=_with_count(np.abs(error)), finish=_mean)
    if metric in ("mse", "loss"):
        return RowSums(rows=_with_count(error**2), finish=_mean)
    if metric == "rmse":
        return RowSums(rows=_with_count(error**2), finish=lambda sums: np.sqrt(_mean(sums)))
    # Centred, so that the variance isn't the small difference of two large sums.
    centred = truth - truth.mean()
    rows = np.stack([error**2, centred, centred**2, np.ones(len(truth))], axis=1)
    return RowSums(rows=rows, finish=_r2)


def _r2(sums: Array) -> Array:
    squared_error, total, squares, count = np.moveaxis(sums, -1, 0)
    around_mean = squares - total**2 / count
    # A target that doesn't vary: 1 when met exactly, else 0, as scikit-learn has it.
    constant = around_mean <= 1e-12 * np.maximum(squares, 1e-300)
    ratio = squared_error / np.where(constant, 1.0, around_mean)
    return np.where(constant, np.where(squared_error == 0, 1.0, 0.0), 1 - ratio)
