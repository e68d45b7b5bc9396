"""Questions about a search space that need no sampler: what is searched, how many cells it has."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from modelyard.contract import Scalar
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter

SEARCHABLE = (
    "batch_size",
    "optimizer",
    "learning_rate",
    "momentum",
    "schedule",
    "weight_decay",
    "dropout",
    "clip_norm",
    "loss",
)
"""Keys of ``train`` that a space may name."""


def effective_space(
    experiment: Experiment, family_space: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    """What is searched: the file's space, else the family's without what the file fixes.

    A value that the user wrote under ``train`` or ``model.parameters`` stays as it was written.

    Args:
        experiment: as it was read, so that written keys can be told from defaults.
        family_space: the space of the family that it comes to.
    """
    if experiment.search.space is not None:
        return dict(experiment.search.space)
    fixed = experiment.model.parameters.keys() | experiment.train.model_fields_set
    return {name: p for name, p in family_space.items() if name not in fixed}


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
