"""What an experiment is made from, data and weights, with paths that hold from anywhere."""

from __future__ import annotations

from pathlib import Path

from modelyard.experiment.model import Experiment
from modelyard.experiment.places import absolute, is_mounted, is_path
from modelyard.experiment.weights import is_version


def with_absolute_sources(experiment: Experiment, base: Path) -> Experiment:
    """The experiment with the paths of its data and of its weights starting at the root.

    Args:
        experiment: validated.
        base: folder that a relative path starts from.
    """
    data = experiment.data.model_copy(update={"source": absolute(experiment.data.source, base)})
    whole = experiment.model_copy(update={"data": data})
    weights = experiment.model.weights
    if weights is None or is_version(weights.source):
        return whole
    return with_weights_from(whole, absolute(weights.source, base))


def with_weights_from(experiment: Experiment, source: str) -> Experiment:
    """The experiment, which has weights, with another source of them."""
    assert experiment.model.weights is not None
    weights = experiment.model.weights.model_copy(update={"source": source})
    model = experiment.model.model_copy(update={"weights": weights})
    return experiment.model_copy(update={"model": model})


def has_weights_at_path(experiment: Experiment) -> bool:
    """Whether an experiment's weights are named by a path that no volume of its own brings to the
    trials.
    """
    weights = experiment.model.weights
    if weights is None or is_version(weights.source) or not is_path(weights.source):
        return False
    return not is_mounted(weights.source, experiment.resources.volumes)
