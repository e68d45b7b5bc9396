"""What a sweep costs beside its trials: 24 trials of two seconds on eight slots."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import optuna

from bench import sweep_peers
from bench.sweep_peers import IDEAL_SECONDS, SLOTS, TRIALS
from bench.table import Row
from modelyard.api import StageState, SweepRequest
from modelyard.client import Client
from modelyard.experiment.model import Experiment
from modelyard.journal.journal import Journal
from modelyard.local import services
from modelyard.local.ports import free_port
from modelyard.settings import Settings

ROOT = Path(__file__).parents[1]
GOAL = 1.02
EXPERIMENT = Experiment.model_validate(
    {
        "name": "sleep",
        "data": {"source": "sklearn:iris", "target": "target"},
        "model": "mlp",
        "search": {
            "pruner": "none",
            "space": {"learning_rate": {"float": [1.0e-4, 1.0e-1], "log": True}},
        },
        "budget": {"trials": TRIALS, "parallel": SLOTS},
        "deploy": None,
    }
)


def ours() -> float:
    """Seconds from the first launch to the last trial told, with the fork server warm."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        port = free_port()
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.sleeping_server"),
                *("--home", str(settings.home), "--port", str(port)),
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            services.wait_ready(f"http://127.0.0.1:{port}/readyz", settings.start_seconds)
            with Client.connect(settings) as client:
                sweep = client.create_sweep(SweepRequest(experiment=EXPERIMENT.to_document())).id
                for stage in ("prepare", "sweep"):
                    client.run_stage(sweep, stage)
                    ended = client.wait_stage(sweep, stage)
                    assert ended.state is StageState.COMPLETE, ended.failure
                client.shutdown()
            server.wait(30)
            return _last_tell(settings, sweep) - _first_launch(settings, sweep)
        finally:
            server.kill()
            server.wait()


def _first_launch(settings: Settings, sweep: str) -> float:
    journal = Journal.open(f"sqlite:///{settings.paths.journal}", lease_seconds=10)
    try:
        return min(row.created_at for row in journal.launches(sweep) if row.key.task.isdigit())
    finally:
        journal.close()


def _last_tell(settings: Settings, sweep: str) -> float:
    storage = f"sqlite:///{settings.paths.optuna}"
    trials = optuna.load_study(study_name=sweep, storage=storage).trials
    return max(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete)


def rows() -> list[Row]:
    """The figures of this module."""
    seconds = min(ours() for _ in range(3))
    peers = {
        "Optuna, process pool": min(sweep_peers.optuna_process_pool() for _ in range(3)),
        "Optuna, threads": min(sweep_peers.optuna_threads() for _ in range(3)),
        "Ray Tune": sweep_peers.ray_tune(),
    }
    return [
        Row(
            what=f"{TRIALS} trials of 2 s on {SLOTS} slots; {IDEAL_SECONDS:.1f} s is ideal",
            ours=f"{seconds / IDEAL_SECONDS:.3f} ×",
            goal=f"at most {GOAL} ×",
            met=seconds / IDEAL_SECONDS <= GOAL,
            peers=tuple(
                (name, f"{took / IDEAL_SECONDS:.3f} ×" if took else "not installed")
                for name, took in peers.items()
            ),
            note="from first launch to last tell, workers warm, best of three; trials sleep",
        )
    ]
