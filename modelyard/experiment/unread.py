"""Keys that the file sets and the chosen family doesn't look at."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.experiment.catalogue import Family
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.experiment.space import written

WITH_MOMENTUM = {"sgd", "rmsprop", "muon"}
"""Optimisers that look at ``train.momentum``."""


def unread_note(
    experiment: Experiment, family: Family, space: Mapping[str, Parameter]
) -> str | None:
    """A sentence or two about the keys that change nothing; None where each one counts.

    Args:
        experiment: as it was read, so that written keys can be told from defaults.
        family: that will be trained.
        space: what will be searched.
    """
    if not family.network:
        reasons = {f"{family.name} is fitted in one go": _of_fits_in_one_go(experiment)}
    else:
        reasons = {
            "momentum is for sgd, rmsprop and muon, and no trial trains with one": _of_networks(
                experiment, space
            ),
            f"{family.name} takes what it needs as its own parameters": _of_others(
                experiment, family
            ),
        }
    said = [
        f"{why}: {', '.join(keys)} {'is' if len(keys) == 1 else 'are'} not looked at."
        for why, keys in reasons.items()
        if keys
    ]
    return " ".join(said) or None


def _of_fits_in_one_go(experiment: Experiment) -> list[str]:
    search, train = experiment.search, written(experiment.train)
    keys = [f"train.{name}" for name in type(experiment.train).model_fields if name in train]
    if search.epochs is not None:
        keys.append("search.epochs")
    if "pruner" in written(search) and search.pruner.name != "none":
        keys.append("search.pruner")
    return keys


def _of_networks(experiment: Experiment, space: Mapping[str, Parameter]) -> list[str]:
    searched = space.get("optimizer")
    optimizers = (experiment.train.optimizer, *((searched.choice or ()) if searched else ()))
    unread = "momentum" in written(experiment.train) and not WITH_MOMENTUM & set(optimizers)
    return ["train.momentum"] if unread else []


def _of_others(experiment: Experiment, family: Family) -> list[str]:
    train = written(experiment.train)
    return [f"train.{name}" for name in family.unread if name in train]
