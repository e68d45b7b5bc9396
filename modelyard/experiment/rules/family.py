"""The model's family, its fixed parameters, and the loss it is fitted with."""

from __future__ import annotations

from modelyard.contract import Scalar
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import is_own_code
from modelyard.experiment.rules.case import Case, Mistakes, listing
from modelyard.experiment.support import is_later

LOSSES = {
    "classification": ("auto", "cross_entropy", "bce"),
    "regression": ("auto", "mse", "mae", "huber"),
}
"""Losses by task."""


def check_family(case: Case) -> Mistakes:
    """Family, its parameters, the loss."""
    yield from _family(case)
    yield from _parameters(case)
    yield from _loss(case)


def _family(case: Case) -> Mistakes:
    name, catalogue = case.experiment.model.family, case.catalogue
    if name == "auto" or is_own_code(name):
        return
    valid = ("auto", *catalogue.fitting())
    if name not in catalogue.families:
        yield case.mistake(
            ("model", "family"),
            f"there is no family {name!r}; there are {listing(valid)}",
            valid=valid,
        )
    elif name not in valid:
        yield case.mistake(
            ("model", "family"),
            f"{name} can't learn {catalogue.task} from {catalogue.kind} data; "
            f"valid are {listing(valid)}",
            valid=valid,
        )


def _parameters(case: Case) -> Mistakes:
    family = case.catalogue.family
    if family is None:
        return
    valid = tuple(family.parameters)
    for name, value in case.experiment.model.parameters.items():
        loc = ("model", "parameters", name)
        parameter = family.parameters.get(name)
        if parameter is None:
            yield case.mistake(
                loc,
                f"{family.name} has no parameter {name!r}; it has {listing(valid)}",
                value=name,
                valid=valid,
            )
        elif problem := parameter.problem(value):
            yield case.mistake(loc, problem, valid=tuple(map(str, parameter.choices or ())))
        elif name in (case.experiment.search.space or {}):
            yield case.mistake(
                loc, f"{name!r} is searched by search.space as well; keep one of the two"
            )


def _loss(case: Case) -> Mistakes:
    fitting = LOSSES.get(case.catalogue.task or "")
    if fitting is None:
        return
    valid = tuple(loss for loss in fitting if not is_later("train.loss", loss))
    parameter = (case.experiment.search.space or {}).get("loss")
    losses: list[tuple[Loc, Scalar]] = [(("train", "loss"), case.experiment.train.loss)]
    losses += [
        (("search", "space", "loss", "choice", index), value)
        for index, value in enumerate((parameter and parameter.choice) or ())
    ]
    for loc, loss in losses:
        if loss not in fitting and isinstance(loss, str):
            yield case.mistake(
                loc,
                f"{loss} is no loss for {case.catalogue.task}; valid are {listing(valid)}",
                valid=valid,
            )
