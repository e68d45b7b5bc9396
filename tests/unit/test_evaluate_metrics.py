"""Metrics against scikit-learn's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from modelyard.evaluate.catalogue import METRICS, metrics_for
from modelyard.evaluate.metrics import compute, confusion, per_class
from modelyard.evaluate.proportions import wilson
from modelyard.evaluate.ranking import Auc


def classified(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random truth and probabilities; with few rows some classes are missing."""
    generator = np.random.default_rng(seed)
    return generator.integers(classes, size=rows), generator.dirichlet(np.ones(classes), size=rows)


def calibration_error(truth: np.ndarray, output: np.ndarray) -> float:
    """Equation 3 of Guo et al., bin by bin."""
    confidence, right = output.max(axis=1), output.argmax(axis=1) == truth
    gaps = [
        abs(right[held].mean() - confidence[held].mean()) * held.sum()
        for low in np.arange(15) / 15
        if (held := (confidence > low) & (confidence <= low + 1 / 15)).any()
    ]
    return float(sum(gaps) / len(truth))


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
    areas = [
        reference.roc_auc_score(truth == number, output[:, number])
        for number in range(classes)
        if len({*(truth == number)}) == 2
    ]

    assert compute("classification", truth, output) == pytest.approx(
        {
            "accuracy": reference.accuracy_score(truth, predicted),
            "balanced_accuracy": balanced,
            "f1": reference.f1_score(truth, predicted, **macro),
            "precision": reference.precision_score(truth, predicted, **macro),
            "recall": reference.recall_score(truth, predicted, **macro),
            **({"auc": np.mean(areas)} if areas else {}),
            "log_loss": log_loss,
            "calibration_error": calibration_error(truth, output),
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
        assert list(found[name].values())[:4] == pytest.approx(expected)


@pytest.mark.parametrize(("part", "whole"), [(0, 7), (3, 7), (7, 7), (498, 500)])
def test_bounds_of_shares_are_scipys(part: int, whole: int) -> None:
    """A share's bounds are Wilson's, as SciPy has them."""
    expected = stats.binomtest(part, whole).proportion_ci(0.95, method="wilson")

    assert wilson(part, whole) == pytest.approx((expected.low, expected.high))


def test_a_class_bounds_hold_its_shares() -> None:
    """Precision, recall and F1 lie within their bounds, which few rows make wide; what no row
    tells has none."""
    matrix = np.array([[4, 1, 0], [2, 300, 0], [0, 0, 0]])

    few, many, absent = per_class(matrix, ("few", "many", "absent")).values()

    for name in ("precision", "recall", "f1"):
        widths = []
        for shares in (few, many):
            low, high = shares[f"{name}_bounds"]
            assert 0 <= low < shares[name] < high <= 1
            widths.append(high - low)
        assert widths[0] > 3 * widths[1]
        assert absent[f"{name}_bounds"] is None


def test_ties_count_half() -> None:
    """Equal scores win half of their pairs."""
    output = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])

    assert Auc(np.array([0, 1, 1]), output).value == pytest.approx(0.75)


def test_areas_without_a_row_are_those_of_the_other_rows() -> None:
    """The leave-one-out areas equal areas over the other rows, with ties and a lone class."""
    generator = np.random.default_rng(3)
    truth = np.append(generator.integers(3, size=20), 3)
    output = generator.integers(1, 5, size=(21, 4)).astype(float)

    metric = Auc(truth, output)
    others = metric.over(1.0 - np.eye(21))

    assert metric.left_out() == pytest.approx(others)


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
