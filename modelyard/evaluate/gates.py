"""Gates: what the test split must show before a model may serve."""

from __future__ import annotations

from collections.abc import Iterable

from modelyard.api import GateView
from modelyard.data.card import DataCard
from modelyard.errors import InputError
from modelyard.evaluate.bootstrap import Side, bound
from modelyard.evaluate.catalogue import metrics_for
from modelyard.evaluate.metrics import measure
from modelyard.experiment.model import Gate
from modelyard.models.estimator import Array


def judge(
    gates: Iterable[Gate], truth: Array, output: Array, card: DataCard, seed: int
) -> tuple[GateView, ...]:
    """Hold each gate against the rows.

    With ``confidence`` the one-sided bootstrap bound on the unfavourable side must pass, else
    the value itself.

    Args:
        gates: of the experiment.
        truth: (n,) class indices or values of the test split.
        output: (n, classes) probabilities or (n,) values.
        card: of the data; its task says which metrics there are.
        seed: of the bootstrap; equal seeds give equal verdicts.

    Raises:
        InputError: a metric that the task lacks, or a slice, which is not supported yet.
    """
    return tuple(_judge(gate, truth, output, card, seed) for gate in gates)


def _judge(gate: Gate, truth: Array, output: Array, card: DataCard, seed: int) -> GateView:
    valid = metrics_for(card.task)
    if gate.metric not in valid:
        raise InputError(
            f"gates: there is no metric {gate.metric!r} for {card.task}; "
            f"valid are {', '.join(valid)}"
        )
    if gate.slice is not None:
        raise InputError(f"gates: slice ({gate.slice!r}) is not supported yet; leave it out")
    metric = measure(gate.metric, truth, output)
    at_least = gate.at_least is not None
    limit = gate.at_least if gate.at_least is not None else gate.at_most
    assert limit is not None  # the model asks for exactly one of them
    held = value = metric.value
    if gate.confidence is not None:
        side: Side = "lower" if at_least else "upper"
        held = bound(metric, side=side, confidence=gate.confidence, seed=seed)
    return GateView(
        metric=gate.metric,
        relation="at_least" if at_least else "at_most",
        limit=limit,
        value=value,
        bound=held if gate.confidence is not None else None,
        confidence=gate.confidence,
        advisory=gate.advisory,
        passed=bool(held >= limit if at_least else held <= limit),
    )
