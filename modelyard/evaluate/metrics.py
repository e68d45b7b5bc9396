"""Computing metrics, per class too. Plain numpy: an epoch's metrics cost microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.evaluate.catalogue import Task, metrics_for
from modelyard.evaluate.sums import macro_metrics, row_sums
from modelyard.models.estimator import Array


def compute(task: Task, truth: Array, output: Array) -> dict[str, float]:
    """Every metric of the task; equal to scikit-learn's of the same names.

    Precision, recall and f1 are means over the classes that occur in truth or prediction, a
    share of nothing being 0; ``loss`` is log_loss or mse.

    Args:
        task: classification or regression.
        truth: (n,) int64 class indices, or float64 values; n at least 1.
        output: (n, classes) probabilities, or (n,) values.

    Returns:
        By name, in the catalogue's order.
    """
    if task == "regression":
        return {name: row_sums(name, truth, output).value for name in metrics_for(task)}
    by_class = macro_metrics(confusion(truth, output))
    return {
        name: by_class[name] if name in by_class else row_sums(name, truth, output).value
        for name in metrics_for(task)
    }


def confusion(truth: Array, output: Array) -> Array:
    """(classes, classes) int64: rows of true class i that are predicted as class j."""
    classes = output.shape[1]
    cells = truth.astype(np.int64) * classes + output.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(matrix: Array, classes: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Precision, recall, f1 and rows (``support``) of each class, from a confusion matrix.

    A share of nothing (a class never predicted, or without rows) is 0.
    """
    right = np.diag(matrix)
    true, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        name: {
            "precision": float(right[i] / predicted[i]) if predicted[i] else 0.0,
            "recall": float(right[i] / true[i]) if true[i] else 0.0,
            "f1": float(2 * right[i] / (true[i] + predicted[i])) if true[i] + predicted[i] else 0.0,
            "support": int(true[i]),
        }
        for i, name in enumerate(classes)
    }
