"""Turns what a fit says into events. Every beat comes from the fitting thread itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from modelyard.contract import Metrics, Phase, Progress
from modelyard.experiment.model import Objective
from modelyard.train.reporting import PhaseName, Standing
from modelyard.trial.background import Keeper
from modelyard.trial.poster import Poster
from modelyard.trial.stopping import Stopping


class LaunchReporter:
    """The ``train.reporting.Reporter`` of a launch; called by the fitting thread only.

    Args:
        poster: takes the events.
        stopping: answers ``should_stop``; trusted with a stop only in phases with steps.
        keeper: takes the checkpoints, and says so once each is stored.
        objective: decides which checkpoint is the best; None where steps are no checkpoints, as
            with folds, and the newest ones are all that is kept.
    """

    def __init__(
        self, poster: Poster, stopping: Stopping, keeper: Keeper, objective: Objective | None
    ) -> None:
        self._poster = poster
        self._stopping = stopping
        self._keeper = keeper
        self._metric = None if objective is None else f"validation_{objective.metric}"
        self._sign = -1.0 if objective is not None and objective.goal == "minimize" else 1.0
        self._scores: dict[int, float] = {}

    def phase(self, name: PhaseName, steps: bool) -> None:
        """Say it, and take stops at once unless the phase has steps between which to ask."""
        self._poster.post(Phase(name=name, steps=steps))
        if steps:
            self._stopping.cooperate()
        else:
            self._stopping.leave_at_once()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Send the values, and remember whose is the best."""
        self._poster.post(Metrics(step=step, values=dict(values)))
        if self._metric is not None and self._metric in values:
            self._scores[step] = self._sign * values[self._metric]

    def progress(self, standing: Standing) -> None:
        """Send it: the fit itself sees to its rate, and this is the only beat there is."""
        self._poster.post(Progress(**asdict(standing)))

    def wants_checkpoint(self) -> bool:
        """Whether the one before is stored, and has been paid for."""
        return self._keeper.wants()

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """Have it stored under this launch's number."""
        best = max(self._scores, key=self._scores.__getitem__, default=None)
        self._keeper.commit(epoch, folder, best)

    def should_stop(self) -> bool:
        """Whether SIGTERM came, or the intake asked."""
        return self._stopping.asked
