"""Sampler and pruner: their options, and what they can be used for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modelyard.contract import Scalar
from modelyard.experiment.catalogue import Metric
from modelyard.experiment.keys import Loc
from modelyard.experiment.rules.case import Case, Mistakes, listing
from modelyard.experiment.search import PRUNER_OPTIONS, SAMPLER_OPTIONS, Mode, Parameter
from modelyard.experiment.space import cells, is_fixed

SCHEDULE_OPTIONS: dict[str, dict[str, type]] = {
    "constant": {"warmup": float},
    "cosine": {"warmup": float},
    "step": {"every": int, "factor": float, "warmup": float},
    "exponential": {"factor": float, "warmup": float},
    "one-cycle": {"warmup": float},
    "plateau": {"factor": float, "patience": int, "warmup": float},
}
"""Each schedule's options; factors and the share of warm-up lie between 0 and 1."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "startup_trials": (0, math.inf),
    "candidates": (1, math.inf),
    "steps": (2, math.inf),
    "sigma": (1e-12, math.inf),
    "population": (2, math.inf),
    "crossover_probability": (0, 1),
    "percentile": (0, 100),
    "warmup_steps": (0, math.inf),
    "interval_steps": (1, math.inf),
    "min_epochs": (1, math.inf),
    "reduction_factor": (2, math.inf),
    "p_threshold": (0, 1),
    "startup_steps": (0, math.inf),
    "every": (1, math.inf),
    "patience": (0, math.inf),
    "factor": (1e-12, 1),
    "warmup": (1e-12, 1),
}
"""Lowest and highest value of options, as Optuna takes them."""

SEQUENCES = ("sobol", "halton")
"""Values of the option ``sequence``."""

CELL_LIMIT = 100_000
"""Most cells of a grid; Optuna holds them all in memory."""

_TYPES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


_FOLLOWS = {"cmaes": "number", "gp": "any", "qmc": "any"}
"""Samplers whose own method leaves parameters out, which are then drawn at random: all those
with conditions, and all but numbers for cmaes.

Source: run on Optuna 5.0 (``infer_relative_search_space`` of each sampler).
"""


def check_search(case: Case) -> Mistakes:
    """Sampler, pruner and schedule."""
    experiment = case.experiment
    sampler, pruner, schedule = (
        experiment.search.sampler,
        experiment.search.pruner,
        experiment.train.schedule,
    )
    here: Loc = ("search", "sampler", "options")
    if sampler.plugin is None:  # a plugin's options are its own signature's
        yield from _options(case, here, sampler.name, sampler.options, SAMPLER_OPTIONS)
    here = ("search", "pruner", "options")
    yield from _options(case, here, pruner.name, pruner.options, PRUNER_OPTIONS)
    here = ("train", "schedule", "options")
    yield from _options(case, here, schedule.name, schedule.options, SCHEDULE_OPTIONS)
    yield from _several_objectives(case)
    yield from _mode(case)
    yield from _pruner(case)
    if case.space:
        yield from _dimensions(case, case.space)
        yield from _grid(case, case.space)


def drawn_at_random(sampler: str, space: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Parameters that a sampler's own method leaves out and draws at random."""
    follows = _FOLLOWS.get(sampler)
    if follows is None:
        return ()
    return tuple(
        name
        for name, p in space.items()
        if not is_fixed(p) and (p.when or (follows == "number" and p.choice is not None))
    )


def _options(
    case: Case,
    loc: Loc,
    name: str,
    given: Mapping[str, Scalar],
    table: Mapping[str, Mapping[str, type]],
) -> Mistakes:
    known = table[name]
    for option, value in given.items():
        if option not in known:
            has = f"it has {listing(tuple(known))}" if known else "it has none"
            yield case.mistake(
                (*loc, option),
                f"{name} has no option {option!r}; {has}",
                value=option,
                valid=tuple(known),
            )
            continue
        problem = _option_problem(option, value, known[option])
        if problem:
            valid = SEQUENCES if option == "sequence" else ()
            yield case.mistake((*loc, option), f"{option}: {problem}", valid=valid)


def _option_problem(option: str, value: Scalar, kind: type) -> str | None:
    kinds = (int, float) if kind is float else (kind,)
    if type(value) not in kinds:
        return f"{value!r} is not {_TYPES[kind]}"
    if option == "sequence" and value not in SEQUENCES:
        return f"{value!r} is not one of {listing(SEQUENCES)}"
    low, high = BOUNDS.get(option, (-math.inf, math.inf))
    if isinstance(value, int | float) and not low <= value <= high:
        upper = f" and at most {high:g}" if high < math.inf else ""
        return f"{value} is out of range; it has to be at least {low:g}{upper}"
    return None


def _several_objectives(case: Case) -> Mistakes:
    search = case.experiment.search
    if len(case.experiment.objective) < 2:
        return
    if search.pruner.name != "none":
        yield case.mistake(
            ("search", "pruner", "name"),
            f"{search.pruner.name} can't be used with several objectives, as it wouldn't know "
            "which one lags; leave it out or write pruner: none",
            valid=("none",),
        )
    if search.sampler.name == "cmaes":
        valid = ("tpe", "random", "grid", "gp", "nsgaii", "qmc")
        yield case.mistake(
            ("search", "sampler", "name"),
            f"cmaes follows one objective; for several use one of {listing(valid)}",
            valid=valid,
        )


def _mode(case: Case) -> Mistakes:
    """Health lies in 0 … 1 and more of it is better: so must what it is weighed against."""
    objectives = case.experiment.objective
    mode = case.experiment.search.mode
    if mode.name != "health-aware":
        if mode.metric_weight != Mode().metric_weight:
            yield case.mistake(
                ("search", "mode", "metric_weight"),
                "metric_weight is for health-aware; write mode: {name: health-aware, "
                f"metric_weight: {mode.metric_weight:g}}}, or leave it out",
            )
        return
    if len(objectives) > 1:
        yield case.mistake(
            ("search", "mode", "name"),
            "health-aware weighs one metric against the model's health; for several objectives "
            "write mode: simple",
            valid=("simple",),
        )
        return
    known, name = case.catalogue.metrics, objectives[0].metric
    fitting = case.catalogue.metrics_for_task()
    if name in fitting and name in known and not _weighs(known[name]):
        valid = tuple(one for one in fitting if one in known and _weighs(known[one]))
        yield case.mistake(
            ("objective", 0, "metric"),
            f"health-aware weighs a metric against the model's health: it has to be better when "
            f"higher and to lie between 0 and 1 (r2 is clipped to that), which {name} isn't; "
            f"valid are {listing(valid)}, or write mode: simple",
            value=name,
            valid=valid,
        )


def _weighs(metric: Metric) -> bool:
    """Its lower bound may lie below 0: what is worse than nothing counts as 0."""
    return metric.goal == "maximize" and metric.bounds[1] <= 1


def _pruner(case: Case) -> Mistakes:
    pruner, data = case.experiment.search.pruner, case.experiment.data
    if pruner.name == "wilcoxon" and data.folds == 1 and data.repeats == 1:
        yield case.mistake(
            ("search", "pruner", "name"),
            "wilcoxon compares folds or repeats; data.folds and data.repeats are 1",
            valid=tuple(name for name in PRUNER_OPTIONS if name != "wilcoxon"),
        )
    shortest, steps = pruner.options.get("min_epochs"), case.experiment.trial_steps
    if isinstance(shortest, int) and shortest > steps:
        yield case.mistake(
            ("search", "pruner", "options", "min_epochs"),
            f"min_epochs is {shortest}, but a trial has only {steps}"
            + (" folds" if data.fits > 1 else ""),
        )


def _dimensions(case: Case, space: Mapping[str, Parameter]) -> Mistakes:
    """A sampler that could use nothing of the space, and would draw all of it at random."""
    name = case.experiment.search.sampler.name
    searched = {n for n, p in space.items() if not is_fixed(p)}
    if searched and searched == set(drawn_at_random(name, space)):
        kind = "a float or int parameter" if _FOLLOWS[name] == "number" else "a parameter"
        yield case.mistake(
            ("search", "space"),
            f"{name} needs {kind} without a condition; here it would draw everything at random: "
            "use tpe",
        )


def _grid(case: Case, space: Mapping[str, Parameter]) -> Mistakes:
    sampler = case.experiment.search.sampler
    if sampler.name != "grid":
        return
    steps = sampler.options.get("steps")
    total = 1
    for name, parameter in space.items():
        count = cells(parameter, steps if isinstance(steps, int) else None)
        total *= count or 1
        if count is None:
            yield case.mistake(
                ("search", "space", name),
                f"a grid needs to know how many values of {name} to try; give it a step, "
                "or write sampler: {name: grid, steps: 5}",
            )
    if total > CELL_LIMIT:
        yield case.mistake(
            ("search", "space"),
            f"the grid has {total:,} cells, at most {CELL_LIMIT:,} are held; use larger steps",
        )
