"""The search space: names, values, conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import ValidationError

from modelyard.contract import Scalar
from modelyard.experiment.catalogue import Family, FamilyParameter
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import is_own_code
from modelyard.experiment.rules.case import Case, Mistakes, listing
from modelyard.experiment.search import Parameter
from modelyard.experiment.space import SEARCHABLE, in_train, is_possible, last_step
from modelyard.experiment.training import Augment, Train
from modelyard.experiment.wording import translate

SPEC_SHARE_BYTES = 480
"""Of the 1,024 bytes of a trial's spec, what sampled parameters may take; the rest is digests
and addresses of checkpoint and snapshot."""

_FEW = 1_000
"""Whole numbers that are tried one by one where a parameter takes only some."""


def check_space(case: Case) -> Mistakes:
    """Every dimension by itself, then what they are together."""
    space = case.experiment.search.space
    for name, parameter in (space or {}).items():
        yield from _dimension(case, name, parameter)
        yield from _when(case, name, parameter)
    yield from _cycles(case)
    yield from _together(case)


def _dimension(case: Case, name: str, parameter: Parameter) -> Mistakes:
    loc: Loc = ("search", "space", name)
    unknown = list(_name(case, name))
    yield from unknown
    end = last_step(parameter)
    if end is not None:
        yield case.mistake(
            (*loc, "step"),
            f"in steps of {parameter.step:g} the upper bound is never met; end at {end:g}",
        )
    seen: list[Scalar] = []
    for index, value in enumerate(parameter.choice or ()):
        if value in seen:
            yield case.mistake((*loc, "choice", index), f"{value!r} stands there already")
        seen.append(value)
    if not unknown:
        yield from _values(case, name, parameter)


def _name(case: Case, name: str) -> Mistakes:
    family = case.catalogue.family
    if family is None and is_own_code(case.experiment.model.family):
        return  # whose names couldn't be read, which is a mistake of its own
    valid = _names(case, family)
    if name in valid:
        return
    loc = ("search", "space", name)
    owners = tuple(n for n, f in case.catalogue.families.items() if name in f.parameters)
    have = "has" if len(owners) == 1 else "have"
    hint = f" ({listing(owners)} {have} it)" if owners else ""
    if family is None:
        text = f"no family has a parameter {name!r}"
    elif name in SEARCHABLE and not family.network:
        text = f"{family.name} is fitted in one go and takes no notice of train.{name}"
    elif name in Train.model_fields and name not in family.unread:
        text = f"train.{name} can't be searched"
    else:
        text = f"{family.name} has no parameter {name!r}{hint}"
    why = f". {case.catalogue.why}" if family and case.catalogue.why else ""
    yield case.mistake(loc, f"{text}; valid are {listing(valid)}{why}", value=name, valid=valid)


def _names(case: Case, family: Family | None) -> tuple[str, ...]:
    """What a space may name."""
    if family is not None:
        of_train = SEARCHABLE if family.network else ()
        read = tuple(name for name in of_train if name not in family.unread)
        return tuple(dict.fromkeys((*family.parameters, *read)))
    every = [name for f in case.catalogue.families.values() for name in f.parameters]
    return tuple(dict.fromkeys((*every, *SEARCHABLE)))


def _values(case: Case, name: str, parameter: Parameter) -> Mistakes:
    """The choices or bounds against what the key takes."""
    family = case.catalogue.family
    known = family.parameters.get(name) if family else None
    if known is None and name not in SEARCHABLE:
        return  # which family's it is isn't known
    if parameter.float_ is not None and _takes_whole_numbers(name, known):
        yield case.mistake(
            ("search", "space", name, "float"), f"{name} is a whole number: write int instead"
        )
        return
    for loc, value in _ends(name, parameter):
        problem = known.problem(value) if known else _train_problem(name, value)
        if problem:
            valid = tuple(map(str, known.choices or ())) if known else ()
            yield case.mistake(loc, f"for {name}, {problem}", valid=valid)
    if known is not None:
        yield from _between(case, name, parameter, known)


def _ends(name: str, parameter: Parameter) -> Iterator[tuple[Loc, Scalar]]:
    kinds = {"choice": parameter.choice, "float": parameter.float_, "int": parameter.int_}
    for kind, values in kinds.items():
        for index, value in enumerate(values or ()):
            yield ("search", "space", name, kind, index), value


def _takes_whole_numbers(name: str, known: FamilyParameter | None) -> bool:
    """Whether 1.5 would be no value for it, nor 2.0."""
    fields = Train.model_fields | Augment.model_fields
    return known.type is int if known else fields[name].annotation is int


def _between(case: Case, name: str, parameter: Parameter, known: FamilyParameter) -> Mistakes:
    """Whole numbers inside bounds that are right, of a parameter that takes only some."""
    if known.choices is None or parameter.int_ is None:
        return
    low, high = parameter.int_
    inner = range(low, high + 1, int(parameter.step or 1))[1:-1]
    bad = next((v for v in inner[:_FEW] if known.problem(v)), None)
    if bad is not None:
        yield case.mistake(
            ("search", "space", name, "int"), f"for {name}, {known.problem(bad)}; use choice"
        )


def _train_problem(name: str, value: Scalar) -> str | None:
    section = in_train(name, value)
    try:
        Train.model_validate(section)
    except ValidationError as error:
        return translate(
            {"train": section},
            [
                {**detail, "loc": ("train", *detail["loc"])}
                for detail in error.errors(include_url=False)
            ],
        )[0].message
    return None


def _when(case: Case, name: str, parameter: Parameter) -> Mistakes:
    space = case.experiment.search.space or {}
    for other, value in parameter.when.items():
        loc = ("search", "space", name, "when", other)
        others = tuple(n for n in space if n != name)
        if other == name:
            yield case.mistake(loc, f"{name!r} can't be the condition of itself", value=name)
        elif other not in space:
            if not _stands_in_raw(case, other):
                yield case.mistake(
                    loc,
                    f"the condition names {other!r}, which search.space doesn't have; "
                    f"it has {listing(others) or 'nothing else'}",
                    value=other,
                    valid=others,
                )
        elif not is_possible(space[other], value):
            choices = tuple(map(str, space[other].choice or ()))
            known = f"; it takes {listing(choices)}" if choices else ""
            yield case.mistake(loc, f"{other} never is {value!r}{known}", valid=choices)


def _stands_in_raw(case: Case, name: str) -> bool:
    """Whether the file has the dimension, though with a mistake of its own."""
    search = case.raw.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    return isinstance(space, dict) and name in space


def _cycles(case: Case) -> Mistakes:
    """Conditions that wait for each other; each circle is told once, at its first name."""
    space = case.experiment.search.space or {}
    told: set[str] = set()
    for name in space:
        circle = _circle(space, name)
        if len(circle) > 1 and told.isdisjoint(circle):
            told.update(circle)
            yield case.mistake(
                ("search", "space", name, "when"),
                f"the conditions go in a circle: {' → '.join((*circle, name))}",
            )


def _circle(space: dict[str, Parameter], start: str) -> tuple[str, ...]:
    """The names on a way along conditions from ``start`` back to it; () where there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        for other in space[way[-1]].when:
            if other == start:
                return way
            if other in space and other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _together(case: Case) -> Mistakes:
    space = case.space
    if space is None:
        return
    if not space and case.experiment.budget.trials > 1:
        yield case.mistake(
            ("search", "space"),
            "there is nothing to search, so every trial would be the same; "
            "name parameters, or set budget.trials to 1",
        )
    size = sum(_sent_bytes(name, parameter) for name, parameter in space.items())
    if size > SPEC_SHARE_BYTES:
        yield case.mistake(
            ("search", "space"),
            f"names and values come to {size} bytes a trial, at most {SPEC_SHARE_BYTES} fit; "
            "search fewer parameters or shorten choices",
        )


def _sent_bytes(name: str, parameter: Parameter) -> int:
    """The most that a parameter takes of a trial's spec, as JSON."""
    if parameter.float_ is not None:
        longest = 22  # digits of a double, sign and exponent
    else:
        longest = max(len(json.dumps(v).encode()) for _, v in _ends(name, parameter))
    return len(json.dumps(name).encode()) + longest + 2
