"""The model's family, its fixed parameters, and the loss it is fitted with."""

from __future__ import annotations

from modelyard.contract import Scalar
from modelyard.experiment.catalogue import Family
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import is_own_code
from modelyard.experiment.rules.case import Case, Mistakes, listing

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
    if name == "auto" or (is_own_code(name) and name not in catalogue.families):
        return  # what is wrong with own code is found by who reads it
    valid = ("auto", *catalogue.fitting())
    if name not in catalogue.families:
        yield case.mistake(
            ("model", "family"),
            f"there is no family {name!r}; there are {listing(valid)}{_own_form(name)}",
            valid=valid,
        )
    elif not catalogue.takes(catalogue.families[name]):
        yield case.mistake(
            ("model", "family"),
            f"{name} can't learn {catalogue.task} from {catalogue.kind} data; "
            f"valid are {listing(valid)}",
            valid=valid,
        )
    elif absent := catalogue.families[name].absent:
        yield case.mistake(("model", "family"), f"{name} can't be used: {absent}")


def _own_form(name: str) -> str:
    """How own code is named, to somebody who tried to."""
    return "; your own code is written file.py:Class" if {":", "."} & set(name) else ""


def _parameters(case: Case) -> Mistakes:
    family = case.catalogue.family
    if family is None:
        return
    valid = tuple(family.parameters)
    yield from _without_value(case, family)
    for name, value in case.experiment.model.parameters.items():
        loc = ("model", "parameters", name)
        parameter = family.parameters.get(name)
        if parameter is None:
            yield case.mistake(
                loc,
                f"{family.name} has no parameter {name!r}; it has {listing(valid) or 'none'}",
                value=name,
                valid=valid,
            )
        elif problem := parameter.problem(value):
            yield case.mistake(loc, problem, valid=tuple(map(str, parameter.choices or ())))
        elif name in (case.experiment.search.space or {}):
            yield case.mistake(
                loc, f"{name!r} is searched by search.space as well; keep one of the two"
            )


def _without_value(case: Case, family: Family) -> Mistakes:
    """Parameters without a default that not every trial would be given."""
    space = case.experiment.search.space or {}
    given = {*case.experiment.model.parameters, *(n for n, p in space.items() if not p.when)}
    for name, parameter in family.parameters.items():
        if parameter.required and name not in given:
            yield case.mistake(
                ("model", "parameters"),
                f"{family.name} has no default for {name}, so each trial needs a value: write it "
                "here, or search it",
                value=name,
            )


def _loss(case: Case) -> Mistakes:
    fitting = LOSSES.get(case.catalogue.task or "")
    if fitting is None:
        return
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
                f"{loss} is no loss for {case.catalogue.task}; valid are {listing(fitting)}",
                valid=fitting,
            )
