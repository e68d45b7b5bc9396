"""Which epoch is the best so far, and whether it is time to give up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelyard.errors import InputError
from modelyard.evaluate.catalogue import metric_named
from modelyard.experiment.training import EarlyStopping


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """The state after some epochs; each epoch makes the next one.

    Args:
        metric: name of the objective's metric; its direction is the catalogue's.
        best_epoch: 0 before the first.
        best_value: its metric; among equal ones the lower validation loss is the better.
        best_loss: its validation loss.
        reference: the value that early stopping compares with.
        waited: epochs since ``reference`` was last improved on by ``min_delta``.
    """

    metric: str
    best_epoch: int = 0
    best_value: float = math.nan
    best_loss: float = math.inf
    reference: float | None = None
    waited: int = 0

    def after(self, epoch: int, values: Mapping[str, float], min_delta: float = 0.0) -> Monitor:
        """The state after an epoch.

        Args:
            epoch: from 1.
            values: the validation split's metrics, plain names, with ``loss``.
            min_delta: smallest gain that counts as improvement for early stopping.

        Raises:
            InputError: the split says nothing of the metric.
        """
        if self.metric not in values:
            raise InputError(
                f"objective.metric: {self.metric} can't be measured on the validation split, which "
                "has rows of one class only; take another metric or another split"
            )
        value, loss = values[self.metric], values["loss"]
        state = self
        if self.best_epoch == 0 or self._better(value, loss):
            state = replace(state, best_epoch=epoch, best_value=value, best_loss=loss)
        if self.reference is None or self._gain(value, self.reference) > min_delta:
            return replace(state, reference=value, waited=0)
        return replace(state, waited=self.waited + 1)

    def exhausted(self, rule: EarlyStopping | None) -> bool:
        """Whether early stopping ends the fit here."""
        return rule is not None and self.waited >= rule.patience

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "metric": self.metric,
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "best_loss": self.best_loss,
            "reference": self.reference,
            "waited": self.waited,
        }

    def _gain(self, value: float, over: float) -> float:
        return metric_named(self.metric).gain(value, over)

    def _better(self, value: float, loss: float) -> bool:
        gain = self._gain(value, self.best_value)
        return gain > 0 or (gain == 0 and loss < self.best_loss)
