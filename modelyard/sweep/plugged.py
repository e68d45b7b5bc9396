"""The plugins that an experiment names: loaded, held against their contracts and their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from modelyard.errors import Mistake
from modelyard.evaluate.catalogue import METRICS, Metric
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import SETS
from modelyard.experiment.plugins import Use, uses
from modelyard.experiment.search import SAMPLER_OPTIONS
from modelyard.experiment.written import wanted
from modelyard.models.families import FAMILIES, family_named
from modelyard.models.family import Family
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import names
from modelyard.plugins.loading import Check, PluginError, load

BUILT_IN: Mapping[Group, tuple[str, ...]] = {
    Group.MODELS: ("auto", *FAMILIES),
    Group.DATASETS: SETS,
    Group.METRICS: tuple(METRICS),
    Group.GATES: (),
    Group.SAMPLERS: tuple(SAMPLER_OPTIONS),
    Group.DISTANCES: (),
    Group.HOOKS: (),
}
"""Names that no plugin can have."""

_CHECKS: Mapping[Group, str] = {
    Group.MODELS: "models.plugged:check_family",
    Group.DATASETS: "data.plugged:check_dataset",
    Group.METRICS: "evaluate.plugged:check_metric",
    Group.GATES: "evaluate.plugged:check_gate",
    Group.SAMPLERS: "sweep.plugged_sampler:check_sampler",
    Group.DISTANCES: "plugins.distances:check_distance",
    Group.HOOKS: "train.plugged:check_hook",
}
"""Module and function of each contract; imported when asked for, as hooks bring torch."""

_GIVEN: Mapping[Group, tuple[str, ...]] = {
    Group.GATES: ("evidence",),
    Group.SAMPLERS: ("seed",),
    Group.HOOKS: (),
}
"""What Modelyard gives a plugin beside the options of the file."""


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """What an experiment may choose from, with the plugins that it names.

    Args:
        families: by name.
        metrics: by name.
        names: of all installed plugins, by group.
        mistakes: plugins that can't be used, and options that they don't take.
    """

    families: Mapping[str, Family]
    metrics: Mapping[str, Metric]
    names: Mapping[str, tuple[str, ...]]
    mistakes: tuple[Mistake, ...]


def plugged(experiment: Experiment, raw: Mapping[str, Any] | None = None) -> Plugged:
    """Load the plugins of an experiment, and none but those.

    A name that nobody has is left to the rules, which know all that are valid.

    Args:
        experiment: validated, or the sound part of a file.
        raw: the file's keys and values, so that paths are the user's; the experiment's document
            when it came from elsewhere.
    """
    values = experiment.to_document() if raw is None else raw
    families, metrics = dict(FAMILIES), dict(METRICS)
    mistakes = []
    for use in uses(experiment):
        group = Group(use.group)
        if use.name in BUILT_IN[group] or use.name not in names(group):
            continue
        try:
            loaded = _load(group, use)
        except PluginError as error:
            found = wanted(values, use.loc)
            mistakes.append(Mistake(path=found.dotted, message=str(error), value=use.name))
            continue
        if group is Group.MODELS:
            families[use.name] = family_named(use.name)
        elif group is Group.METRICS:
            metrics[use.name] = loaded
    return Plugged(
        families=families,
        metrics=metrics,
        names={group.value: names(group) for group in Group},
        mistakes=tuple(mistakes),
    )


def check_of(group: Group) -> Check:
    """A group's contract."""
    module, _, function = _CHECKS[group].partition(":")
    check: Check = getattr(import_module(f"modelyard.{module}"), function)
    return check


def _load(group: Group, use: Use) -> Any:
    loaded = load(group, use.name, check_of(group))
    if group in _GIVEN:
        given = dict.fromkeys(_GIVEN[group])
        try:
            inspect.signature(loaded).bind(**given, **use.options)
        except TypeError as error:
            raise PluginError(
                f"the {group.one} {use.name} doesn't take these options: {error}; it is "
                f"{use.name}{inspect.signature(loaded)}"
            ) from None
    return loaded
