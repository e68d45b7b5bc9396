"""Weights to start from, against the family and what is searched."""

from __future__ import annotations

from modelyard.experiment.rules.case import Case, Mistakes, listing


def check_weights(case: Case) -> Mistakes:
    """Only networks start from weights, and no parameter that shapes the model is searched."""
    family = case.catalogue.family
    if case.experiment.model.weights is None or family is None:
        return
    if not family.network:
        families = case.catalogue.families
        networks = tuple(
            name for name in case.catalogue.fitting() if name in families and families[name].network
        )
        yield case.mistake(
            ("model", "weights"),
            f"{family.name} is no network and starts from nothing; networks are "
            f"{listing(networks)}",
            value=family.name,
            valid=networks,
        )
        return
    after, epochs = case.experiment.model.weights.unfreeze_after, case.experiment.trial_epochs
    if after is not None and after >= epochs:
        yield case.mistake(
            ("model", "weights", "unfreeze_after"),
            f"a trial has {epochs} epochs, so nothing but the head would learn; write less than "
            f"{epochs}, or leave it out",
        )
    for name in case.experiment.search.space or {}:
        if name in family.parameters:
            yield case.mistake(
                ("search", "space", name),
                f"{name!r} shapes the model, and model.weights fit one shape alone: write it under "
                "model.parameters, or leave it to the packed model",
                value=name,
            )
