"""What every rule is given: an experiment, what it may choose from, and what stands in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.contract import Scalar
from modelyard.errors import Mistake
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.experiment.similar import did_you_mean, nearest
from modelyard.experiment.space import effective_space
from modelyard.experiment.written import wanted

Mistakes = Iterator[Mistake]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One check.

    Args:
        experiment: validated, or the sound part of a file.
        catalogue: families, metrics, the data.
        raw: the file's keys and values.
    """

    experiment: Experiment
    catalogue: Catalogue
    raw: Mapping[str, Any]

    @property
    def space(self) -> dict[str, Parameter] | None:
        """What will be searched; None when the family, whose space it is, isn't known."""
        family = self.catalogue.family
        if self.experiment.search.space is None and family is None:
            return None
        return effective_space(self.experiment, family)

    def mistake(
        self,
        loc: Loc,
        message: str,
        *,
        value: Scalar = None,
        valid: tuple[str, ...] = (),
    ) -> Mistake:
        """A mistake at a canonical path, with the valid value most like the bad one.

        Args:
            loc: keys of the model; they are turned into the file's own.
            message: one sentence without its end; the nearest value is added.
            value: the bad value; it is looked up where it is left out.
            valid: what would do.
        """
        found = wanted(self.raw, loc)
        bad = found.value if value is None else value
        near = nearest(bad, valid) if isinstance(bad, str) else None
        return Mistake(
            path=found.dotted,
            message=message + did_you_mean(near),
            value=bad,
            valid=valid,
            nearest=near,
        )


def listing(names: tuple[str, ...]) -> str:
    """Names as they stand in a sentence."""
    return ", ".join(names)
