"""``modelyard check``: all mistakes at once with a look at the data, or what would be run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelyard.cli.check import check_command, load_checked
from modelyard.cli.views import CheckView
from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment.model import Experiment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table of 200 rows."""
    rows = [f"c{i},{20 + i % 50},{'abc'[i % 3]},{'yes' if i % 3 else 'no'}" for i in range(200)]
    (tmp_path / "churn.csv").write_text("\n".join(["id,age,plan,churned", *rows, ""]))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    """An experiment file in the folder."""
    file = folder / "churn.yaml"
    file.write_text(text)
    return file


def mistakes(file: Path, *sets: str) -> dict[str, Mistake]:
    """Every mistake of a file by path."""
    with pytest.raises(ExperimentError) as caught:
        load_checked(file, sets)
    found = caught.value.mistakes
    assert len({m.path for m in found}) == len(found)
    return {m.path: m for m in found}


GOOD = "name: churn\ndata: {source: churn.csv, target: churned, drop: [id]}\n"


def test_a_checked_experiment_is_ready_to_run(folder: Path) -> None:
    """The source is absolute, the space is filled in, family and reason are known."""
    checked = load_checked(written(folder, GOOD), ["budget.trials=3"])
    assert checked.experiment.data.source == str(folder / "churn.csv")
    assert checked.family == "random-forest"
    assert "200 rows" in checked.catalogue.why
    assert set(checked.space) == {"n_estimators", "max_depth", "min_samples_leaf", "max_features"}
    assert checked.trials == 3
    assert Experiment.model_validate(checked.experiment.to_document()) == checked.experiment


def test_what_the_file_fixes_is_not_searched(folder: Path) -> None:
    """A value under train or model.parameters leaves the family's own space."""
    file = written(folder, GOOD + "model: {family: mlp, parameters: {layers: 2}}\n")
    checked = load_checked(file, ["train.learning_rate=0.01"])
    assert checked.space.keys() & {"layers", "learning_rate"} == set()
    assert "hidden" in checked.space


def test_mistakes_of_shape_rules_and_data_are_told_together(folder: Path) -> None:
    """One answer holds all of them, each with its line, none twice."""
    file = written(
        folder,
        """\
name: Churn
data:
  source: churn.csv
  target: churned
  drop: [idd]
model: mlp
objective: {metric: r2}
search:
  pruner: wilcoxon
  space:
    hiden: {int: [8, 16]}
    layers: {int: [3, 1]}
budget: {trials: 0}
""",
    )
    found = mistakes(file)
    assert {path: m.line for path, m in found.items()} == {
        "name": 1,
        "data.drop.0": 5,
        "objective.metric": 7,
        "search.pruner": 9,
        "search.space.hiden": 11,
        "search.space.layers": 12,
        "budget.trials": 13,
    }
    assert found["data.drop.0"].nearest == "id"


def test_a_wrong_target_names_the_columns(folder: Path) -> None:
    """The nearest column is offered, and the rest is judged all the same."""
    found = mistakes(written(folder, GOOD), "data.target=churn", "model=mlpp", "seed=-1")
    assert found["data.target"].nearest == "churned"
    assert found.keys() == {"data.target", "model", "seed"}


def test_a_table_without_target_is_asked_for_one(folder: Path) -> None:
    """The columns are listed."""
    found = mistakes(written(folder, "name: churn\ndata: {source: churn.csv}\n"))
    assert found["data.target"].valid == ("id", "age", "plan", "churned")


def test_data_that_is_not_there_is_one_mistake(folder: Path) -> None:
    """The file's name is answered with a near one, beside the other mistakes."""
    found = mistakes(written(folder, GOOD), "data.source=chrun.csv", "model=mlpp")
    assert found.keys() == {"data.source", "model"}
    assert found["data.source"].nearest == "churn.csv"


def test_unsupported_data_is_not_looked_for(folder: Path) -> None:
    """A named set is refused once, not also as a file that is missing."""
    assert mistakes(written(folder, GOOD), "data.source=mnist").keys() == {"data.source"}


def test_a_registered_version_is_looked_up_where_it_can_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server runs for a look alone: the run's start tells, which is said."""
    monkeypatch.setenv("MODELYARD_HOME", str(folder / "home"))
    model = "model: {family: cnn, weights: models:/digits/1}"
    checked = load_checked(written(folder, f"name: a\ndata: {{source: sklearn:digits}}\n{model}\n"))
    assert checked.experiment.model.weights is not None
    assert checked.experiment.model.weights.source == "models:/digits/1"
    assert any("models:/digits/1 is looked up when a run starts" in n for n in checked.notes)
    assert not (folder / "home").exists()


def test_a_grid_larger_than_its_cells_is_cut_and_said(folder: Path) -> None:
    """The number of trials is that of the cells."""
    sets = ["search.sampler=grid", "model=mlp", "search.space={layers: [1, 2, 3]}"]
    checked = load_checked(written(folder, GOOD), sets)
    assert checked.trials == 3
    assert "3 cells" in checked.notes[0]


@pytest.mark.parametrize("family", ["auto", "mlp"])
def test_the_space_of_data_that_only_the_server_sees_is_left_to_it(
    family: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named family's is sent no more than that of ``auto``, and no grid over it is counted."""
    sets = ["data.source=s3://bucket/a.csv", f"model={family}", "search.sampler={name: grid}"]
    sets += ["search.sampler.steps=3", "budget.trials=30"]
    checked = load_checked(written(folder, GOOD), sets)
    assert checked.experiment.search.space is None
    assert (checked.trials, checked.notes) == (30, ())
    check_command(checked.file, sets, json_output=False)
    assert "fitted to the data once" in " ".join(capsys.readouterr().out.split())


def test_what_a_sampler_draws_at_random_is_said(folder: Path) -> None:
    """CMA-ES can't follow choices: a note names them."""
    space = "search.space={layers: [1, 2], hidden: {int: [8, 16]}}"
    checked = load_checked(written(folder, GOOD), ["search.sampler=cmaes", "model=mlp", space])
    assert checked.notes == ("cmaes draws layers at random.",)


@pytest.mark.parametrize(
    ("sets", "notes"),
    [
        (
            ["train={epochs: 3, learning_rate: 0.01}"],
            "random-forest is fitted in one go: train.epochs, train.learning_rate are not looked "
            "at.",
        ),
        (
            ["search.epochs=3", "search.pruner=hyperband"],
            "random-forest is fitted in one go: search.epochs, search.pruner are not looked at.",
        ),
        (["search.pruner=none"], None),
        (
            ["model=mlp", "train.momentum=0.5"],
            "momentum is for sgd, rmsprop and muon, and no trial trains with one: train.momentum "
            "is not looked at.",
        ),
        (["model=mlp", "train={momentum: 0.5, optimizer: sgd}"], None),
        (["model=mlp", "train.momentum=0.5", "search.space={optimizer: [adam, sgd]}"], None),
        (["model=mlp", "train.epochs=3", "search={epochs: 2, pruner: hyperband}"], None),
        (
            ["model=mlp", "train.batch_size=1000"],
            "train.batch_size 1,000 is more than the 140 rows or so that are learnt "
            "from: each epoch is one step. Make it smaller to have more of them.",
        ),
        (["model=mlp", "train.batch_size=1000", "search.space={batch_size: [8, 16]}"], None),
        (
            ["model=mlp", "train.batch_size=137", "data.folds=5"],
            "train.batch_size 137 is more than the 136 rows or so that are learnt "
            "from: each epoch is one step. Make it smaller to have more of them.",
        ),
        (["model=mlp", "train.batch_size=136", "data.folds=5"], None),
        (
            ["model=mlp", "train.batch_size=114", "data.folds=2", "data.split.by={time: age}"],
            "train.batch_size 114 is more than the 113 rows or so that are learnt "
            "from: each epoch is one step. Make it smaller to have more of them.",
        ),
        (
            ["train.batch_size=1000"],
            "random-forest is fitted in one go: train.batch_size is not looked at.",
        ),
    ],
)
def test_keys_that_change_nothing_are_said(
    folder: Path, sets: list[str], notes: str | None
) -> None:
    """A note names what the chosen family doesn't look at; the file can be run all the same."""
    checked = load_checked(written(folder, GOOD), sets)
    assert checked.notes == (() if notes is None else (notes,))


def test_the_size_limit_is_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MODELYARD_EXPERIMENT_LIMIT_BYTES decides how large a file is read."""
    monkeypatch.setenv("MODELYARD_EXPERIMENT_LIMIT_BYTES", "10")
    with pytest.raises(InputError, match="at most 10"):
        load_checked(written(folder, GOOD))


def test_the_summary_tells_data_family_space_and_trials(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people, and as one document with --json."""
    file = written(folder, GOOD)
    check_command(file, ["name=other"], json_output=False)
    text = " ".join(capsys.readouterr().out.split())
    for words in ("200 rows", "churned, 2 classes", "random-forest", "20 trials", "max_depth"):
        assert words in text
    check_command(file, ["data.folds=5", "data.repeats=2"], json_output=False)
    assert "20 trials of 10 fits each, sampler tpe" in " ".join(capsys.readouterr().out.split())
    check_command(file, [], json_output=True)
    view = CheckView.model_validate_json(capsys.readouterr().out)
    assert (view.family, view.trials, view.data["rows"]) == ("random-forest", 20, 200)


@pytest.mark.parametrize("name", ["digits", "churn", "diabetes", "text", "finetune"])
def test_examples_can_be_run(name: str) -> None:
    """Each example passes its check."""
    checked = load_checked(ROOT / "examples" / f"{name}.yaml")
    assert checked.experiment.name == {"text": "docstrings"}.get(name, name)
    assert json.loads(checked.view().model_dump_json())["trials"] == checked.trials
