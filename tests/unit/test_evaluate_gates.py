"""Gates and their bootstrap bounds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from modelyard.api import GateView
from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.errors import InputError
from modelyard.evaluate import plugged
from modelyard.evaluate.bootstrap import bound
from modelyard.evaluate.catalogue import Metric
from modelyard.evaluate.gates import judge as judge_evidence
from modelyard.evaluate.plugged import Evidence, PluggedMetric
from modelyard.evaluate.sums import row_sums
from modelyard.experiment.model import Gate

CLASSES = DataCard(kind="table", task="classification", rows=200, target="y", classes=("a", "b"))
NUMBERS = DataCard(kind="table", task="regression", rows=200, target="y")


def judge(
    gates: Iterable[Gate], truth: np.ndarray, output: np.ndarray, card: DataCard, seed: int
) -> tuple[GateView, ...]:
    """Verdicts by truth and output alone."""
    evidence = Evidence(truth=truth, output=output, rows=Rows(columns={}), card=card, metrics={})
    return judge_evidence(gates, evidence, seed)


def two_classes(rows: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and sure probabilities of which so many rows are wrong."""
    truth = np.arange(rows) % 2
    said = truth.copy()
    said[:wrong] = 1 - said[:wrong]
    return truth, np.eye(2)[said]


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        ({"metric": "accuracy", "at_least": 0.9}, 0.9, True),
        ({"metric": "accuracy", "at_least": 0.91}, 0.9, False),
        ({"metric": "accuracy", "at_most": 0.9}, 0.9, True),
        ({"metric": "recall", "at_most": 0.5, "advisory": True}, 0.9, False),
    ],
)
def test_gate_without_confidence_holds_the_value(
    gate: dict[str, object], value: float, passed: bool
) -> None:
    """Without a confidence the value itself is held against the limit; equal passes."""
    (view,) = judge((Gate.model_validate(gate),), *two_classes(200, 20), CLASSES, seed=7)

    assert (view.value, view.bound, view.passed) == (pytest.approx(value), None, passed)
    assert view.advisory is bool(gate.get("advisory"))


def test_gate_with_confidence_holds_the_bound() -> None:
    """A value above the limit doesn't pass when its lower bound is below."""
    rows = two_classes(200, 20)
    gates = [Gate(metric="accuracy", at_least=limit, confidence=0.95) for limit in (0.85, 0.89)]

    safe, unsure = judge(gates, *rows, CLASSES, seed=7)

    assert safe.bound == unsure.bound
    assert safe.bound is not None
    assert 0.85 < safe.bound < 0.89 < safe.value
    assert (safe.passed, unsure.passed) == (True, False)


def test_errors_are_bounded_from_above() -> None:
    """For a gate with at_most the upper bound counts."""
    generator = np.random.default_rng(1)
    truth = generator.normal(size=200)
    gate = Gate(metric="rmse", at_most=0.9, confidence=0.95)

    (view,) = judge((gate,), truth, truth + generator.normal(size=200) * 0.97, NUMBERS, seed=7)

    assert view.bound is not None
    assert view.value < view.limit < view.bound
    assert not view.passed


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize(
    "metric", ["accuracy", "f1", "log_loss", "balanced_accuracy", "rmse", "r2", "mae"]
)
def test_bound_is_that_of_scipy(metric: str, side: str) -> None:
    """The bound is scipy's BCa bound up to the resampling's own noise."""
    generator = np.random.default_rng(2)
    if metric in ("rmse", "r2", "mae"):
        truth = generator.normal(size=120)
        output = truth + generator.standard_t(5, size=120) / 2
    else:
        truth = generator.integers(3, size=120)
        output = generator.dirichlet(np.ones(3), size=120) + 2 * np.eye(3)[truth] * (
            generator.random(120) < 0.8
        ).reshape(-1, 1)
        output /= output.sum(axis=1, keepdims=True)
    sums = row_sums(metric, truth, output)
    scipy = stats.bootstrap(
        (np.arange(120),),
        lambda rows, axis: sums.finish(sums.rows[rows].sum(axis=axis - 1 if axis < 0 else axis)),
        n_resamples=4000,
        vectorized=True,
        confidence_level=0.95,
        alternative="greater" if side == "lower" else "less",
        method="BCa",
        rng=np.random.default_rng(3),
    ).confidence_interval

    found = bound(sums, side=side, confidence=0.95, seed=4)

    expected = scipy.low if side == "lower" else scipy.high
    spread = abs(sums.value - expected)
    assert found == pytest.approx(expected, abs=0.12 * spread)


def test_equal_seeds_give_equal_bounds() -> None:
    """A verdict can be repeated: the bound depends on rows and seed alone."""
    sums = row_sums("accuracy", *two_classes(300, 7))

    first, second = (bound(sums, side="lower", confidence=0.9, seed=11) for _ in range(2))

    assert first == second


def test_more_confidence_is_a_stricter_bound() -> None:
    """The bound moves away from the value as the confidence grows."""
    sums = row_sums("accuracy", *two_classes(300, 20))

    bounds = [bound(sums, side="lower", confidence=c, seed=1) for c in (0.6, 0.9, 0.99)]

    assert sums.value > bounds[0] > bounds[1] > bounds[2]


def test_perfect_rows_bound_themselves() -> None:
    """Where every row is right no resample differs, and the bound is the value."""
    assert (
        bound(row_sums("accuracy", *two_classes(50, 0)), side="lower", confidence=0.95, seed=1) == 1
    )


def test_metric_of_another_task_is_refused() -> None:
    """A gate on a metric that the task lacks names those that it has."""
    with pytest.raises(
        InputError, match="rmse can't be computed for classification; valid are acc"
    ):
        judge((Gate(metric="rmse", at_most=1),), *two_classes(10, 1), CLASSES, seed=1)


def test_slice_is_refused_until_there_are_slices() -> None:
    """A gate over a part of the rows is never silently held over all of them."""
    with pytest.raises(InputError, match="slice"):
        judge(
            (Gate(metric="accuracy", at_least=0.5, slice="x = 1"),), *two_classes(10, 1), CLASSES, 1
        )


def test_the_area_has_a_bound_too() -> None:
    """A gate on a metric that ranks rows is held at its bootstrap bound as others are."""
    generator = np.random.default_rng(0)
    truth = generator.integers(2, size=120)
    scores = np.clip(truth * 0.4 + generator.random(120) * 0.6, 0, 1)
    gate = Gate(metric="auc", at_least=0.5, confidence=0.95)

    (view,) = judge([gate], truth, np.stack([1 - scores, scores], axis=1), CLASSES, seed=7)

    assert view.passed
    assert view.bound is not None
    assert 0.7 < view.bound < view.value < 1


def test_a_metric_that_the_rows_say_nothing_of_passes_no_gate() -> None:
    """Rows of one class have no area, and what isn't known isn't at least anything."""
    truth, output = np.zeros(10, int), np.full((10, 2), 0.5)

    (view,) = judge(
        [Gate(metric="auc", at_least=0.0, confidence=0.95)], truth, output, CLASSES, seed=7
    )

    assert not view.passed


def test_a_plugin_is_called_for_blocks_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving out blocks in place of single rows bounds the calls, and gives the same bound."""
    sizes: list[int] = []

    def error(truth: np.ndarray, output: np.ndarray) -> float:
        sizes.append(len(truth))
        return float(np.abs(truth - output).mean())

    output = np.random.default_rng(4).exponential(size=1000)
    metric = PluggedMetric(
        Metric(
            name="off",
            tasks=("regression",),
            goal="minimize",
            bounds=(0, 9),
            description="the mean error",
            function=error,
        ),
        np.zeros(1000),
        output,
    )
    single = bound(metric, side="upper", confidence=0.95, seed=3)
    sizes.clear()
    monkeypatch.setattr(plugged, "BLOCKS", 100)

    blocks = bound(metric, side="upper", confidence=0.95, seed=3)

    assert blocks - output.mean() == pytest.approx(single - output.mean(), rel=0.02)
    assert sizes.count(990) == 100
    assert sizes.count(999) == 0
