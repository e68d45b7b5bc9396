"""Metrics and gates that other distributions bring.

The entry point of ``modelyard.metrics`` is a ``Metric`` with ``function``, which takes truth and
output of n rows and gives one finite number.

The entry point of ``modelyard.gates`` is a function that takes ``evidence`` and the options of the
experiment file by name, and gives a ``Verdict``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.evaluate.catalogue import Goal, Metric, Task
from modelyard.models.estimator import Array
from modelyard.plugins.groups import Group
from modelyard.plugins.loading import PluginError, State, guarded, load

BLOCKS = 1000
"""Most calls for the values over all rows but some. The acceleration that they are for is a
skewness over the root of its count, and blocks of rows make both smaller by the same root."""

Relation = Literal["at_least", "at_most"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a gate judges by: a model on the n rows of the test split.

    Args:
        truth: (n,) class indices, or values.
        output: (n, classes) probabilities, or (n,) values in the target's own unit.
        rows: the raw rows, as the source has them.
        card: of the data: task, names of classes and columns.
        metrics: of these rows, by name.
    """

    truth: Array
    output: Array
    rows: Rows
    card: DataCard
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate came to: a number, and the limit that it was held against.

    Args:
        value: that was found.
        limit: that it had to meet.
        relation: ``at_least`` or ``at_most``.
    """

    value: float
    limit: float
    relation: Relation = "at_least"

    @property
    def passed(self) -> bool:
        """Whether the limit is met; NaN meets none."""
        if self.relation == "at_least":
            return self.value >= self.limit
        return self.value <= self.limit


class GatePlugin(Protocol):
    """The contract of ``modelyard.gates``."""

    def __call__(self, *, evidence: Evidence, **options: Scalar) -> Verdict:
        """Judge a model; options are those of the experiment file."""
        ...


class PluggedMetric:
    """A plugin's metric over given rows, see ``Measured``; each value is one call of it.

    Args:
        metric: of a plugin.
        truth: (n,) class indices or values.
        output: (n, classes) probabilities or (n,) values.
    """

    def __init__(self, metric: Metric, truth: Array, output: Array) -> None:
        self._metric = metric
        self._truth = truth
        self._output = output

    def __len__(self) -> int:
        return len(self._truth)

    @property
    def value(self) -> float:
        """The metric over all rows.

        Raises:
            PluginError: the plugin raised, or gave no finite number.
        """
        found = self._over(np.arange(len(self._truth)))
        if not math.isfinite(found):
            raise PluginError(
                f"the metric {self._metric.name} gives {found} over {len(self._truth):,} rows; "
                "it has to be a finite number",
                state=State.CONTRACT,
            )
        return found

    def over(self, weights: Array) -> Array:
        """(m,) values over rows that count as ``weights`` (m, n) say."""
        numbers = np.arange(len(self._truth))
        counts = np.asarray(weights, np.int64)
        return np.array([self._over(np.repeat(numbers, count)) for count in counts])

    def left_out(self) -> Array:
        """(m,) values over all rows but one, of many rows but every m-th."""
        numbers = np.arange(len(self._truth))
        blocks = min(len(numbers), BLOCKS)
        return np.array([self._over(numbers[numbers % blocks != left]) for left in range(blocks)])

    def _over(self, rows: Array) -> float:
        function = self._metric.function
        assert function is not None, self._metric.name
        with guarded(f"the metric {self._metric.name}", f"measure {len(rows):,} rows"):
            value = float(function(self._truth[rows], self._output[rows]))
        return value if math.isfinite(value) else math.nan  # resampled rows may say nothing


def judged(name: str, options: Mapping[str, Scalar], evidence: Evidence) -> Verdict:
    """What a plugin's gate says.

    Raises:
        PluginError: it isn't installed, or can't be used.
    """
    gate: GatePlugin = load(Group.GATES, name, check_gate)
    with guarded(f"the gate {name}", "judge"):
        verdict = gate(evidence=evidence, **options)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"it gives a {type(verdict).__name__}, not a Verdict")
    return verdict


def check_metric(name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.metrics``."""
    if not isinstance(thing, Metric):
        yield f"it has to be a modelyard.evaluate.catalogue.Metric, not {type(thing).__name__}"
        return
    if thing.name != name:
        yield f"the metric is called {thing.name!r} and its entry point {name!r}"
    if not thing.tasks or set(thing.tasks) - set(get_args(Task)):
        yield f"each task has to be one of {', '.join(get_args(Task))}, not {thing.tasks!r}"
    if thing.goal not in get_args(Goal):
        yield f"goal has to be one of {', '.join(get_args(Goal))}, not {thing.goal!r}"
    if not callable(thing.function):
        yield "function has to be what computes it from truth and output"
        return
    try:
        inspect.signature(thing.function).bind(None, None)
    except TypeError as error:
        yield f"function can't be called with truth and output: {error}"


def check_gate(_name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.gates``."""
    if not callable(thing):
        yield f"a gate is a function of evidence, not a {type(thing).__name__}"
        return
    try:
        inspect.signature(thing).bind_partial(evidence=None)
    except TypeError as error:
        yield f"it can't be called with evidence: {error}"
