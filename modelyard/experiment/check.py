"""Every mistake of an experiment that only a look at data, families and metrics can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.errors import Mistake
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.model import Experiment
from modelyard.experiment.rules.case import Case
from modelyard.experiment.rules.cluster import check_cluster
from modelyard.experiment.rules.columns import check_columns
from modelyard.experiment.rules.family import check_family
from modelyard.experiment.rules.metrics import check_metrics
from modelyard.experiment.rules.numbers import too_large
from modelyard.experiment.rules.plugins import check_plugins
from modelyard.experiment.rules.search import check_search
from modelyard.experiment.rules.space import check_space
from modelyard.experiment.rules.training import check_training
from modelyard.experiment.rules.weights import check_weights

RULES = (
    check_columns,
    check_family,
    check_weights,
    check_training,
    check_metrics,
    check_search,
    check_space,
    check_plugins,
    check_cluster,
)
"""In the order in which their mistakes are told where no file gives one."""


def check(
    experiment: Experiment, catalogue: Catalogue, raw: Mapping[str, Any] | None = None
) -> tuple[Mistake, ...]:
    """Holds an experiment against what there is. Pure.

    Args:
        experiment: validated, or the sound part of a file with mistakes of shape.
        catalogue: families, metrics, and what is known of the data; what isn't known there
            isn't judged.
        raw: the file's own keys and values, so that paths are the user's; the experiment's
            document when it came from elsewhere.

    Returns:
        Mistakes, none for an experiment that can be run.
    """
    values = experiment.to_document() if raw is None else raw
    case = Case(experiment=experiment, catalogue=catalogue, raw=values)
    found = [mistake for rule in RULES for mistake in rule(case)]
    told = {mistake.path for mistake in found}
    return (*found, *(mistake for mistake in too_large(values) if mistake.path not in told))
