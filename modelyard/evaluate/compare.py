"""Candidate against champion, on the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.rows import Rows
from modelyard.errors import ModelyardError
from modelyard.evaluate.catalogue import metric_named
from modelyard.evaluate.metrics import compute
from modelyard.models.estimator import Array
from modelyard.models.packed import PackedModelError
from modelyard.models.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the champion is worth on the candidate's test rows.

    Args:
        metrics: the champion's.
        metric: the one that decides.
        gap: candidate minus champion in the metric's good direction: above 0, the candidate
            is the better.
    """

    metrics: dict[str, float]
    metric: str
    gap: float


class NotComparable(ModelyardError):
    """The champion can't predict these rows, or predicts something else. Says why."""


def compare(
    candidate: dict[str, float],
    champion: Predictor,
    *,
    rows: Rows,
    truth: Array,
    card: DataCard,
    metric: str,
) -> Comparison:
    """Point estimates of the champion on the rows that the candidate was measured on.

    Args:
        candidate: its metrics on these rows.
        champion: the model that serves now.
        rows, truth, card: of the candidate's test split.
        metric: the objective's first.

    Raises:
        NotComparable: it learnt another task or other classes, or needs other columns; or
            the metric says nothing of these rows.
    """
    output = _aligned(champion, rows, card)
    metrics = compute(card.task, truth, output, also=(metric,))
    if metric not in candidate or metric not in metrics:
        raise NotComparable(f"the champion can't be compared: these rows have no {metric}")
    gap = metric_named(metric).gain(candidate[metric], metrics[metric])
    return Comparison(metrics=metrics, metric=metric, gap=gap)


def _aligned(champion: Predictor, rows: Rows, card: DataCard) -> Array:
    """The champion's output, its classes in the order of this card."""
    for reason in _obstacles(champion.card, card):
        raise NotComparable(f"the champion can't be compared on these rows: {reason}")
    try:
        output = champion.predict(rows).output
    except PackedModelError as error:
        raise NotComparable(f"the champion can't be compared on these rows: {error}") from error
    if card.task == "regression":
        return output
    # Classes that came up since then get probability 0: the champion can't know them.
    aligned = np.zeros((len(output), len(card.classes)))
    aligned[:, [card.classes.index(name) for name in champion.card.classes]] = output
    return aligned


def _obstacles(known: DataCard, card: DataCard) -> Iterator[str]:
    """What stands between a model that knows one kind of data and rows of another."""
    if (known.task, known.kind) != (card.task, card.kind):
        yield f"it learnt {known.task} from {known.kind} data, not {card.task} from {card.kind}"
    if known.target != card.target:
        yield f"it predicts {known.target}, this model {card.target}"
    if known.shape != card.shape:
        yield f"its images have shape {known.shape}, these {card.shape}"
    if gone := sorted(set(known.classes) - set(card.classes)):
        yield f"it knows classes that this data lacks: {', '.join(gone)}"
    here = {column.name: _kind(column) for column in card.columns}
    for column in known.columns:
        found = here.get(column.name, "missing")
        if found != _kind(column):
            yield f"its column {column.name} is a {_kind(column)}, here it is {found}"


def _kind(column: ColumnCard) -> str:
    return "date" if column.date else column.type
