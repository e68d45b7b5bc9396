"""The search space in Optuna's terms: distributions, conditions, and the cells of a grid."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np
from optuna import Study, Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from modelyard.contract import Scalar
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter

Space = Mapping[str, Parameter]

_KEPT = "modelyard:space"
"""Study attribute that holds what is searched."""

GRID_STEPS = 5
"""Cells of a continuous parameter when ``grid.steps`` isn't given."""

_LISTED_CELLS = 100_000
"""Grids up to this size are listed whole; of larger ones cells are drawn."""


def kept_space(study: Study, space: Space) -> Space:
    """The space that a study began with; the given one where it begins now.

    A default space follows data and version: computed anew by a newer server it may be another, in
    whose grid the trials that were asked for had other places.
    """
    if (found := study.user_attrs.get(_KEPT)) is not None:
        return {name: Parameter.model_validate(one) for name, one in found.items()}
    documents = {name: p.model_dump(mode="json", by_alias=True) for name, p in space.items()}
    study.set_user_attr(_KEPT, documents)
    return space


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of one parameter; an upper bound off the steps is lowered to one."""
    if parameter.choice is not None:
        return CategoricalDistribution(parameter.choice)
    if parameter.int_ is not None:
        low, high = parameter.int_
        step = int(parameter.step or 1)
        return IntDistribution(low, low + (high - low) // step * step, parameter.log, step)
    low_value, high_value = parameter.float_ or (0.0, 0.0)
    if parameter.step is not None:
        # In decimals, as the file has them: 0.3 / 0.1 is 2.9999999999999996 in binary.
        low_text, high_text, step_text = map(str, (low_value, high_value, parameter.step))
        bottom, step_size = Decimal(low_text), Decimal(step_text)
        high_value = float(bottom + (Decimal(high_text) - bottom) // step_size * step_size)
    return FloatDistribution(low_value, high_value, parameter.log, parameter.step)


def ordered(space: Space) -> list[str]:
    """Names such that each comes after those that its condition looks at.

    Raises:
        InputError: conditions go in a circle, or look at what isn't in the space.
    """
    names: list[str] = []
    left = list(space)
    while left:
        ready = [name for name in left if all(other in names for other in space[name].when)]
        if not ready:
            raise InputError(
                f"search.space: the conditions (when) of {', '.join(left)} look at each other "
                f"or at parameters that aren't in the space"
            )
        names += ready
        left = [name for name in left if name not in ready]
    return names


def active(parameter: Parameter, chosen: Mapping[str, Scalar]) -> bool:
    """Whether a parameter exists beside what has been chosen so far."""
    return all(name in chosen and chosen[name] == value for name, value in parameter.when.items())


def suggest(trial: Trial, space: Space) -> dict[str, Scalar]:
    """Sample the active parameters, define-by-run."""
    chosen: dict[str, Scalar] = {}
    for name in ordered(space):
        if not active(space[name], chosen):
            continue
        match distribution(space[name]):
            case CategoricalDistribution() as found:
                chosen[name] = trial.suggest_categorical(name, found.choices)
            case IntDistribution() as found:
                chosen[name] = trial.suggest_int(
                    name, found.low, found.high, step=found.step, log=found.log
                )
            case FloatDistribution() as found:
                chosen[name] = trial.suggest_float(
                    name, found.low, found.high, step=found.step, log=found.log
                )
    return chosen


def grid_of(experiment: Experiment, space: Space) -> list[dict[str, Scalar]] | None:
    """The cells that an experiment's trials are, in their order; None with another sampler."""
    sampler = experiment.search.sampler
    if sampler.name != "grid":
        return None
    steps = sampler.options.get("steps", GRID_STEPS)
    return cells(
        space,
        steps=steps if isinstance(steps, int) else GRID_STEPS,
        seed=experiment.seed,
        limit=experiment.budget.trials,
    )


def cells(space: Space, *, steps: int, seed: int, limit: int) -> list[dict[str, Scalar]]:
    """The grid's first cells in a shuffled order that only the seed decides.

    Cells that differ only in parameters which don't exist there are one cell.

    Args:
        steps: values of a continuous parameter.
        limit: as many as are wanted; fewer come back when the grid has fewer.
    """
    names = ordered(space)
    values = {name: grid_values(space[name], steps) for name in names}
    found: dict[tuple[tuple[str, Scalar], ...], dict[str, Scalar]] = {}
    for index in _indices(math.prod(len(values[name]) for name in names), seed, limit):
        cell: dict[str, Scalar] = {}
        left = index
        for name in names:
            left, digit = divmod(left, len(values[name]))
            if active(space[name], cell):
                cell[name] = values[name][digit]
        found.setdefault(tuple(cell.items()), cell)
        if len(found) == limit:
            break
    return list(found.values())


def grid_values(parameter: Parameter, steps: int) -> list[Scalar]:
    """The values of one parameter on the grid, bounds included."""
    if parameter.choice is not None:
        return list(dict.fromkeys(parameter.choice))
    found = distribution(parameter)
    if isinstance(found, IntDistribution):
        if parameter.step is not None or found.high - found.low < steps:
            return list(range(found.low, found.high + 1, found.step))
        spread = _spread(found.low, found.high, found.log, steps)
        return list(dict.fromkeys(round(value) for value in spread))
    if not isinstance(found, FloatDistribution):
        raise TypeError(f"no grid over {found}")
    if found.step is not None:
        count = round((found.high - found.low) / found.step) + 1
        return [min(found.high, found.low + n * found.step) for n in range(count)]
    return list(dict.fromkeys(_spread(found.low, found.high, found.log, steps)))


def _spread(low: float, high: float, log: bool, steps: int) -> list[float]:
    between = np.geomspace(low, high, steps) if log else np.linspace(low, high, steps)
    return [min(high, max(low, float(value))) for value in between]


def _indices(count: int, seed: int, limit: int) -> Iterator[int]:
    chance = random.Random(seed)
    if count <= _LISTED_CELLS:
        yield from chance.sample(range(count), count)
        return
    # So large a grid has far more cells than trials: draws meet a new one almost every time.
    for _ in range(100 * limit):
        yield chance.randrange(count)
