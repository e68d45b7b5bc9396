"""How long a user waits: for the command line's help, and for the first trial to train."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import Row
from modelyard.client import Client
from modelyard.settings import Settings

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SMALL = ["--set", "budget.trials=2", "--set", "train.epochs=2", "--set", "gates=[]"]


def help_seconds(command: str) -> float:
    """Fastest of five runs of ``command --help``, as a whole process, in seconds."""
    return min(_seconds([str(BIN / command), "--help"]) for _ in range(5))


def _seconds(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    return time.perf_counter() - began


def first_trial_seconds(home: Path) -> float:
    """From typing ``modelyard run`` to the first trial's first training step, in seconds.

    Args:
        home: the installation's folder; fresh for a cold start.
    """
    environment = {**os.environ, "MODELYARD_HOME": str(home)}
    began = time.time()
    subprocess.run(
        [str(BIN / "modelyard"), "run", str(ROOT / "examples" / "digits.yaml"), *SMALL],
        env=environment,
        check=True,
        capture_output=True,
    )
    client = Client.connect(Settings(home=home))
    sweep = client.sweep("digits")
    for event in client.events(sweep.id, 0):
        if event.task == "0" and event.body.get("name") in ("training", "fitting"):
            return event.received_at - began
    raise AssertionError("an event stream of a finished sweep holds its first trial")


def rows() -> list[Row]:
    """The figures of this module."""
    ours = help_seconds("modelyard")
    peers = tuple(
        (f"{name} --help", f"{help_seconds(name):.2f} s") for name in ("mlflow", "prefect")
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        try:
            cold, warm = first_trial_seconds(home), first_trial_seconds(home)
        finally:
            subprocess.run(
                [str(BIN / "modelyard"), "down"],
                env={**os.environ, "MODELYARD_HOME": str(home)},
                check=True,
                capture_output=True,
            )
    return [
        Row(
            what="`modelyard --help`",
            ours=f"{ours:.2f} s",
            goal="under 0.3 s",
            met=ours < 0.3,
            peers=peers,
            note="whole process, fastest of five",
        ),
        Row(
            what="from `modelyard run` to the first training step, cold",
            ours=f"{cold:.1f} s",
            goal="30 s",
            met=cold <= 30,
            note="a fresh home: every server is started, every store made",
        ),
        Row(
            what="… with the servers up",
            ours=f"{warm:.1f} s",
            goal="10 s",
            met=warm <= 10,
        ),
    ]
