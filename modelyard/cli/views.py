"""What commands that ask no server print with ``--json``."""

from __future__ import annotations

from typing import Any

from modelyard.contract import Wire


class CheckView(Wire):
    """An experiment without mistakes, and what a run of it would be.

    Args:
        file: the experiment file.
        experiment: the whole document, defaults and searched space filled in.
        data: the data card.
        family: that is trained.
        why: it was chosen; empty when the file names it.
        trials: that reach an end; a grid may have fewer cells than ``budget.trials``.
        notes: sentences that the user should see.
    """

    file: str
    experiment: dict[str, Any]
    data: dict[str, Any]
    family: str
    why: str = ""
    trials: int
    notes: tuple[str, ...] = ()


class NewView(Wire):
    """A new experiment file.

    Args:
        file: that was written.
        schema_file: the JSON Schema that editors complete it with.
        data: the data card.
        next: the command to type next.
    """

    file: str
    schema_file: str
    data: dict[str, Any]
    next: str
