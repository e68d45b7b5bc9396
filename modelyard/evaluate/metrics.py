"""Computing metrics, per class too. Plain numpy: an epoch's metrics cost microseconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from modelyard.evaluate.catalogue import METRICS, Task, metric_named, metrics_for
from modelyard.evaluate.measured import Measured
from modelyard.evaluate.plugged import PluggedMetric
from modelyard.evaluate.proportions import f1_bounds, wilson
from modelyard.evaluate.ranking import Auc
from modelyard.evaluate.sums import macro_metrics, row_sums
from modelyard.models.estimator import Array

RANKED = "auc"
"""The one metric that sorts the rows once a class: milliseconds where the others take less."""


def measure(metric: str, truth: Array, output: Array) -> Measured:
    """A metric over given rows, for its value and its bounds.

    Args:
        metric: a name of the catalogue, or of a plugin, that suits the output.
        truth: (n,) class indices or values.
        output: (n, classes) probabilities or (n,) values.
    """
    if metric not in METRICS:
        return PluggedMetric(metric_named(metric), truth, output)
    return Auc(truth, output) if metric == RANKED else row_sums(metric, truth, output)


def compute(
    task: Task,
    truth: Array,
    output: Array,
    *,
    ranked: bool = True,
    also: Iterable[str] = (),
) -> dict[str, float]:
    """Every metric of the task; equal to scikit-learn's of the same names.

    Precision, recall and f1 are means over the classes that occur in truth or prediction, a
    share of nothing being 0; ``auc`` is the mean over the classes of which some rows are and
    some aren't, and is left out where there is none; ``loss`` is log_loss or mse.

    Args:
        task: classification or regression.
        truth: (n,) int64 class indices, or float64 values; n at least 1.
        output: (n, classes) probabilities, or (n,) values.
        ranked: with ``auc``.
        also: names that are wanted; those of plugins are computed too.

    Returns:
        By name, in the catalogue's order.

    Raises:
        PluginError: a plugin's metric isn't installed, or can't be computed.
    """
    plugged = {name: measure(name, truth, output).value for name in also if name not in METRICS}
    return {**_own(task, truth, output, ranked=ranked), **plugged}


def _own(task: Task, truth: Array, output: Array, *, ranked: bool) -> dict[str, float]:
    if task == "regression":
        return {name: row_sums(name, truth, output).value for name in metrics_for(task)}
    by_class = macro_metrics(confusion(truth, output))
    found = {
        name: by_class[name] if name in by_class else measure(name, truth, output).value
        for name in metrics_for(task)
        if ranked or name != RANKED
    }
    return {name: value for name, value in found.items() if not math.isnan(value) or name != RANKED}


def confusion(truth: Array, output: Array) -> Array:
    """(classes, classes) int64: rows of true class i that are predicted as class j."""
    classes = output.shape[1]
    cells = truth.astype(np.int64) * classes + output.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(matrix: Array, classes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Precision, recall, f1 and rows (``support``) of each class, from a confusion matrix.

    Each share has two-sided bounds, ``proportions.CONFIDENCE`` sure, at its name and ``_bounds``.
    A share of nothing (a class never predicted, or without rows) is 0, and its bounds None.
    """
    right = np.diag(matrix).tolist()
    true, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    return {
        name: _class_shares(*counts)
        for name, *counts in zip(classes, right, true, predicted, strict=True)
    }


def _class_shares(right: int, true: int, predicted: int) -> dict[str, Any]:
    either = true + predicted
    return {
        "precision": right / predicted if predicted else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / either if either else 0.0,
        "support": true,
        "precision_bounds": list(wilson(right, predicted)) if predicted else None,
        "recall_bounds": list(wilson(right, true)) if true else None,
        "f1_bounds": list(f1_bounds(right, true, predicted)) if either else None,
    }
