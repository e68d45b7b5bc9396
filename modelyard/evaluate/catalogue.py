"""The metrics there are: for which task, in which direction, within which bounds.

Importing this costs nothing; the arithmetic is in ``metrics.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.errors import InputError
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import names
from modelyard.plugins.loading import PluginError, load

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
        function: of a plugin, what computes it, see ``plugged.py``; None of Modelyard's own.
    """

    name: str
    tasks: tuple[Task, ...]
    goal: Goal
    bounds: tuple[float, float]
    description: str
    function: Callable[[Any, Any], float] | None = None

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
"""Every metric of Modelyard's own by name; ``metric_named`` knows those of plugins too."""


def metric_named(name: str) -> Metric:
    """A metric by its name.

    Raises:
        PluginError: no such metric, or one of a plugin that can't be used.
    """
    if name in METRICS:
        return METRICS[name]
    if name not in (there := names(Group.METRICS)):
        raise PluginError(
            f"there is no metric {name!r} here; there are {', '.join((*METRICS, *there))}. One of "
            "a plugin has to be installed wherever trials run: on a cluster, in their image"
        )
    from modelyard.evaluate.plugged import check_metric

    found: Metric = load(Group.METRICS, name, check_metric)
    return found


def metric_for(name: str, task: Task) -> Metric:
    """A metric that can be computed for a task.

    Raises:
        InputError: there is none of that name, or it is for another task.
    """
    metric = metric_named(name)
    if task not in metric.tasks:
        raise InputError(
            f"the metric {name} can't be computed for {task}; valid are "
            f"{', '.join(metrics_for(task))}"
        )
    return metric


def metrics_for(task: Task) -> tuple[str, ...]:
    """Names of Modelyard's own metrics of a task."""
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)
