"""Fitting a classical family: one call that can't be looked into or interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from modelyard.contract import Scalar
from modelyard.evaluate.metrics import compute
from modelyard.models.boosted import FILES, BoostedEstimator, Order, fit_boosted
from modelyard.models.classical import ClassicalEstimator, build_classical, flatten
from modelyard.models.estimator import Array
from modelyard.models.family import Task
from modelyard.train.reporting import Reporter

Examples = tuple[Array, Array]
"""Features float32 (n, …), and truth (n,)."""

Grown: TypeAlias = ClassicalEstimator | BoostedEstimator
"""What isn't trained by steps."""


def fit_classical(
    *,
    family: str,
    parameters: Mapping[str, Scalar],
    task: Task,
    classes: int,
    train: Examples,
    validation: Examples,
    seed: int,
    threads: int,
    measured: tuple[str, ...] = (),
    report: Reporter,
) -> tuple[Grown, dict[str, float], Array]:
    """Fit on one split, measure on the other, and report that as step 1.

    Args:
        family, parameters, task, seed: see ``build_classical``.
        classes: of the card; 0 for a regression.
        train, validation: features and truth.
        threads: most threads of the library's own loops.
        measured: names of further metrics that are wanted; a plugin's is computed only then.
        report: told of the phase and of the metrics.

    Returns:
        The fitted model, the validation split's metrics by plain names, and its answers there.
    """
    report.phase("fitting", False)
    features, truth = train
    estimator: Grown
    with threadpool_limits(limits=threads):
        if family in FILES:
            order = Order(
                family=family, parameters=parameters, classes=classes, seed=seed, threads=threads
            )
            estimator = fit_boosted(order, features, truth)
        else:
            model = build_classical(family, parameters, task, seed)
            model.fit(flatten(features), np.asarray(truth))
            estimator = ClassicalEstimator(model, classes)
        output = estimator.predict(validation[0])
        metrics = compute(task, validation[1], output, also=measured)
    report.metrics(1, {f"validation_{name}": value for name, value in metrics.items()})
    return estimator, metrics, output
