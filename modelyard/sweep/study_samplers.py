"""Optuna's samplers and pruners by the experiment file's names and options."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from blake3 import blake3
from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning

from modelyard.contract import Scalar
from modelyard.experiment.search import Pruner, Sampler
from modelyard.plugins.groups import Group
from modelyard.plugins.loading import guarded, load
from modelyard.sweep.plugged_sampler import check_sampler

# The options' words are ours (experiment/search.py), the arguments' Optuna's.
_SAMPLER_ARGUMENTS = {
    "startup_trials": "n_startup_trials",
    "candidates": "n_ei_candidates",
    "multivariate": "multivariate",
    "sigma": "sigma0",
    "population": "population_size",
    "crossover_probability": "crossover_prob",
    "sequence": "qmc_type",
    "scramble": "scramble",
}

_PRUNER_ARGUMENTS = {
    "percentile": "percentile",
    "startup_trials": "n_startup_trials",
    "warmup_steps": "n_warmup_steps",
    "interval_steps": "interval_steps",
    "min_epochs": "min_resource",
    "reduction_factor": "reduction_factor",
    "p_threshold": "p_threshold",
    "startup_steps": "n_startup_steps",
}

# Parameters outside a sampler's relative space (categories for CMA-ES, conditions) are sampled
# one by one; that is what the file asks for, so no warning is due.
_QUIET = {"warn_independent_sampling": False}

_SAMPLERS: dict[str, tuple[Callable[..., samplers.BaseSampler], dict[str, Any]]] = {
    "tpe": (samplers.TPESampler, {}),
    "random": (samplers.RandomSampler, {}),
    # Grid cells are listed by study_space.cells; this one is never asked.
    "grid": (samplers.RandomSampler, {}),
    "cmaes": (samplers.CmaEsSampler, _QUIET),
    "gp": (samplers.GPSampler, _QUIET),
    "nsgaii": (samplers.NSGAIISampler, {}),
    "qmc": (samplers.QMCSampler, {"scramble": True, **_QUIET}),
}

_PRUNERS: dict[str, tuple[Callable[..., pruners.BasePruner], dict[str, Any]]] = {
    "median": (pruners.MedianPruner, {}),
    "percentile": (pruners.PercentilePruner, {"percentile": 25.0}),
    "hyperband": (pruners.HyperbandPruner, {}),
    "successive-halving": (pruners.SuccessiveHalvingPruner, {"min_resource": 1}),
    "wilcoxon": (pruners.WilcoxonPruner, {}),
    "none": (pruners.NopPruner, {}),
}


def make_sampler(sampler: Sampler, *, seed: int, asked: int) -> samplers.BaseSampler:
    """The sampler for a study that holds ``asked`` trials.

    A sampler that starts twice with one seed repeats its suggestions, so the seed depends on
    how many there were. A QMC sequence keeps its seed, or it would be another sequence.
    """
    if sampler.plugin is not None:
        return _plugged(sampler.plugin, sampler.options, _mixed(seed, asked))
    make, defaults = _SAMPLERS[sampler.name]
    kept = seed if sampler.name == "qmc" else _mixed(seed, asked)
    options = {} if sampler.name == "grid" else _named(sampler.options, _SAMPLER_ARGUMENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(seed=kept, **{**defaults, **options})


def make_pruner(pruner: Pruner, *, steps: int) -> pruners.BasePruner:
    """The pruner for trials of at most ``steps`` steps."""
    make, defaults = _PRUNERS[pruner.name]
    options = {**defaults, **_named(pruner.options, _PRUNER_ARGUMENTS)}
    if pruner.name == "hyperband":
        # "auto" would wait for the first complete trial before it prunes any.
        options["max_resource"] = max(steps, options.get("min_resource", 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make(**options)


def _plugged(name: str, options: Mapping[str, Scalar], seed: int) -> samplers.BaseSampler:
    make = load(Group.SAMPLERS, name, check_sampler)
    with guarded(f"the sampler {name}", "be made"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = make(seed=seed, **options)
        if not isinstance(sampler, samplers.BaseSampler):
            raise TypeError(f"it gives a {type(sampler).__name__}, not an Optuna sampler")
    return sampler


def _named(options: Mapping[str, Scalar], arguments: Mapping[str, str]) -> dict[str, Any]:
    return {arguments[name]: value for name, value in options.items()}


def _mixed(seed: int, asked: int) -> int:
    return int.from_bytes(blake3(f"{seed}:{asked}".encode()).digest(length=4), "little")
