"""Tables of a sweep as plain rows."""

from __future__ import annotations

import pytest

from modelyard.api import GateView, TrialState, TrialView
from modelyard.report.tables import confusion, gates, leaderboard, metrics, number


def trial(number: int, value: float, state: TrialState = TrialState.COMPLETE) -> TrialView:
    return TrialView(
        number=number,
        state=state,
        values=(value,),
        parameters={"learning_rate": 0.00123456, "depth": number},
        step=4,
        seconds=1.25,
    )


def test_the_leaderboard_lists_the_best_complete_trials_first() -> None:
    """Pruned trials are not listed, equal ones stand by number, and the limit holds."""
    trials = [trial(0, 0.8), trial(1, 0.9), trial(2, 0.9), trial(3, 1.0, TrialState.PRUNED)]
    table = leaderboard(trials, metric="accuracy", goal="maximize", limit=2)
    assert table.title == "Best 2 of 3 complete trials"
    assert table.columns == ("trial", "accuracy", "epoch", "seconds", "learning_rate", "depth")
    assert table.rows == (
        ("1", "0.9000", "4", "1.2", "0.00123", "1"),
        ("2", "0.9000", "4", "1.2", "0.00123", "2"),
    )


def test_a_mean_over_folds_stands_with_its_spread() -> None:
    """The standard deviation of the objective is shown behind it where there is one."""
    folded = trial(0, 0.8).model_copy(update={"metrics": {"accuracy": 0.8, "accuracy_std": 0.05}})
    table = leaderboard([folded, trial(1, 0.7)], metric="accuracy", goal="maximize")
    assert [row[1] for row in table.rows] == ["0.8000 ± 0.0500", "0.7000"]


def test_health_and_total_stand_beside_the_metric() -> None:
    """Health is shown where it was measured, the total where it decides; then it is the order."""
    healthy = trial(0, 0.8).model_copy(update={"health": {"health": 0.9, "stability": 1.0}})
    table = leaderboard([healthy, trial(1, 0.9)], metric="accuracy", goal="maximize")
    assert table.columns[:4] == ("trial", "accuracy", "health", "epoch")
    assert [row[:3] for row in table.rows] == [("1", "0.9000", ""), ("0", "0.8000", "0.9000")]
    judged = [
        one.model_copy(update={"total": total})
        for one, total in ((healthy, 0.83), (trial(1, 0.9), 0.7))
    ]
    table = leaderboard(judged, metric="accuracy", goal="maximize")
    assert table.columns[:5] == ("trial", "accuracy", "health", "total", "epoch")
    assert [row[:4] for row in table.rows] == [
        ("0", "0.8000", "0.9000", "0.8300"),
        ("1", "0.9000", "", "0.7000"),
    ]


def test_for_errors_the_smallest_stands_first() -> None:
    """The goal turns the order."""
    table = leaderboard([trial(0, 0.8), trial(1, 0.2)], metric="rmse", goal="minimize")
    assert [row[0] for row in table.rows] == ["1", "0"]


def test_a_parameter_that_only_some_trials_have_is_empty_for_the_others() -> None:
    """Conditional parameters leave gaps, not errors."""
    with_momentum = trial(1, 0.5).model_copy(update={"parameters": {"momentum": 0.9}})
    table = leaderboard([trial(0, 0.6), with_momentum], metric="accuracy", goal="maximize")
    assert table.columns[4:] == ("learning_rate", "depth", "momentum")
    assert table.rows[1][4:] == ("", "", "0.9")


def test_gates_show_limit_value_bound_and_verdict() -> None:
    """Each gate is one row; a failed advisory one is marked as such."""
    strict = GateView(
        metric="accuracy",
        relation="at_least",
        limit=0.9,
        value=0.95,
        bound=0.93,
        confidence=0.95,
        passed=True,
    )
    soft = GateView(
        metric="log_loss", relation="at_most", limit=0.1, value=12.345, advisory=True, passed=False
    )
    assert gates([strict, soft]).rows == (
        ("accuracy at least 0.9000", "0.9500", "0.9300 at 95%", "passed"),
        ("log_loss at most 0.1000", "12.35", "", "failed (advisory)"),
    )


def test_the_confusion_matrix_ends_with_the_recall_of_each_class() -> None:
    """Rows are true classes; a class without rows has no recall."""
    table = confusion({"classes": ["a", "b", "c"], "matrix": [[3, 1, 0], [0, 2, 0], [0, 0, 0]]})
    assert table is not None
    assert table.columns == ("", "a", "b", "c", "recall")
    assert table.rows == (
        ("a", "3", "1", "·", "75.0%"),
        ("b", "·", "2", "·", "100.0%"),
        ("c", "·", "·", "·", ""),
    )


def test_a_regression_has_no_confusion_matrix() -> None:
    """There is nothing to show."""
    assert confusion(None) is None


def test_metrics_stand_by_name() -> None:
    """Names are sorted."""
    assert metrics({"f1": 0.5, "accuracy": 1.0}).rows == (("accuracy", "1.0000"), ("f1", "0.5000"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97222, "0.9722"), (0, "0.0000"), (12.3456, "12.35"), (1.2e-5, "1.2e-05"), (-2, "-2.0000")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """Four digits say enough."""
    assert number(value) == text


def test_what_is_no_number_is_said() -> None:
    """NaN and infinity keep their names."""
    assert (number(float("nan")), number(float("inf"))) == ("nan", "inf")
