"""The metrics there are: for which task, in which direction, within which bounds.

Importing this costs nothing; the arithmetic is in ``metrics.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["classification", "regression"]
Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Args:
        name: as it stands in the experiment file.
        tasks: the tasks that it can be computed for.
        goal: its good direction.
        bounds: lowest and highest value it can take.
        description: one phrase for lists and tables.
    """

    name: str
    tasks: tuple[Task, ...]
    goal: Goal
    bounds: tuple[float, float]
    description: str

    def gain(self, value: float, over: float) -> float:
        """How much better ``value`` is than ``over``, in the metric's own unit."""
        return value - over if self.goal == "maximize" else over - value


def _share(name: str, description: str) -> Metric:
    return Metric(
        name=name,
        tasks=("classification",),
        goal="maximize",
        bounds=(0.0, 1.0),
        description=description,
    )


def _error(name: str, task: Task, description: str) -> Metric:
    return Metric(
        name=name,
        tasks=(task,),
        goal="minimize",
        bounds=(0.0, math.inf),
        description=description,
    )


_ALL = (
    _share("accuracy", "share of rows whose class is right"),
    _share("balanced_accuracy", "mean recall over the classes that occur"),
    _share("f1", "macro: mean over classes of the harmonic mean of precision and recall"),
    _share("precision", "macro: mean over classes of the right ones among those predicted"),
    _share("recall", "macro: mean over classes of the right ones among those that are"),
    _share("auc", "area under the ROC curve; macro: mean of each class against the others"),
    _error("log_loss", "classification", "mean negative log of the true class's probability"),
    Metric(
        name="calibration_error",
        tasks=("classification",),
        goal="minimize",
        bounds=(0.0, 1.0),
        description="expected calibration error of the confidence, in 15 bins of equal width",
    ),
    _error("mae", "regression", "mean absolute error"),
    _error("rmse", "regression", "root of the mean squared error"),
    _error("mse", "regression", "mean squared error"),
    Metric(
        name="r2",
        tasks=("regression",),
        goal="maximize",
        bounds=(-math.inf, 1.0),
        description="share of the target's variance that is explained",
    ),
    Metric(
        name="loss",
        tasks=("classification", "regression"),
        goal="minimize",
        bounds=(0.0, math.inf),
        description="what training minimises; log_loss or mse where nothing was trained",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by name."""


def metrics_for(task: Task) -> tuple[str, ...]:
    """Names of the metrics of a task."""
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)
