"""Learning-rate schedules: the factor on ``train.learning_rate``, the schedule's highest rate.

All but plateau are pure functions of the step, so that a resumed fit needs no state; plateau
depends on the epochs' losses too, and keeps what it needs in ``Rates.to_json``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelyard.contract import Scalar
from modelyard.errors import InputError
from modelyard.experiment.training import Schedule


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """Length of the whole fit.

    Args:
        epochs: the spec's, also for a fit that ends early.
        steps: optimiser steps of one epoch.
    """

    epochs: int
    steps: int

    @property
    def total(self) -> int:
        """Steps of the whole fit."""
        return self.epochs * self.steps


Factor = Callable[[int, Horizon, Mapping[str, float]], float]
"""(step from 0, horizon, options) → factor."""


def _constant(_step: int, _horizon: Horizon, _options: Mapping[str, float]) -> float:
    return 1.0


def _cosine(step: int, horizon: Horizon, options: Mapping[str, float]) -> float:
    """Half a cosine from 1 to 0: Loshchilov and Hutter 2017, "SGDR", equation 5, no restarts.

    With a warm-up the cosine takes what is left of the fit.
    """
    risen = _warmup_steps(horizon, options)
    length = max(1, horizon.total - risen)
    return 0.5 * (1 + math.cos(math.pi * max(0, step - risen) / length))


def _step(step: int, horizon: Horizon, options: Mapping[str, float]) -> float:
    """Times ``factor`` every ``every`` epochs; by default 0.1 at each third of the fit."""
    every = options.get("every", max(1, math.ceil(horizon.epochs / 3)))
    return float(options.get("factor", 0.1) ** (step // horizon.steps // every))


def _exponential(step: int, horizon: Horizon, options: Mapping[str, float]) -> float:
    """Times ``factor`` every epoch; by default so that the fit would end at a hundredth."""
    factor = options.get("factor", 0.01 ** (1 / horizon.epochs))
    return float(factor ** (step // horizon.steps))


def _one_cycle(step: int, horizon: Horizon, options: Mapping[str, float]) -> float:
    """Up from 1/25 over the share ``warmup``, then down to 1/250,000, both along a cosine.

    Smith and Topin 2018, "Super-Convergence"; bounds, shape and the default warm-up of 0.3 are
    those of ``torch.optim.lr_scheduler.OneCycleLR``. Momentum stays as it is.
    """
    peak = options.get("warmup", 0.3) * horizon.total - 1
    last = horizon.total - 1
    if step <= peak:
        return _anneal(1 / 25, 1.0, step / peak if peak > 0 else 1.0)
    return _anneal(1.0, 1 / 250_000, (step - peak) / (last - peak) if last > peak else 1.0)


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _warmup_steps(horizon: Horizon, options: Mapping[str, float]) -> int:
    return round(options.get("warmup", 0.0) * horizon.total)


SCHEDULES: dict[str, tuple[Factor, tuple[str, ...]]] = {
    "constant": (_constant, ("warmup",)),
    "cosine": (_cosine, ("warmup",)),
    "step": (_step, ("every", "factor", "warmup")),
    "exponential": (_exponential, ("factor", "warmup")),
    "one-cycle": (_one_cycle, ("warmup",)),
    "plateau": (_constant, ("factor", "patience", "warmup")),
}
"""Each schedule with the names of its options."""

_WHOLE = {"every": 1, "patience": 0}
"""Options that are whole numbers of epochs, with the least of each."""


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """How often the rate was lowered, and how long nothing has been gained.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` in its mode ``min``, whose factor of 0.1 and
    relative threshold of 1e-4 are taken over; its patience of 10 epochs is too long for fits of
    20, so a tenth of the fit is the default.

    Args:
        best: lowest validation loss so far.
        waited: epochs since.
        drops: times that the rate was lowered.
    """

    best: float = math.inf
    waited: int = 0
    drops: int = 0

    def after(self, loss: float, patience: float) -> Plateau:
        """The state after an epoch with this validation loss."""
        if loss < self.best * (1 - 1e-4):
            return Plateau(best=loss, drops=self.drops)
        if self.waited >= patience:
            return Plateau(best=self.best, drops=self.drops + 1)
        return Plateau(best=self.best, waited=self.waited + 1, drops=self.drops)


class Rates:
    """The learning rate of each step.

    Args:
        schedule: of the file.
        highest: ``train.learning_rate``.
        horizon: of the fit.

    Raises:
        InputError: an option that the schedule lacks, or a value that is out of bounds.
    """

    def __init__(self, schedule: Schedule, highest: float, horizon: Horizon) -> None:
        self._factor, names = SCHEDULES[schedule.name]
        self._options = {
            name: _checked(schedule.name, name, value, names)
            for name, value in schedule.options.items()
        }
        self._highest = highest
        self._horizon = horizon
        # One-cycle has a warm-up of its own shape.
        own = schedule.name == "one-cycle"
        self._warmup = 0 if own else _warmup_steps(horizon, self._options)
        self._plateau = Plateau() if schedule.name == "plateau" else None

    def __call__(self, step: int) -> float:
        """The rate of a step, counted from 0.

        Of plateau, as far as the losses are known: a later epoch's may still change. A warm-up
        rises linearly, and has reached the highest rate with its last step.
        """
        rate = self._highest * self._factor(step, self._horizon, self._options)
        if step < self._warmup:
            rate *= (step + 1) / self._warmup
        if self._plateau is not None:
            rate *= self._options.get("factor", 0.1) ** self._plateau.drops
        return rate

    def after(self, loss: float) -> None:
        """An epoch ended with this validation loss."""
        if self._plateau is not None:
            patience = self._options.get("patience", max(1, self._horizon.epochs // 10))
            self._plateau = self._plateau.after(loss, patience)

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint; {} where there is nothing to keep."""
        return {} if self._plateau is None else asdict(self._plateau)

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``to_json``."""
        if self._plateau is not None:
            self._plateau = Plateau(**state)


def _checked(schedule: str, name: str, value: Scalar, names: tuple[str, ...]) -> float:
    if name not in names:
        raise InputError(
            f"train.schedule: {schedule} has no option {name}; "
            + (f"it has {', '.join(names)}" if names else "it has none")
        )
    least = _WHOLE.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        fits = 0 < value <= 1 if least is None else value >= least and value == int(value)
        if fits:
            return float(value)
    bounds = "a number above 0 and at most 1" if least is None else "a whole number of epochs"
    raise InputError(f"train.schedule.{name}: {value!r} is not {bounds}")
