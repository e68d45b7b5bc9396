"""What the mode *health-aware* chooses beside the mode *simple*, among the very same trials.

Networks of random sizes are fitted as a sweep of the random sampler fits them, and judged by either
mode; over several splits of the data, as one split's test rows are too few to tell two good
networks apart. The picture of ``docs/health.md`` is the first split's.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from bench.fits import Silent, prepared
from bench.scatter import Point, scatter
from bench.table import Row
from modelyard.contract import Scalar
from modelyard.experiment.model import Experiment
from modelyard.health.scores import HEALTH, total
from modelyard.train.fit import FitJob, fit

PICTURE = Path(__file__).parents[1] / "docs" / "health.svg"
SPLITS, TRIALS = 4, 24
WEIGHTS = (0.7, 0.8, 0.9)
"""Of the metric; the first is the default."""

LARGEST_GAP = 0.005
EXPERIMENT = Experiment.model_validate(
    {
        "name": "digits",
        "data": {
            "source": "sklearn:digits",
            # As many rows to judge by as the data can spare.
            "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        },
        "model": "mlp",
        "train": {"epochs": 20},
    }
)


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
    """The figure of this module; draws the picture too."""
    # Spawned: a forked child of a process that has used torch's threads may hang.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        splits = list(pool.map(_trials, range(SPLITS)))
    simple = [max(trials, key=lambda one: one.accuracy) for trials in splits]
    aware = {weight: [_best(trials, weight) for trials in splits] for weight in WEIGHTS}
    PICTURE.write_text(scatter(_points(splits[0], simple[0], aware[WEIGHTS[0]][0]), low=0.9))
    return [_row(weight, aware[weight], simple) for weight in WEIGHTS]


def _best(trials: Sequence[Trial], weight: float) -> Trial:
    """What health-aware chooses with this weight of the metric."""
    return max(trials, key=lambda one: total(one.accuracy, {HEALTH: one.health}, weight))


def _row(weight: float, aware: Sequence[Trial], simple: Sequence[Trial]) -> Row:
    gap = _mean(simple, lambda one: one.test) - _mean(aware, lambda one: one.test)
    healthier = _mean(aware, lambda one: one.health) > _mean(simple, lambda one: one.health)
    return Row(
        what="test accuracy of the network that the mode health-aware chooses, "
        f"metric_weight {weight}",
        ours=_said(aware),
        goal="less than 0.5 points below simple, smaller or healthier",
        met=gap < LARGEST_GAP and (healthier or _size(aware) < _size(simple)),
        peers=(("the mode simple", _said(simple)),),
        note=f"mlp on scikit-learn's digits, {TRIALS} trials of 16 to 1024 units in 1 to 3 "
        f"layers, the same for both modes; means over {SPLITS} splits, 450 rows of test each",
    )


def _trials(seed: int) -> list[Trial]:
    """The trials of one split."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = prepared(EXPERIMENT.data, seed, folder)
        return [
            _trial(
                FitJob(
                    snapshot=snapshot,
                    experiment=EXPERIMENT,
                    family="mlp",
                    parameters=_drawn(generator),
                    seed=seed,
                    epochs=EXPERIMENT.train.epochs,
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
