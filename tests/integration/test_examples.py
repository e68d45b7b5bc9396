"""Every example, from its file to a registered model, in one home and on small data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.settings import Paths
from tests.support.home import command, document, whole_home
from tests.support.published import write_kepler

EXAMPLES = Path(__file__).parents[2] / "examples"

FILES = sorted(
    str(file.relative_to(EXAMPLES).with_suffix(""))
    for file in EXAMPLES.rglob("*.yaml")
    if "plugins" not in file.parts  # those need packages of their own
)

TRIALS = 2

SMALL = (f"budget.trials={TRIALS}", "train.epochs=2", "gates=[]", "explain=null")
"""Few and short trials of which no gate is to be expected."""

FURTHER = {
    "diabetes": ("search.space={n_estimators: [5, 10], max_depth: [1, 4]}", "deploy=null"),
    "finetune": ("model.weights.unfreeze_after=1", "deploy=null"),
    "kepler": ("search.space={max_iter: [5, 10]}", "deploy=null"),
    "own_model/own": ("deploy=null",),
    "churn": ("deploy=null",),
    "text": ("search.space={hidden: [8, 16]}", "deploy=null"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """One home for all of them, and a folder with published sets beside it."""
    folder = tmp_path_factory.mktemp("examples")
    write_kepler(folder / "sets" / "kepler", rows=240)
    with whole_home(folder) as paths:
        yield paths


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_an_example_ends_with_a_champion(home: Paths, name: str) -> None:
    """Each file goes through every stage; what is shortened is said with ``--set`` alone."""
    sets = [word for one in (*SMALL, *FURTHER.get(name, ())) for word in ("--set", one)]
    sources = {"MODELYARD_DATASETS": str(home.home.parent / "sets")}

    done = command(home, "run", str(EXAMPLES / f"{name}.yaml"), "--json", *sets, variables=sources)

    assert done.returncode == 0, done.stderr
    told = document(done)
    assert told["sweep"]["state"] == "complete"
    counts = told["sweep"]["counts"]
    assert counts["complete"] >= 1
    assert counts["complete"] + counts["pruned"] == TRIALS
    assert told["version"]["aliases"] == ["champion"]
    if name == "diabetes":
        assert told["sweep"]["best"]["metrics"]["rmse_std"] > 0
    if name == "finetune":
        _start_from_it(home, sets, told["version"])
    if "deploy=null" not in FURTHER.get(name, ()):
        assert told["serving"]["address"].startswith("http://127.0.0.1:")


def _start_from_it(home: Paths, sets: list[str], version: dict[str, Any]) -> None:
    """The registered version is what another run starts from, and an unknown one what none does."""
    file = str(EXAMPLES / "finetune.yaml")
    again = (*sets, "--set", "name=again", "--set", "budget.trials=1", "--set")
    unknown = command(home, "run", file, *again, "model.weights.source=models:/finetun/1")
    done = command(
        home, "run", file, "--json", *again, "model.weights.source=models:/finetune@champion"
    )

    assert unknown.returncode == 2
    assert "model.weights.source (line 13): there is no model 'finetun'" in unknown.stderr
    assert "did you mean 'finetune'?" in unknown.stderr
    assert done.returncode == 0, done.stderr
    tags = document(done)["version"]["tags"]
    assert tags["modelyard.weights"] == version["uri"]
    assert tags["modelyard.weights_digest"] == version["tags"]["modelyard.digest"]


def test_every_example_is_told_of() -> None:
    """The page beside them has each of them in two sentences."""
    rows = [
        line.split("|")
        for line in (EXAMPLES / "README.md").read_text().splitlines()
        if line.startswith("| [")
    ]
    told = {row[1].split("`")[1]: row[3].strip() for row in rows}

    assert set(FILES) <= set(told)
    assert all((EXAMPLES / f"{name}.yaml").exists() for name in told)
    assert all(text.count(". ") == 1 and text.endswith(".") for text in told.values())
