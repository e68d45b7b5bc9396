"""What pictures of one model are drawn from, whoever gathered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelyard.contract import Metrics, Scalar
from modelyard.evaluate.explanation import Explanation
from modelyard.health.numbers import Kept

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation")
"""Beginnings of the names of metrics that stand for a split."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """One model: a trial's, or the one that was trained, evaluated and registered.

    Args:
        title: what the page is about.
        metric: the first objective's.
        family, parameters: of the model.
        step: the epoch whose weights it has; None where it has no epochs.
        metrics: of ``split``, by name.
        split: ``test`` where it was evaluated, else ``validation``.
        classes: of a classification, in order; () for a regression.
        history: what was reported, in order of steps: epochs, or the ``fits`` of a trial.
        fits: names of a trial's fits where it has several, one a fold; () for a single one.
        outcome: of the evaluation: ``confusion``, ``per_class``, ``gates``; {} without one.
        kept: the numbers that the trial kept; None without some.
        predictions: of the test split, see ``evaluate.predictions``; None without some.
        explanation: None without one.
        problems: what couldn't be read, in whole sentences.
    """

    title: str
    metric: str
    family: str = ""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    split: str = "validation"
    classes: tuple[str, ...] = ()
    history: Sequence[Metrics] = ()
    fits: tuple[str, ...] = ()
    outcome: Mapping[str, Any] = field(default_factory=dict)
    kept: Kept | None = None
    predictions: pd.DataFrame | None = None
    explanation: Explanation | None = None
    problems: tuple[str, ...] = ()

    @property
    def measured_on(self) -> str:
        """What ``metrics`` are of."""
        return f"mean of {len(self.fits)} fits" if self.fits else f"{self.split} split"

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one reported metric."""
        points = [(one.step, one.values[name]) for one in self.history if name in one.values]
        return [step for step, _ in points], [value for _, value in points]

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of all reported metrics."""
        return tuple(dict.fromkeys(name for one in self.history for name in one.values))
