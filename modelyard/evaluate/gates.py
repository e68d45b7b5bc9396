"""Gates: what the test split must show before a model may serve."""

from __future__ import annotations

from collections.abc import Iterable

from modelyard.api import GateView
from modelyard.errors import InputError
from modelyard.evaluate.bootstrap import Side, bound
from modelyard.evaluate.catalogue import metric_for
from modelyard.evaluate.metrics import measure
from modelyard.evaluate.plugged import Evidence, judged
from modelyard.experiment.model import Gate


def judge(gates: Iterable[Gate], evidence: Evidence, seed: int) -> tuple[GateView, ...]:
    """Hold each gate against the rows.

    With ``confidence`` the one-sided bootstrap bound on the unfavourable side must pass, else
    the value itself.

    Args:
        gates: of the experiment.
        evidence: the model on the test split.
        seed: of the bootstrap; equal seeds give equal verdicts.

    Raises:
        InputError: a metric that the task lacks, a slice, which is not supported yet, or a
            plugin that can't be used.
    """
    return tuple(
        _judge(gate, gate.metric, evidence, seed)
        if gate.metric is not None
        else _of_plugin(gate, evidence)
        for gate in gates
    )


def _of_plugin(gate: Gate, evidence: Evidence) -> GateView:
    assert gate.plugin is not None  # the model asks for a metric or a plugin
    verdict = judged(gate.plugin, gate.options, evidence)
    return GateView(
        metric=gate.plugin,
        relation=verdict.relation,
        limit=verdict.limit,
        value=verdict.value,
        advisory=gate.advisory,
        passed=verdict.passed,
    )


def _judge(gate: Gate, name: str, evidence: Evidence, seed: int) -> GateView:
    metric_for(name, evidence.card.task)
    if gate.slice is not None:
        raise InputError(f"gates: slice ({gate.slice!r}) is not supported yet; leave it out")
    metric = measure(name, evidence.truth, evidence.output)
    at_least = gate.at_least is not None
    limit = gate.at_least if gate.at_least is not None else gate.at_most
    assert limit is not None  # the model asks for exactly one of them
    held = value = metric.value
    if gate.confidence is not None:
        side: Side = "lower" if at_least else "upper"
        held = bound(metric, side=side, confidence=gate.confidence, seed=seed)
    return GateView(
        metric=name,
        relation="at_least" if at_least else "at_most",
        limit=limit,
        value=value,
        bound=held if gate.confidence is not None else None,
        confidence=gate.confidence,
        advisory=gate.advisory,
        passed=bool(held >= limit if at_least else held <= limit),
    )
