"""Which trial wins, and which are on the Pareto front. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.api import TrialState
from modelyard.experiment.model import Objective
from modelyard.journal.rows import TrialRow


@dataclass(frozen=True, kw_only=True)
class Winner:
    """What a sweep found.

    Args:
        best: with one objective the best trial, by its total where trials have one; with several
            the one of the front that is best by the first objective, because the file's order is
            the only preference it states. Equal values: the smallest number. None when no trial
            is complete.
        front: numbers of the complete trials that no other is better than in every objective,
            best first; with one objective only ``best``.
    """

    best: TrialRow | None
    front: tuple[int, ...]


def choose_winner(trials: Sequence[TrialRow], objectives: Sequence[Objective]) -> Winner:
    """Choose among the complete trials.

    Args:
        trials: of one sweep, in any state.
        objectives: as in the file; ``TrialRow.values`` has one value for each.
    """
    signs = [1.0 if objective.goal == "minimize" else -1.0 for objective in objectives]
    costs = {
        trial.number: tuple(s * v for s, v in zip(signs, judged_by(trial), strict=True))
        for trial in trials
        if trial.state is TrialState.COMPLETE
    }
    order = sorted(costs, key=lambda number: (costs[number], number))
    front = tuple(
        number
        for number in order
        if not any(_dominates(costs[other], costs[number]) for other in order)
    )
    best = next((trial for trial in trials if front and trial.number == front[0]), None)
    return Winner(best=best, front=front if len(objectives) > 1 else front[:1])


def judged_by(trial: TrialRow) -> tuple[float, ...]:
    """What a complete trial is judged by: its total where it has one, else its objectives.

    Totals are maximised, as the objectives are that they may be made of.
    """
    return trial.values if trial.total is None else (trial.total,)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
