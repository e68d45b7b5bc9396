"""Metrics of objectives and gates: known, computable for the task, in their good direction."""

from __future__ import annotations

from modelyard.experiment.keys import Loc
from modelyard.experiment.rules.case import Case, Mistakes, listing

LOSS = "loss"
"""The metric that is the training's own, and the key of ``train`` that says which it is."""

_BETTER = {"maximize": "higher", "minimize": "lower"}
_WHAT = {"classification": "has classes", "regression": "is a number"}


def check_metrics(case: Case) -> Mistakes:
    """Objectives and gates against the catalogue's metrics."""
    yield from _objectives(case)
    yield from _gates(case)


def _objectives(case: Case) -> Mistakes:
    seen: set[str] = set()
    for index, objective in enumerate(case.experiment.objective):
        loc: Loc = ("objective", index, "metric")
        unfit = list(_fits(case, loc, objective.metric)) or list(
            _compares(case, loc, objective.metric)
        )
        yield from unfit
        metric = case.catalogue.metrics.get(objective.metric)
        if metric is not None and not unfit and objective.goal != metric.goal:
            yield case.mistake(
                ("objective", index, "goal"),
                f"{objective.metric} is better when {_BETTER[metric.goal]}: "
                f"write goal: {metric.goal}",
                value=objective.goal,
                valid=(metric.goal,),
            )
        if objective.metric in seen:
            yield case.mistake(loc, f"{objective.metric!r} is an objective already")
        seen.add(objective.metric)


def _gates(case: Case) -> Mistakes:
    for index, gate in enumerate(case.experiment.gates):
        if gate.metric is None:
            continue
        loc: Loc = ("gates", index, "metric")
        unfit = list(_fits(case, loc, gate.metric)) or list(_absolute(case, loc, gate.metric))
        yield from unfit
        metric = case.catalogue.metrics.get(gate.metric)
        if metric is None or unfit:
            continue
        right = "at_least" if metric.goal == "maximize" else "at_most"
        given = "at_most" if gate.at_least is None else "at_least"
        limit = gate.at_most if gate.at_least is None else gate.at_least
        if given != right:
            yield case.mistake(
                ("gates", index, given),
                f"{gate.metric} is better when {_BETTER[metric.goal]}: "
                f"write {right} instead of {given}",
                valid=(right,),
            )
        elif limit is not None and not metric.bounds[0] <= limit <= metric.bounds[1]:
            low, high = metric.bounds
            yield case.mistake(
                ("gates", index, given),
                f"{gate.metric} lies between {low:g} and {high:g}; {limit:g} tells nothing",
            )


def _fits(case: Case, loc: Loc, name: str) -> Mistakes:
    """Whether the metric exists and can be computed for the data's task."""
    valid = case.catalogue.metrics_for_task()
    task = case.catalogue.task
    metric = case.catalogue.metrics.get(name)
    if metric is None:
        yield case.mistake(
            loc, f"there is no metric {name!r}; there are {listing(valid)}", value=name, valid=valid
        )
    elif task is not None and task not in metric.tasks:
        yield case.mistake(
            loc,
            f"{name} can't be computed: the target {_WHAT[task]}, this is {task}; "
            f"valid are {listing(valid)}",
            value=name,
            valid=valid,
        )


def _compares(case: Case, loc: Loc, name: str) -> Mistakes:
    """The loss says which trial is better only while all of them train with the same one."""
    if name == LOSS and LOSS in (case.space or {}):
        valid = _others(case)
        yield case.mistake(
            loc,
            "trials whose train.loss differs can't be compared by their loss, as each is in its "
            f"own unit; valid are {listing(valid)}",
            value=name,
            valid=valid,
        )


def _absolute(case: Case, loc: Loc, name: str) -> Mistakes:
    """The loss has no unit that a bound could be given in."""
    if name == LOSS:
        valid = _others(case)
        yield case.mistake(
            loc,
            "loss is what training minimises, in its own unit, and is no measure for a gate; "
            f"valid are {listing(valid)}",
            value=name,
            valid=valid,
        )


def _others(case: Case) -> tuple[str, ...]:
    return tuple(name for name in case.catalogue.metrics_for_task() if name != LOSS)
