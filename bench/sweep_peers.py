"""24 trials of two seconds on eight slots, as the peers run them.

Every peer is warm: its workers are up and have imported what they need before the clock
starts, which runs from the first launch to the last result told.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

TRIALS, SLOTS, SECONDS = 24, 8, 2.0
IDEAL_SECONDS = TRIALS / SLOTS * SECONDS


def one_trial(learning_rate: float) -> float:
    """The work of a trial: two seconds in which no core is needed."""
    time.sleep(SECONDS)
    return learning_rate


def _warm(_: int) -> int:
    import optuna  # noqa: F401 - the import is the warming

    time.sleep(0.2)
    return multiprocessing.current_process().pid or 0


def optuna_process_pool() -> float:
    """Ask in the parent, run in a pool of processes, tell as each ends. Returns seconds."""
    from concurrent.futures import FIRST_COMPLETED, Future, wait

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(SLOTS) as pool:
        list(pool.map(_warm, range(SLOTS * 2)))
        study = optuna.create_study(storage=f"sqlite:///{Path(folder) / 'study.db'}")
        asked, running = 0, dict[Future[float], optuna.Trial]()
        began = 0.0
        while asked < TRIALS or running:
            while asked < TRIALS and len(running) < SLOTS:
                trial = study.ask()
                rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
                began = began or time.perf_counter()
                running[pool.submit(one_trial, rate)] = trial
                asked += 1
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                study.tell(running.pop(future), future.result())
        return time.perf_counter() - began


def optuna_threads() -> float:
    """``study.optimize(n_jobs=8)`` on the same storage. Returns seconds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        return one_trial(trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True))

    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(storage=f"sqlite:///{Path(folder) / 'study.db'}")
        began = time.perf_counter()
        study.optimize(objective, n_trials=TRIALS, n_jobs=SLOTS)
        return time.perf_counter() - began


def ray_tune() -> float | None:
    """Ray Tune with random search, eight trials at once, after a round of eight to warm up; each
    actor takes several trials. Returns seconds, None without Ray."""
    if find_spec("ray") is None:
        return None
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing of a benchmark is sent anywhere
    import ray
    from ray import tune

    def fit(samples: int, folder: str) -> None:
        tune.Tuner(
            lambda config: {"score": one_trial(config["learning_rate"])},
            param_space={"learning_rate": tune.loguniform(1e-4, 1e-1)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=samples,
                max_concurrent_trials=SLOTS,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()

    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fit(SLOTS, folder)
            began = time.perf_counter()
            fit(TRIALS, folder)
            return time.perf_counter() - began
    finally:
        ray.shutdown()
