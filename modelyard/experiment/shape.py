"""Whether a file has the shape of an experiment; and if not, which part of it has.

Rules across fields need an experiment to look at. So that they are told together with mistakes
of shape, the unsound keys are taken out until what is left validates.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from modelyard.errors import Mistake
from modelyard.experiment.keys import Loc, dotted
from modelyard.experiment.model import Experiment
from modelyard.experiment.wording import translate
from modelyard.experiment.written import place

PLACEHOLDERS: Mapping[Loc, Any] = {
    ("name",): "unnamed",
    ("data",): {"source": "unknown"},
    ("data", "source"): "unknown",
}
"""What stands in for required keys that are missing, while the rest is looked at."""


@dataclass(frozen=True, kw_only=True)
class Shaped:
    """A file's values as an experiment.

    Args:
        experiment: the sound part; None when nothing of it could be used.
        unsound: dotted paths of what was taken out or stood in for.
        mistakes: why.
    """

    experiment: Experiment | None
    unsound: frozenset[str] = frozenset()
    mistakes: tuple[Mistake, ...] = ()

    def is_unsound(self, path: str) -> bool:
        """Whether something at, above or below a path was taken out."""
        return any(
            f"{path}.".startswith(f"{gone}.") or f"{gone}.".startswith(f"{path}.")
            for gone in self.unsound
        )


def shape(values: Mapping[str, Any]) -> Shaped:
    """Validates an experiment file's values, and finds the part that is sound.

    Args:
        values: keys and values as they are written.
    """
    try:
        return Shaped(experiment=_validated(values))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        mistakes = translate(values, errors)
    kept = copy.deepcopy(dict(values))
    unsound: set[str] = set()
    while True:
        gone = _take_out(kept, errors)
        if not gone:
            return Shaped(experiment=None, unsound=frozenset(unsound), mistakes=mistakes)
        unsound |= gone
        try:
            experiment = _validated(kept)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        else:
            return Shaped(experiment=experiment, unsound=frozenset(unsound), mistakes=mistakes)


def _validated(values: Mapping[str, Any]) -> Experiment:
    """By the file's own keys alone: ``register``, never ``register_``."""
    return Experiment.model_validate(values, by_alias=True, by_name=False)


def _take_out(kept: dict[str, Any], errors: list[ErrorDetails]) -> set[str]:
    """Removes what errors are about, in place; the dotted paths of what is gone.

    Only the deepest of nested places: what holds them may be sound without.
    """
    missing = {error["loc"] for error in errors if error["type"] == "missing"}
    paths = {_removable(kept, error) for error in errors if error["loc"] not in PLACEHOLDERS}
    paths |= {_removable(kept, e) for e in errors if e["loc"] in PLACEHOLDERS.keys() - missing}
    gone = set()
    for loc in missing & PLACEHOLDERS.keys():
        *sections, key = loc
        place(kept, tuple(sections)).value[key] = copy.deepcopy(PLACEHOLDERS[loc])
        gone.add(dotted(loc))
    for path in paths - {()}:
        if not any(len(other) > len(path) and other[: len(path)] == path for other in paths):
            place(kept, path[:-1]).value.pop(path[-1])
            gone.add(dotted(path))
    return gone


def _removable(kept: Mapping[str, Any], error: ErrorDetails) -> Loc:
    """The key to take out. Never a list's item: those after it would change their number."""
    loc = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
    path = place(kept, loc).path
    indices = [i for i, part in enumerate(path) if isinstance(part, int)]
    return path[: indices[0]] if indices else path
