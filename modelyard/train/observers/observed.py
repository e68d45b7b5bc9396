"""What the observers of a fit come to: its health, and the numbers that it keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.health.numbers import Kept, Numbers
from modelyard.health.scores import Measured, score
from modelyard.health.validation import confusion, reliability, scatter
from modelyard.models.estimator import Array
from modelyard.train.hooks import Hook
from modelyard.train.observers.activations import ActivationSample
from modelyard.train.observers.gradients import GradientFlow
from modelyard.train.observers.histograms import WeightHistograms


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What is known of any fit, whatever its family.

    Args:
        rows: of the training split.
        inputs: shape of one preprocessed example.
        truth: (n,) of the validation split, class indices or values.
        output: the kept model's answers to it, (n, classes) probabilities or (n,) values.
        classes: names of the classes, empty for a regression.
        metrics: of the kept model on the validation split.
        parameters: numbers that were learnt, None where nobody can count them.
        history: each epoch's metrics; empty without epochs.
    """

    rows: int
    inputs: tuple[int, ...]
    truth: Array
    output: Array
    classes: tuple[str, ...]
    metrics: Mapping[str, float]
    parameters: int | None
    history: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The scores by name, see ``health.scores.score``, and the numbers."""

    health: dict[str, float]
    kept: Kept


class Observers:
    """The observers of one fit of a network; give ``hooks`` to the fit, then ask for ``result``."""

    def __init__(self) -> None:
        self._gradients = GradientFlow()
        self._histograms = WeightHistograms()
        self._activations = ActivationSample()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """To be given to the fit."""
        return self._gradients, self._histograms, self._activations

    def result(self, fitted: Fitted) -> Observed:
        """What was seen; after the fit."""
        histograms, counted = self._histograms.result()
        seen = self._activations
        return _observed(
            fitted,
            Numbers(
                parameters=fitted.parameters,
                units=seen.units,
                gradients=self._gradients.result(),
                histograms=histograms,
                activations=seen.activations,
            ),
            {**counted, **seen.arrays},
        )


def observe_classical(fitted: Fitted) -> Observed:
    """What a fit without epochs, layers and gradients lets see."""
    return _observed(fitted, Numbers(parameters=fitted.parameters), {})


def count_nodes(model: Any) -> int | None:
    """Nodes of a fitted scikit-learn forest or boosted trees; None for anything else."""
    trees = [tree for tree in np.ravel(getattr(model, "estimators_", [])) if tree is not None]
    if trees and all(hasattr(tree, "tree_") for tree in trees):
        return sum(int(tree.tree_.node_count) for tree in trees)
    if hasattr(model, "_predictors"):
        return sum(len(tree.nodes) for round_ in model._predictors for tree in round_)
    return None


def _observed(fitted: Fitted, numbers: Numbers, arrays: dict[str, Array]) -> Observed:
    truth, output = fitted.truth, fitted.output
    chance = None
    if fitted.classes:
        chance = float(np.bincount(truth).max() / len(truth))
        tables = {
            "confusion": confusion(truth, output, fitted.classes),
            "reliability": reliability(truth, output),
        }
        numbers = numbers.model_copy(update=tables)
    else:
        arrays = {**arrays, **scatter(truth, output)}
    scores = score(
        Measured(
            metrics=fitted.metrics,
            chance=chance,
            parameters=fitted.parameters,
            rows=fitted.rows,
            features=math.prod(fitted.inputs),
            history=fitted.history,
            units=numbers.units,
            gradients=numbers.gradients,
        )
    )
    return Observed(health=scores, kept=Kept(numbers=numbers, arrays=arrays))
