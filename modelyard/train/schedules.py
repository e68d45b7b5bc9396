"""Learning-rate schedules as pure functions of the step, so that a resumed fit needs no state.

Each gives the factor on ``train.learning_rate``, which is the schedule's highest rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelyard.contract import Scalar
from modelyard.errors import InputError
from modelyard.experiment.model import Schedule


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


def _cosine(step: int, horizon: Horizon, _options: Mapping[str, float]) -> float:
    """Half a cosine from 1 to 0: Loshchilov and Hutter 2017, "SGDR", equation 5, no restarts."""
    return 0.5 * (1 + math.cos(math.pi * step / horizon.total))


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


SCHEDULES: dict[str, tuple[Factor, tuple[str, ...]]] = {
    "constant": (_constant, ()),
    "cosine": (_cosine, ()),
    "step": (_step, ("every", "factor")),
    "exponential": (_exponential, ("factor",)),
    "one-cycle": (_one_cycle, ("warmup",)),
}
"""Each schedule with the names of its options."""


def rates(schedule: Schedule, highest: float, horizon: Horizon) -> Callable[[int], float]:
    """The learning rate by step, counted from 0.

    Args:
        schedule: of the file.
        highest: ``train.learning_rate``.
        horizon: of the fit.

    Raises:
        InputError: an option that the schedule lacks, or a value that is out of bounds.
    """
    factor, names = SCHEDULES[schedule.name]
    options: dict[str, float] = {}
    for name, value in schedule.options.items():
        options[name] = _checked(schedule.name, name, value, names)
    return lambda step: highest * factor(step, horizon, options)


def _checked(schedule: str, name: str, value: Scalar, names: tuple[str, ...]) -> float:
    if name not in names:
        raise InputError(
            f"train.schedule: {schedule} has no option {name}; "
            + (f"it has {', '.join(names)}" if names else "it has none")
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        fits = value >= 1 and value == int(value) if name == "every" else 0 < value <= 1
        if fits:
            return float(value)
    bounds = "a whole number of epochs" if name == "every" else "a number above 0 and at most 1"
    raise InputError(f"train.schedule.{name}: {value!r} is not {bounds}")
