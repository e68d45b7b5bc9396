"""What a check must know and the experiment alone can't tell: families, metrics and the data.

The callers fill it, from rooms that this one doesn't import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelyard.contract import Scalar
from modelyard.experiment.search import Parameter


class FamilyParameter(Protocol):
    """A parameter of a model family."""

    @property
    def type(self) -> type:
        """Of its values."""
        ...

    @property
    def choices(self) -> tuple[Scalar, ...] | None:
        """All values, where they are few."""
        ...

    @property
    def required(self) -> bool:
        """Whether it has no default, so that file or sampler has to give a value."""
        ...

    def problem(self, value: Scalar) -> str | None:
        """What is wrong with a value, as the end of a sentence; None when it is right."""
        ...


class Family(Protocol):
    """A model family."""

    @property
    def name(self) -> str:
        """As it stands in the file."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of data that it takes."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that it can learn."""
        ...

    @property
    def network(self) -> bool:
        """Whether keys of ``train`` count for it."""
        ...

    @property
    def absent(self) -> str | None:
        """Why it can't be used here, with the remedy; None where it can."""
        ...

    @property
    def parameters(self) -> Mapping[str, FamilyParameter]:
        """Its own parameters by name."""
        ...

    @property
    def unread(self) -> tuple[str, ...]:
        """Keys of ``train`` that it takes no notice of, though it is a network."""
        ...

    @property
    def space(self) -> Mapping[str, Parameter]:
        """What is searched when the file names no space."""
        ...


class Metric(Protocol):
    """A metric."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that it can be computed for."""
        ...

    @property
    def goal(self) -> str:
        """``maximize`` or ``minimize``."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that it can take."""
        ...


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What there is to choose from, for one experiment's data.

    Args:
        families: every family by name.
        metrics: every metric by name.
        columns: of the source; None where it has none, or couldn't be read.
        own_target: whether the source itself says what to predict.
        kind: of the data; None where it couldn't be told.
        task: ``classification`` or ``regression``; None where it couldn't be told.
        chosen: the family that the experiment comes to; None where that can't be told.
        why: the reason, when it was chosen automatically.
        plugins: names of the installed plugins by group, such as ``models``; their families and
            metrics are among the others only where the experiment names them.
    """

    families: Mapping[str, Family]
    metrics: Mapping[str, Metric]
    columns: tuple[str, ...] | None = None
    own_target: bool = False
    kind: str | None = None
    task: str | None = None
    chosen: str | None = None
    why: str = ""
    plugins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def family(self) -> Family | None:
        """The chosen family."""
        return None if self.chosen is None else self.families.get(self.chosen)

    def takes(self, family: Family) -> bool:
        """Whether a family can learn from this data, as far as it is known."""
        kind_fits = self.kind is None or self.kind in family.kinds
        return kind_fits and (self.task is None or self.task in family.tasks)

    def fitting(self) -> tuple[str, ...]:
        """Names of the families that can learn from this data here."""
        known = [n for n, f in self.families.items() if self.takes(f) and f.absent is None]
        return (*known, *(n for n in self.plugins.get("models", ()) if n not in self.families))

    def metrics_for_task(self) -> tuple[str, ...]:
        """Names of the metrics that can be computed, as far as the task is known."""
        known = [
            name
            for name, metric in self.metrics.items()
            if self.task is None or self.task in metric.tasks
        ]
        return (*known, *(n for n in self.plugins.get("metrics", ()) if n not in self.metrics))
