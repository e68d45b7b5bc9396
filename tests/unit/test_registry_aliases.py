"""Who serves: candidate against champion."""

from __future__ import annotations

import math

import pytest

from modelyard.api import GateView
from modelyard.registry.aliases import Comparison, Verdict, decide


def gate(*, passed: bool, advisory: bool = False, bound: float | None = None) -> GateView:
    return GateView(
        metric="accuracy",
        relation="at_least",
        limit=0.9,
        value=0.88,
        bound=bound,
        confidence=None if bound is None else 0.95,
        advisory=advisory,
        passed=passed,
    )


def accuracy(candidate: float, champion: float | None, version: int | None = 1) -> Comparison:
    return Comparison(
        metric="accuracy",
        goal="maximize",
        candidate=candidate,
        champion=champion,
        champion_version=version,
    )


def test_without_a_champion_the_first_version_becomes_champion() -> None:
    """The first version that passes its gates serves."""
    decision = decide(accuracy(0.5, None, None), margin=0.0, gates=[gate(passed=True)])
    assert (decision.verdict, decision.gap) == (Verdict.CHAMPION, None)


def test_an_equal_candidate_becomes_champion() -> None:
    """At least as good is enough."""
    decision = decide(accuracy(0.97, 0.97), margin=0.0, gates=[])
    assert (decision.verdict, decision.gap) == (Verdict.CHAMPION, 0.0)


def test_a_worse_candidate_becomes_challenger_and_the_gap_is_said() -> None:
    """A candidate below the champion doesn't replace it, and the sentence holds the gap."""
    decision = decide(accuracy(0.96, 0.97), margin=0.0, gates=[])
    assert decision.verdict is Verdict.CHALLENGER
    assert "gap -0.0100" in decision.sentence
    assert "version 1" in decision.sentence


def test_the_margin_is_borne_up_to_rounding() -> None:
    """0.97 against 0.98 is within a margin of 0.01 although floats say -0.010000000000000009."""
    decision = decide(accuracy(0.97, 0.98), margin=0.01, gates=[])
    assert decision.verdict is Verdict.CHAMPION
    assert "within the margin of 0.01" in decision.sentence


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(1.0, Verdict.CHAMPION), (2.0, Verdict.CHALLENGER)]
)
def test_for_errors_less_is_better(candidate: float, verdict: Verdict) -> None:
    """The gap counts in the metric's good direction."""
    comparison = Comparison(
        metric="rmse", goal="minimize", candidate=candidate, champion=1.5, champion_version=4
    )
    decision = decide(comparison, margin=0.0, gates=[])
    assert (decision.verdict, decision.gap) == (verdict, 1.5 - candidate)


def test_no_gap_has_no_sign() -> None:
    """Two equal errors differ by +0, not by -0."""
    equal = Comparison(
        metric="rmse", goal="minimize", candidate=1.5, champion=1.5, champion_version=4
    )
    assert "(gap +0.0000)" in decide(equal, margin=0.0, gates=()).sentence


def test_a_failed_gate_rejects_even_the_best() -> None:
    """A required gate that failed rejects, and the sentence holds its evidence."""
    decision = decide(accuracy(1.0, 0.5), margin=0.0, gates=[gate(passed=False, bound=0.861)])
    assert decision.verdict is Verdict.REJECTED
    assert "accuracy at least 0.9 got 0.8800 with a 95% bound of 0.8610" in decision.sentence


def test_a_failed_advisory_gate_rejects_nothing() -> None:
    """An advisory gate is only said."""
    gates = [gate(passed=False, advisory=True), gate(passed=True)]
    assert decide(accuracy(0.9, 0.8), margin=0.0, gates=gates).verdict is Verdict.CHAMPION


def test_a_champion_that_could_not_be_measured_keeps_serving() -> None:
    """Without a value on the same rows nothing speaks for replacing the champion."""
    decision = decide(accuracy(1.0, None, 3), margin=1.0, gates=[])
    assert (decision.verdict, decision.gap) == (Verdict.CHALLENGER, None)
    assert "version 3 keeps serving" in decision.sentence


def test_a_metric_that_is_no_number_rejects() -> None:
    """NaN never becomes champion, not even as the first version."""
    decision = decide(accuracy(math.nan, None, None), margin=0.0, gates=[])
    assert (decision.verdict, decision.gap) == (Verdict.REJECTED, None)
