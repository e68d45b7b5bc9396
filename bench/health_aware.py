"""What the mode *health-aware* chooses beside the mode *simple*: the same sweep, run in both.

The picture of ``docs/health.md`` is drawn from the same run: every trial by size and accuracy.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from bench.scatter import Point, scatter
from bench.table import Row
from modelyard.api import StageState, SweepRequest, TrialState, TrialView
from modelyard.client import Client
from modelyard.experiment.model import Experiment
from modelyard.health.numbers import read
from modelyard.local import services
from modelyard.settings import Settings

PICTURE = Path(__file__).parents[1] / "docs" / "health.svg"
TRIALS = 24
LARGEST_GAP = 0.005
MODES = ("simple", "health-aware")

EXPERIMENT: Mapping[str, Any] = {
    # As many rows to judge by as the data can spare: one of them is 0.2 points.
    "data": {
        "source": "sklearn:digits",
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
    },
    "model": "mlp",
    "search": {
        "pruner": "none",
        "space": {
            "hidden": {"int": [16, 1024], "log": True},
            "layers": {"int": [1, 3]},
            "activation": {"choice": ["relu", "tanh"]},
            "learning_rate": {"float": [3.0e-4, 3.0e-2], "log": True},
        },
    },
    "budget": {"trials": TRIALS},
    "train": {"epochs": 20},
    "deploy": None,
}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a sweep came to.

    Args:
        trials: complete ones.
        best: the one that was chosen.
        parameters: of each complete trial's network, by number.
        accuracy: of the chosen one on the test split, 0 to 1.
    """

    trials: tuple[TrialView, ...]
    best: TrialView
    parameters: Mapping[int, int]
    accuracy: float


def rows() -> list[Row]:
    """The figure of this module; draws the picture too."""
    with _server() as client:
        simple, aware = (_sweep(mode, client) for mode in MODES)
    _draw(simple, aware)
    gap = simple.accuracy - aware.accuracy
    sizes = [one.parameters[one.best.number] for one in (simple, aware)]
    health = [one.best.health["health"] for one in (simple, aware)]
    return [
        Row(
            what="test accuracy of the network that the mode health-aware chooses",
            ours=f"{aware.accuracy:.1%}, {sizes[1]:,} parameters, health {health[1]:.2f}",
            goal="within 0.5 points of simple, smaller or healthier",
            met=gap < LARGEST_GAP and (sizes[1] < sizes[0] or health[1] > health[0]),
            peers=(
                (
                    "the mode simple",
                    f"{simple.accuracy:.1%}, {sizes[0]:,} parameters, health {health[0]:.2f}",
                ),
            ),
            note=f"mlp on scikit-learn's digits, {TRIALS} trials each of 16 to 1024 units in 1 to "
            "3 layers, weight of the metric 0.7, no pruner; 450 rows of the test split",
        )
    ]


@contextmanager
def _server() -> Iterator[Client]:
    """A server of our own in a fresh home, which ends with it; the stages need no Prefect."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        port = services.free_port()
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "modelyard.server"),
                *("--home", str(settings.home), "--port", str(port)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            services.wait_ready(f"http://127.0.0.1:{port}/readyz", settings.start_seconds)
            with Client.connect(settings) as client:
                yield client
                client.shutdown()
            server.wait(30)
        finally:
            server.kill()
            server.wait()


def _sweep(mode: str, client: Client) -> Chosen:
    search = {**EXPERIMENT["search"], "mode": mode}
    experiment = Experiment.model_validate({"name": mode, **EXPERIMENT, "search": search})
    sweep = client.create_sweep(SweepRequest(experiment=experiment.to_document())).id
    for stage in ("prepare", "sweep", "train", "evaluate"):
        client.run_stage(sweep, stage)
        ended = client.wait_stage(sweep, stage)
        assert ended.state is StageState.COMPLETE, ended.failure
    trials = tuple(t for t in client.trials(sweep) if t.state is TrialState.COMPLETE)
    best = client.sweep(sweep).best
    assert best is not None
    return Chosen(
        trials=trials,
        best=best,
        parameters={trial.number: _parameters(trial) for trial in trials},
        accuracy=ended.outcome["metrics"]["accuracy"],
    )


def _parameters(trial: TrialView) -> int:
    assert trial.numbers is not None
    found = read(Path(unquote(urlparse(trial.numbers).path))).numbers.parameters
    assert found is not None
    return found


def _draw(simple: Chosen, aware: Chosen) -> None:
    points = [
        Point(
            x=math.log10(chosen.parameters[trial.number]),
            y=trial.values[0],
            kind=mode,
            chosen=trial.number == chosen.best.number,
        )
        for mode, chosen in zip(MODES, (simple, aware), strict=True)
        for trial in chosen.trials
    ]
    PICTURE.write_text(scatter(points, low=0.9))
