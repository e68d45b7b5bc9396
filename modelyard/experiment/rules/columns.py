"""Columns that the file names and the data must have."""

from __future__ import annotations

from modelyard.experiment.keys import Loc
from modelyard.experiment.rules.case import Case, Mistakes, listing

SHOWN = 50
"""Columns that a message lists before it only counts them."""


def check_columns(case: Case) -> Mistakes:
    """Unknown columns, a missing target, and a target that is used for something else."""
    data = case.experiment.data
    if case.catalogue.columns is None:
        return
    yield from _unknown(case)
    if data.target is None and not case.catalogue.own_target:
        columns = case.catalogue.columns
        yield case.mistake(
            ("data", "target"),
            f"a table needs data.target, the column to predict; {_known(case, columns)}",
            valid=columns,
        )
    if data.target is None:
        return
    if data.target in data.drop:
        index = data.drop.index(data.target)
        yield case.mistake(
            ("data", "drop", index), f"{data.target!r} is the target; it can't be dropped"
        )
    if data.split.by is not None and data.target == data.split.by.group:
        yield case.mistake(
            ("data", "split", "by", "group"),
            f"{data.target!r} is the target: with its values kept apart, nothing could be learnt",
        )


def _unknown(case: Case) -> Mistakes:
    columns = case.catalogue.columns or ()
    for loc, name in _named(case):
        if name not in columns:
            yield case.mistake(
                loc,
                f"there is no column {name!r} in {case.experiment.data.source}; "
                f"{_known(case, columns)}",
                valid=columns,
            )


def _known(case: Case, columns: tuple[str, ...]) -> str:
    if len(columns) == 1:
        of_lines = case.experiment.data.source.lower().endswith((".csv", ".tsv"))
        hint = ": cells are parted by commas, semicolons, tabs or |" if of_lines else ""
        return f"its only one is {columns[0]!r}{hint}"
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return f"there are {listing(columns[:SHOWN])}{more}"


def _named(case: Case) -> list[tuple[Loc, str]]:
    """Every column that the file names, with its place."""
    data = case.experiment.data
    named: list[tuple[Loc, str | None]] = [(("data", "target"), data.target)]
    named += [(("data", "drop", index), name) for index, name in enumerate(data.drop)]
    if data.split.by is not None:
        named += [
            (("data", "split", "by", "group"), data.split.by.group),
            (("data", "split", "by", "time"), data.split.by.time),
        ]
    return [(loc, name) for loc, name in named if name is not None]
