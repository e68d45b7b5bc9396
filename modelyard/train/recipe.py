"""What a fit is to do: the file's ``train`` and ``model`` with the sampled values laid over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import ValidationError

from modelyard.contract import Scalar
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.training import Augment, Train
from modelyard.models.family import Family


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the numbers, besides data and seed.

    Args:
        train: of the file, sampled keys replaced.
        parameters: of the family, every one of them.
    """

    train: Train
    parameters: dict[str, Scalar]


def write_recipe(
    experiment: Experiment,
    family: Family,
    sampled: Mapping[str, Scalar],
    known: Mapping[str, Scalar] = MappingProxyType({}),
) -> Recipe:
    """Lay sampled values over the file's: a name is a parameter of the family, else a key of train.

    Args:
        experiment: the file.
        family: that is fitted.
        sampled: the trial's values.
        known: the family's parameters that weights to start from come with.

    Raises:
        InputError: a name that is neither, or a value out of bounds.
    """
    own = {name: value for name, value in sampled.items() if name in family.parameters}
    rest = {name: value for name, value in sampled.items() if name not in own}
    augment = {name: rest.pop(name) for name in list(rest) if name in Augment.model_fields}
    if strangers := [name for name in rest if name not in Train.model_fields]:
        raise InputError(
            f"{strangers[0]} is neither a parameter of {family.name} "
            f"({', '.join(family.parameters)}) nor a key of train"
        )
    try:
        file = experiment.train.model_dump()
        if augment:
            file["augment"] = {**(file["augment"] or {}), **augment}
        train = Train.model_validate({**file, **rest})
    except ValidationError as error:
        raise InputError(f"a sampled value doesn't fit train: {error}") from None
    return Recipe(
        train=train, parameters=family.complete({**known, **experiment.model.parameters, **own})
    )
