"""Questions about a search space that need no sampler: what is searched, how many cells it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from math import prod
from typing import Any

from modelyard.contract import Scalar
from modelyard.experiment.catalogue import Family
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter, Search
from modelyard.experiment.training import Augment, Train

SEARCHABLE = (
    "batch_size",
    "accumulate",
    "optimizer",
    "learning_rate",
    "momentum",
    "schedule",
    "weight_decay",
    "dropout",
    "clip_norm",
    "ema",
    "loss",
    "label_smoothing",
    "class_weights",
    "flip",
    "crop",
    "cutout",
    "mixup",
)
"""Keys of ``train`` that a space may name, and of ``train.augment``."""


def in_train(name: str, value: Scalar) -> dict[str, Any]:
    """A searched key as it stands in ``train``: ``mixup`` under ``augment``, say."""
    return {"augment": {name: value}} if name in Augment.model_fields else {name: value}


def effective_space(experiment: Experiment, family: Family | None) -> dict[str, Parameter]:
    """What is searched: the file's space, else the family's without what the file fixes.

    A value that the user wrote under ``model.parameters`` stays as it was written, for a network
    one under ``train`` too; with weights to start from, so do all the family's parameters. (The
    ``learning_rate`` of boosted trees is not that of ``train``.)

    Args:
        experiment: as it was read, so that written keys can be told from defaults.
        family: that it comes to; None where it isn't known.
    """
    if experiment.search.space is not None:
        return dict(experiment.search.space)
    if family is None:
        return {}
    fixed = set(experiment.model.parameters)
    if experiment.model.weights is not None:  # which fit one shape of the model alone
        fixed |= set(family.parameters)
    if family.network:
        fixed |= written(experiment.train)
    return {name: p for name, p in family.space.items() if name not in fixed}


def written(section: Train | Search) -> set[str]:
    """Keys that the user wrote. In a whole document, as a form sends it, those that differ."""
    names = set(section.model_fields_set)
    if names < type(section).model_fields.keys():
        return names
    default = type(section)()
    return {name for name in names if getattr(section, name) != getattr(default, name)}


def as_written(experiment: Experiment, keys: Collection[str] | None) -> Experiment:
    """A whole document's experiment as it was read: written keys can be told from defaults.

    Args:
        experiment: of a whole document.
        keys: of ``train`` that the user wrote, as far as a space might name them; None where nobody
            noted them.
    """
    if keys is None:
        return experiment
    train = Train.model_construct(set(keys), **dict(experiment.train))
    return experiment.model_copy(update={"train": train})


def is_possible(parameter: Parameter, value: Scalar) -> bool:
    """Whether a parameter can take a value."""
    if parameter.choice is not None:
        return any(type(c) is type(value) and c == value for c in parameter.choice)
    bounds = parameter.float_ or parameter.int_
    if bounds is None or isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if parameter.int_ is not None and value != int(value):
        return False
    if not bounds[0] <= value <= bounds[1]:
        return False
    return parameter.step is None or _divides(parameter.step, value - bounds[0])


def is_fixed(parameter: Parameter) -> bool:
    """Whether there is only one value to take."""
    bounds = parameter.float_ or parameter.int_
    return len(parameter.choice or ()) == 1 or (bounds is not None and bounds[0] == bounds[1])


def last_step(parameter: Parameter) -> float | None:
    """Highest value on the grid of ``step`` when that isn't the upper bound; else None.

    Optuna would lower the bound with no more than a warning.
    """
    bounds = parameter.float_ or parameter.int_
    if bounds is None or parameter.step is None or _divides(parameter.step, bounds[1] - bounds[0]):
        return None
    low, high, step = (Decimal(str(x)) for x in (*bounds, parameter.step))
    return float(low + (high - low) // step * step)


def cells(parameter: Parameter, steps: int | None) -> int | None:
    """Number of values that a grid takes from a parameter.

    Args:
        parameter: one dimension.
        steps: of a continuous parameter; None when the file doesn't say.

    Returns:
        The number, or None for a continuous parameter without ``steps``.
    """
    if parameter.choice is not None:
        return len(parameter.choice)
    if parameter.int_ is not None:
        low, high = parameter.int_
        return (high - low) // int(parameter.step or 1) + 1
    if parameter.float_ is not None and parameter.step is not None:
        low_high = [Decimal(str(x)) for x in parameter.float_]
        return int((low_high[1] - low_high[0]) // Decimal(str(parameter.step))) + 1
    return 1 if is_fixed(parameter) else steps


def _divides(step: float, length: float) -> bool:
    ratio = length / step
    return abs(ratio - round(ratio)) < 1e-9 * max(1.0, abs(ratio))


def grid_cells(space: Mapping[str, Parameter], steps: int | None) -> int:
    """Number of cells of a grid, each active one counted once.

    Dimensions that no condition speaks of multiply; the others are gone through one by one.

    Args:
        space: what is searched; conditions don't go in circles.
        steps: values of a continuous parameter.
    """
    asked = {other for p in space.values() for other in p.when}
    linked = {name for name, p in space.items() if p.when or name in asked}
    free = prod(cells(p, steps) or 1 for name, p in space.items() if name not in linked)
    order = _after_conditions({name: p for name, p in space.items() if name in linked})
    return free * _active_cells(order, space, {}, steps)


def _after_conditions(space: Mapping[str, Parameter]) -> list[str]:
    """Names, each after those that its condition asks about."""
    order: list[str] = []
    while len(order) < len(space):
        order += [n for n, p in space.items() if n not in order and p.when.keys() <= set(order)]
    return order


def _active_cells(
    names: list[str], space: Mapping[str, Parameter], given: dict[str, Scalar], steps: int | None
) -> int:
    """Cells of the named dimensions that exist beside values which are given already."""
    if not names:
        return 1
    name, *rest = names
    parameter = space[name]
    active = all(given.get(other) == value for other, value in parameter.when.items())
    if not active:
        return _active_cells(rest, space, given, steps)
    asked = {p.when[name] for p in space.values() if name in p.when}
    others = (cells(parameter, steps) or 1) - len(asked)
    total = sum(_active_cells(rest, space, {**given, name: value}, steps) for value in asked)
    if others > 0:
        total += others * _active_cells(rest, space, given, steps)
    return total
