"""Explaining a model on the test split, within a time that the experiment gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from modelyard.data.rows import Rows
from modelyard.data.snapshot import Snapshot
from modelyard.evaluate.catalogue import metric_named
from modelyard.evaluate.deadline import Deadline
from modelyard.evaluate.examples import Chosen, explain_each, pick
from modelyard.evaluate.explanation import MOST, Example, Explanation, Importance
from modelyard.evaluate.importance import REPEATS, of_columns, of_patches, of_words
from modelyard.evaluate.inputs import PATCHES
from modelyard.evaluate.metrics import measure
from modelyard.evaluate.shapley import BACKGROUND
from modelyard.experiment.explain import Explain
from modelyard.models.estimator import Array
from modelyard.models.predictor import Predictor

LOSS = "log_loss"
"""Looked at where the metric says nothing: rows of one class have no area, but a loss."""

FEWEST = 20
"""Rows that are looked at however little time there is."""

Value = TypeVar("Value")

_Important: TypeAlias = tuple[tuple[Importance, ...], tuple[tuple[float, ...], ...] | None]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Rows with truth and output, and the metric whose loss is looked at."""

    rows: Rows
    truth: Array
    output: Array
    metric: str

    @classmethod
    def of(cls, snapshot: Snapshot, output: Array, picked: Array, metric: str) -> _Sample:
        truth, known = snapshot.target("test")[picked], output[picked]
        if math.isnan(measure(metric, truth, known).value):
            metric = LOSS
        rows = snapshot.rows("test").take(picked)
        return cls(rows=rows, truth=truth, output=known, metric=metric)

    @property
    def value(self) -> float:
        return measure(self.metric, self.truth, self.output).value

    def first(self, count: int) -> _Sample:
        truth, output, metric = self.truth[:count], self.output[:count], self.metric
        if math.isnan(measure(metric, truth, output).value):
            metric = LOSS
        rows = self.rows.take(slice(count))
        return _Sample(rows=rows, truth=truth, output=output, metric=metric)

    def drop(self, model: Predictor, changed: Rows) -> float:
        """How much worse the metric is on rows that were changed."""
        now = measure(self.metric, self.truth, model.predict(changed).output).value
        return metric_named(self.metric).gain(self.value, now)


def explain(
    model: Predictor,
    snapshot: Snapshot,
    output: Array,
    *,
    metric: str,
    wanted: Explain,
    seed: int,
    ending: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Importance over many rows, then single predictions; half of the time for each.

    Args:
        model: that was evaluated.
        snapshot: whose test split is looked at.
        output: the model's on that split.
        metric: whose loss importance is; the log loss where the rows don't tell it.
        wanted: rows, examples and time.
        seed: of samples and permutations.
        ending: whether to end before its time; what is left is left out then.

    Returns:
        The explanation. Whatever went wrong with a part of it is in its notes: it is a
        picture of the model, and must not cost the model.
    """
    deadline = Deadline(wanted.seconds, ending)
    half = deadline.half()
    order = np.random.default_rng(seed).permutation(len(output))
    sample = _Sample.of(snapshot, output, order[: wanted.rows], metric)
    sample = sample.first(_affordable(model, sample.rows, half.left))
    nothing: _Important = ((), None)
    importance, patches = _unharmed(
        lambda: _importance(model, sample, half, seed), nothing, "importance", half
    )
    nobody: list[Example] = []
    examples = _unharmed(
        lambda: _examples(model, snapshot, output, wanted.examples, deadline, seed),
        nobody,
        "the explanation of single predictions",
        deadline,
    )
    return Explanation(
        metric=sample.metric,
        value=sample.value,
        rows=len(sample.rows),
        importance=importance,
        patches=patches,
        examples=tuple(examples),
        notes=tuple(deadline.notes),
    )


def _unharmed(work: Callable[[], Value], nothing: Value, what: str, deadline: Deadline) -> Value:
    """What the work comes to, or nothing and a note: own code and libraries may raise anything."""
    try:
        return work()
    except Exception as error:
        deadline.notes.append(f"{what} failed: {type(error).__name__}: {error}")
        return nothing


def _affordable(model: Predictor, rows: Rows, seconds: float) -> int:
    """How many of the rows each part can be tried with in the time, by one prediction's."""
    begun = time.monotonic()
    model.predict(rows.take(slice(FEWEST)))
    if time.monotonic() - begun > seconds:
        return min(len(rows), FEWEST)
    model.predict(rows)
    once = time.monotonic() - begun
    parts = len(rows.columns) * REPEATS or (MOST if rows.texts else PATCHES**2)
    return min(len(rows), max(FEWEST, int(len(rows) * seconds / max(once * parts, 1e-9))))


def _importance(model: Predictor, sample: _Sample, deadline: Deadline, seed: int) -> _Important:
    """Importance of columns or words; or of patches."""

    def drop(changed: Rows) -> float:
        return sample.drop(model, changed)

    if sample.rows.images is not None:
        patches = of_patches(sample.rows, drop, deadline)
        return (), None if patches is None else tuple(map(tuple, patches.tolist()))
    if sample.rows.texts is not None:
        return tuple(of_words(sample.rows, sample.output, drop, deadline)), None
    return tuple(of_columns(sample.rows, drop, deadline, seed)), None


def _examples(
    model: Predictor, snapshot: Snapshot, output: Array, count: int, deadline: Deadline, seed: int
) -> list[Example]:
    picked = pick(snapshot.target("test"), output, count, seed)
    chosen = _chosen(snapshot, output, picked)
    return explain_each(model, chosen, snapshot.card, deadline, seed)


def _chosen(snapshot: Snapshot, output: Array, picked: Array) -> Chosen:
    training = snapshot.part("train")
    spread = np.linspace(0, len(training) - 1, min(len(training), BACKGROUND)).astype(int)
    return Chosen(
        rows=snapshot.rows("test").take(picked),
        source=snapshot.source_rows("test")[picked],
        truth=snapshot.target("test")[picked],
        output=output[picked],
        background=training.take(spread),
    )
