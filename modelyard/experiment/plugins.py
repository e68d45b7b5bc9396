"""Where an experiment names plugins, or names that may be a plugin's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelyard.contract import Scalar
from modelyard.experiment.keys import Loc
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import plugin_name


@dataclass(frozen=True, kw_only=True)
class Use:
    """One such place.

    Args:
        group: what is named, as in ``modelyard.plugins.groups``.
        loc: canonical path of the name.
        name: of the plugin. A family's or a metric's may as well be Modelyard's own.
        options: that the file gives it.
    """

    group: str
    loc: Loc
    name: str
    options: Mapping[str, Scalar] = field(default_factory=dict)


def uses(experiment: Experiment) -> Iterator[Use]:
    """Every such place, in the file's order."""
    if (source := plugin_name(experiment.data.source)) is not None:
        yield Use(group="datasets", loc=("data", "source"), name=source)
    yield Use(group="models", loc=("model", "family"), name=experiment.model.family)
    for index, objective in enumerate(experiment.objective):
        yield Use(group="metrics", loc=("objective", index, "metric"), name=objective.metric)
    sampler = experiment.search.sampler
    if sampler.plugin is not None:
        loc: Loc = ("search", "sampler", "name")
        yield Use(group="samplers", loc=loc, name=sampler.plugin, options=sampler.options)
    for index, hook in enumerate(experiment.train.hooks):
        loc = ("train", "hooks", index, "name")
        yield Use(group="hooks", loc=loc, name=hook.name, options=hook.options)
    yield from _of_gates(experiment)


def _of_gates(experiment: Experiment) -> Iterator[Use]:
    for index, gate in enumerate(experiment.gates):
        if gate.metric is not None:
            yield Use(group="metrics", loc=("gates", index, "metric"), name=gate.metric)
        if gate.plugin is not None:
            loc = ("gates", index, "plugin")
            yield Use(group="gates", loc=loc, name=gate.plugin, options=gate.options)
