"""What one gets without choosing anything: a sweep of scikit-learn's digits in *auto*."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import Row

BIN = Path(sys.executable).parent
TRIALS = 40
LEAST_ACCURACY, MOST_SECONDS = 0.985, 240.0
EXPERIMENT = f"""\
name: digits-auto
data: {{source: sklearn:digits}}
model: auto
budget: {{trials: {TRIALS}}}
deploy: null
"""


def measured(folder: Path) -> tuple[float, float]:
    """Seconds from typing ``modelyard run`` to its end, servers started by it, and the test
    accuracy of the version that it registered."""
    file, environment = (
        folder / "digits.yaml",
        {**os.environ, "MODELYARD_HOME": str(folder / "home")},
    )
    file.write_text(EXPERIMENT)
    try:
        began = time.perf_counter()
        done = subprocess.run(
            [str(BIN / "modelyard"), "run", str(file), "--json"],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
    finally:
        subprocess.run(
            [str(BIN / "modelyard"), "down"], env=environment, check=True, capture_output=True
        )
    return seconds, float(json.loads(done.stdout)["version"]["metrics"]["accuracy"])


def rows() -> list[Row]:
    """The figure of this module."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, accuracy = measured(Path(folder))
    return [
        Row(
            what=f"{TRIALS} trials with `model: auto`, from typing to a registered model",
            ours=f"test accuracy {accuracy:.4f} in {seconds:.0f} s",
            goal=f"at least {LEAST_ACCURACY} in under {MOST_SECONDS:.0f} s",
            met=accuracy >= LEAST_ACCURACY and seconds < MOST_SECONDS,
            note="scikit-learn's digits, a fresh home, servers started by the run",
        )
    ]
