"""``modelyard run`` with an experiment that is made of installed plugins."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from modelyard.settings import Paths
from tests.support.home import DEADLINE_SECONDS, command, document, eventually, whole_home
from tests.support.plugins import EXAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example packages, built and installed by pip, which needs no network for it."""
    folder = tmp_path_factory.mktemp("site")
    packages = sorted(str(path.parent) for path in EXAMPLES.glob("*/pyproject.toml"))
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, *packages], check=True)
    return folder


def test_an_experiment_made_of_plugins_ends_in_a_serving_model(
    target: Path, tmp_path: Path
) -> None:
    """Data, family, distance, metric, gates and sampler come from packages; runs say from which."""
    path = {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", "."), str(target)])}
    with whole_home(tmp_path) as paths:
        done = command(paths, "run", str(EXAMPLES / "plugins.yaml"), "--json", variables=path)
        assert done.returncode == 0, done.stderr
        found = document(done)
        row = {"inputs": {"x": [0.0], "y": [1.0]}}
        address = f"{found['serving']['address']}/invocations"
        answer = httpx.post(address, json=row, timeout=DEADLINE_SECONDS).json()
        tags = _plugins(paths)

    assert answer["predictions"][0]["prediction"] == "upper"
    assert {gate["metric"] for gate in found["version"]["gates"]} == {"cost", "worst-class"}
    assert tags == {
        "datasets.moons: modelyard-moons 0.1.0, distances.manhattan: modelyard-distances 0.1.0, "
        "gates.worst-class: modelyard-worst-class 0.1.0, metrics.cost: modelyard-cost 0.1.0, "
        "models.nearest-neighbours: modelyard-nearest 0.1.0, "
        "samplers.middle-first: modelyard-middle-first 0.1.0"
    }


def _plugins(paths: Paths) -> set[str]:
    """What MLflow's runs say of plugins: the sweep's and that of each of six trials."""

    def told() -> list[str]:
        with closing(sqlite3.connect(paths.mlflow)) as database:
            query = "SELECT value FROM tags WHERE key = 'modelyard.plugins'"
            return [value for (value,) in database.execute(query)]

    eventually(lambda: len(told()) == 7, "every run is written")
    return set(told())
