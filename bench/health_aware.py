"""What the mode *health-aware* chooses beside the mode *simple*, among the very same trials.

Networks of random sizes are fitted as a sweep of the random sampler fits them, and judged by either
mode; over several splits of the data, as one split's test rows are too few to tell two good
networks apart. The picture of ``docs/health.md`` is of the first split of the digits in which the
modes choose differently.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from bench.fits import Silent, prepared
from bench.scatter import Point, scatter
from bench.table import Row
from modelyard.contract import Scalar
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Mode
from modelyard.health.scores import HEALTH, total
from modelyard.train.fit import FitJob, fit

PICTURE = Path(__file__).parents[1] / "docs" / "health.svg"
SPLITS, TRIALS = 8, 24
DEFAULT = Mode().metric_weight
WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "digits": (DEFAULT, 0.8, 0.9),
    "breast_cancer": (DEFAULT,),
}
"""Of the metric, the default first, by scikit-learn's name of the data."""

LARGEST_GAP = 0.005


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fit.

    Args:
        parameters: of the network.
        accuracy, test: on the validation and on the test split.
        health: the weighted mean of its scores.
    """

    parameters: int
    accuracy: float
    test: float
    health: float


def rows() -> list[Row]:
    """The figures of this module; draws the picture too."""
    # Spawned: a forked child of a process that has used torch's threads may hang.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        fitted = {data: list(pool.map(partial(_trials, data), range(SPLITS))) for data in WEIGHTS}
    PICTURE.write_text(_picture(fitted["digits"]))
    return [
        _row(data, weight, _chosen(splits, weight), _chosen(splits, 1.0))
        for data, splits in fitted.items()
        for weight in WEIGHTS[data]
    ]


def _picture(splits: Sequence[Sequence[Trial]]) -> str:
    """The first split in which the modes choose differently; the very first where none does."""
    chosen = zip(_chosen(splits, 1.0), _chosen(splits, DEFAULT), splits, strict=True)
    simple, aware, trials = min(chosen, key=lambda one: one[0] is one[1])
    return scatter(_points(trials, simple, aware), low=0.9)


def _chosen(splits: Sequence[Sequence[Trial]], weight: float) -> list[Trial]:
    """The best trial of each split with this weight of the metric; with 1, what simple chooses."""

    def judged(one: Trial) -> float:
        return total(one.accuracy, {HEALTH: one.health}, weight)

    return [max(trials, key=judged) for trials in splits]


def _row(data: str, weight: float, aware: Sequence[Trial], simple: Sequence[Trial]) -> Row:
    gap = _mean(simple, lambda one: one.test) - _mean(aware, lambda one: one.test)
    healthier = _mean(aware, lambda one: one.health) > _mean(simple, lambda one: one.health)
    return Row(
        what=f"test accuracy of the network that the mode health-aware chooses on {data}, "
        f"metric_weight {weight}",
        ours=_said(aware),
        goal="less than 0.5 points below simple, smaller or healthier",
        met=gap < LARGEST_GAP and (healthier or _size(aware) < _size(simple)),
        peers=(("the mode simple", _said(simple)),),
        note=f"{TRIALS} trials of an mlp with 16 to 1024 units in 1 to 3 layers, the same for both "
        f"modes; means over {SPLITS} splits, a quarter of the rows for the test each",
    )


def _experiment(data: str) -> Experiment:
    # As many rows to judge by as the data can spare.
    split = {"train": 0.5, "validation": 0.25, "test": 0.25}
    return Experiment.model_validate(
        {
            "name": "health",
            "data": {"source": f"sklearn:{data}", "split": split},
            "model": "mlp",
            "train": {"epochs": 20},
        }
    )


def _trials(data: str, seed: int) -> list[Trial]:
    """The trials of one split."""
    experiment = _experiment(data)
    torch.set_num_threads(1)
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = prepared(experiment.data, seed, folder)
        return [
            _trial(
                FitJob(
                    snapshot=snapshot,
                    experiment=experiment,
                    family="mlp",
                    parameters=_drawn(generator),
                    seed=seed,
                    epochs=experiment.train.epochs,
                    scratch=folder / "scratch",
                )
            )
            for _ in range(TRIALS)
        ]


def _drawn(generator: np.random.Generator) -> dict[str, Scalar]:
    return {
        "hidden": round(2 ** generator.uniform(4, 10)),
        "layers": int(generator.integers(1, 4)),
        "activation": str(generator.choice(["relu", "tanh"])),
        "learning_rate": float(10 ** generator.uniform(-3.5, -1.5)),
    }


def _trial(job: FitJob) -> Trial:
    done = fit(job, Silent())
    features = done.preprocessor.transform(job.snapshot.rows("test"))
    right = done.estimator.predict(features).argmax(axis=1) == job.snapshot.target("test")
    parameters = done.observed.kept.numbers.parameters
    assert parameters is not None
    return Trial(
        parameters=parameters,
        accuracy=done.metrics["accuracy"],
        test=float(right.mean()),
        health=done.observed.health[HEALTH],
    )


def _said(chosen: Sequence[Trial]) -> str:
    health = _mean(chosen, lambda one: one.health)
    test = _mean(chosen, lambda one: one.test)
    return f"{test:.1%} with {_size(chosen):,.0f} parameters, health {health:.2f}"


def _mean(chosen: Sequence[Trial], of: Callable[[Trial], float]) -> float:
    return statistics.fmean(of(one) for one in chosen)


def _size(chosen: Sequence[Trial]) -> float:
    return statistics.geometric_mean(one.parameters for one in chosen)


def _points(trials: Sequence[Trial], simple: Trial, aware: Trial) -> list[Point]:
    kinds = [("trial", trials), ("simple chooses", [simple]), ("health-aware chooses", [aware])]
    return [
        Point(x=math.log10(one.parameters), y=one.accuracy, kind=kind, chosen=len(some) == 1)
        for kind, some in kinds
        for one in some
    ]
