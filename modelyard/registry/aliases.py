"""Who serves: the candidate against the champion, decided as a pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from modelyard.api import GateView

TOLERANCE = 1e-9
"""Differences below this are rounding: 0.97 - 0.98 is -0.010000000000000009."""


class Verdict(StrEnum):
    """What becomes of a candidate; also the alias it gets."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric on the same test rows.

    Args:
        metric: its name.
        goal: its good direction.
        candidate: the new model's value.
        champion: the serving model's value; None where there is none, or it can't be told.
        champion_version: the registry's number of the champion, None without one.
        problem: why the champion's value can't be told.
    """

    metric: str
    goal: Literal["maximize", "minimize"]
    candidate: float
    champion: float | None = None
    champion_version: int | None = None
    problem: str = ""

    @property
    def gap(self) -> float | None:
        """Candidate minus champion in the good direction: above zero is better."""
        if self.champion is None:
            return None
        if self.goal == "maximize":
            return self.candidate - self.champion
        return self.champion - self.candidate


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of the candidate, and why in a sentence."""

    verdict: Verdict
    gap: float | None
    sentence: str


def decide(comparison: Comparison, *, margin: float, gates: Sequence[GateView]) -> Decision:
    """Champion, challenger or rejected.

    A failed gate that isn't advisory rejects. Otherwise the candidate becomes champion when
    there is none, or when it is at most ``margin`` worse on the same test rows. Where a
    champion exists but has no value on these rows, nothing speaks for replacing it.

    Args:
        comparison: the objective's metric of both.
        margin: how much worse still counts as equal, in the metric's unit, at least 0.
        gates: every gate's verdict.
    """
    gap = comparison.gap
    refused = [gate for gate in gates if not gate.passed and not gate.advisory]
    if refused:
        return Decision(verdict=Verdict.REJECTED, gap=gap, sentence=_refusal(refused))
    if not math.isfinite(comparison.candidate):
        sentence = f"rejected: {comparison.metric} is {comparison.candidate} on the test split"
        return Decision(verdict=Verdict.REJECTED, gap=None, sentence=sentence)
    verdict, sentence = _against_champion(comparison, gap, margin)
    return Decision(verdict=verdict, gap=gap, sentence=sentence)


def _against_champion(c: Comparison, gap: float | None, margin: float) -> tuple[Verdict, str]:
    if c.champion_version is None:
        return Verdict.CHAMPION, "champion: the first version that passed"
    if gap is None:
        return Verdict.CHALLENGER, (
            f"challenger: version {c.champion_version} keeps serving, because it was not compared "
            f"on these test rows" + (f": {c.problem}" if c.problem else "")
        )
    rows = f"{c.metric} {c.candidate:.4f} against {c.champion:.4f} of version {c.champion_version}"
    if gap >= -margin - TOLERANCE:
        borne = f", within the margin of {margin:g}" if gap < -TOLERANCE else ""
        return Verdict.CHAMPION, f"champion: {rows} on the same test rows (gap {gap:+.4f}{borne})"
    return Verdict.CHALLENGER, f"challenger: {rows} on the same test rows (gap {gap:+.4f})"


def _refusal(refused: Sequence[GateView]) -> str:
    parts = [
        f"{gate.metric} {gate.relation.replace('_', ' ')} {gate.limit:g} {_evidence(gate)}"
        for gate in refused
    ]
    return "rejected: the gate " + "; ".join(parts)


def _evidence(gate: GateView) -> str:
    if gate.bound is None:
        return f"got {gate.value:.4f}"
    return f"got {gate.value:.4f} with a {gate.confidence:.0%} bound of {gate.bound:.4f}"
