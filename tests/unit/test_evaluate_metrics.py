"""Metrics against scikit-learn's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from modelyard.evaluate.catalogue import METRICS, metrics_for
from modelyard.evaluate.metrics import compute, confusion, per_class


def classified(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random truth and probabilities; with few rows some classes are missing."""
    generator = np.random.default_rng(seed)
    return generator.integers(classes, size=rows), generator.dirichlet(np.ones(classes), size=rows)


@pytest.mark.parametrize(
    ("seed", "rows", "classes"), [(0, 300, 10), (1, 7, 5), (2, 1, 3), (3, 50, 2), (4, 12, 12)]
)
def test_classification_is_scikit_learns(seed: int, rows: int, classes: int) -> None:
    """Every classification metric equals scikit-learn's, also where classes are missing."""
    truth, output = classified(seed, rows, classes)
    predicted = output.argmax(axis=1)
    macro = {"average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a predicted class that truth lacks
        balanced = reference.balanced_accuracy_score(truth, predicted)
    log_loss = reference.log_loss(truth, output, labels=np.arange(classes))

    assert compute("classification", truth, output) == pytest.approx(
        {
            "accuracy": reference.accuracy_score(truth, predicted),
            "balanced_accuracy": balanced,
            "f1": reference.f1_score(truth, predicted, **macro),
            "precision": reference.precision_score(truth, predicted, **macro),
            "recall": reference.recall_score(truth, predicted, **macro),
            "log_loss": log_loss,
            "loss": log_loss,
        }
    )


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_regression_is_scikit_learns(shift: float) -> None:
    """Every regression metric equals scikit-learn's, far from zero too."""
    generator = np.random.default_rng(5)
    truth = generator.normal(size=80) + shift
    output = truth + generator.normal(size=80)

    assert compute("regression", truth, output) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(truth, output),
            "rmse": reference.root_mean_squared_error(truth, output),
            "mse": reference.mean_squared_error(truth, output),
            "r2": reference.r2_score(truth, output),
            "loss": reference.mean_squared_error(truth, output),
        }
    )


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (0.5, 0.0)])
def test_r2_of_a_constant_target(error: float, expected: float) -> None:
    """R² of a target without variance is 1 when it is met and 0 when it isn't."""
    truth = np.full(5, 3.0)

    assert compute("regression", truth, truth + error)["r2"] == expected


def test_certain_and_wrong_is_finite() -> None:
    """A probability of 0 for the true class gives a large log loss, not infinity."""
    found = compute("classification", np.array([0]), np.array([[0.0, 1.0]]))

    assert 30 < found["log_loss"] < math.inf


def test_confusion_and_classes_are_scikit_learns() -> None:
    """The confusion matrix has the truth in rows; the classes' shares are scikit-learn's."""
    truth, output = classified(6, 40, 4)
    predicted = output.argmax(axis=1)
    shares = reference.precision_recall_fscore_support(truth, predicted, zero_division=0)

    matrix = confusion(truth, output)
    found = per_class(matrix, ("a", "b", "c", "d"))

    assert matrix.tolist() == reference.confusion_matrix(truth, predicted).tolist()
    for number, name in enumerate("abcd"):
        expected = [float(share[number]) for share in shares]
        assert list(found[name].values()) == pytest.approx(expected)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_catalogue_and_arithmetic_agree(task: str) -> None:
    """What is computed for a task is what the catalogue lists, within its bounds."""
    truth, output = classified(7, 30, 3)
    found = compute(task, truth, output if task == "classification" else output[:, 0])

    assert tuple(found) == metrics_for(task)
    for name, value in found.items():
        low, high = METRICS[name].bounds
        assert low <= value <= high


@pytest.mark.parametrize(("name", "expected"), [("accuracy", 1.0), ("rmse", -1.0)])
def test_gain_is_in_the_good_direction(name: str, expected: float) -> None:
    """A larger value is a gain where larger is better, and a loss where it is worse."""
    assert METRICS[name].gain(3.0, over=2.0) == expected
