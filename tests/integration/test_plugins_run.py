"""``modelyard run`` with an experiment that is made of installed plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from modelyard.settings import Paths
from tests.support.home import command, document, whole_home
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
        answer = httpx.post(f"{found['serving']['address']}/invocations", json=row).json()
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
    client = MlflowClient(f"sqlite:///{paths.mlflow}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert len(runs) == 7  # the sweep's and six trials'
    return {run.data.tags.get("modelyard.plugins", "") for run in runs}
