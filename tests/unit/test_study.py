"""The Optuna study: asked, reported and told so that every call can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from modelyard.api import TrialState
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.sweep import study_space
from modelyard.sweep.study import SweepStudy

SPACE = {
    "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
    "learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "hidden": {"int": [32, 256], "step": 32},
    "optimizer": {"choice": ["adamw", "sgd"]},
}
SAMPLERS = ("tpe", "random", "grid", "cmaes", "gp", "nsgaii", "qmc")
PRUNERS = ("median", "percentile", "hyperband", "successive-halving", "wilcoxon", "none")
SEVERAL = [{"metric": "accuracy"}, {"metric": "log_loss", "goal": "minimize"}]


def experiment(sampler: Any = "tpe", pruner: Any = "none", trials: int = 20, **more: Any) -> Any:
    document = {
        "name": "s",
        "data": {"source": "sklearn:digits"},
        "search": {"sampler": sampler, "pruner": pruner, "space": SPACE},
        "budget": {"trials": trials},
        "train": {"epochs": 9},
        **more,
    }
    return Experiment.model_validate(document)


def opened(folder: Path, given: Any) -> SweepStudy:
    return SweepStudy(
        storage=f"sqlite:///{folder}/optuna.db",
        name="s",
        experiment=given,
        space=given.search.space,
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_goes_on_after_a_restart(tmp_path: Path, sampler: str) -> None:
    """Half of the trials before a restart and half after it are all different, and all kept."""
    given = experiment(sampler)
    seen = []
    for half in (range(6), range(6, 12)):
        study = opened(tmp_path, given)
        for number in half:
            asked = study.ask(number)
            seen.append(tuple(sorted(asked.parameters.items(), key=str)))
            study.tell(number, TrialState.COMPLETE, [number / 20])
        study.close()
    study = opened(tmp_path, given)
    assert [trial.told for trial in study.trials()] == [TrialState.COMPLETE] * 12
    assert len(set(seen)) == 12
    study.close()


def test_the_space_that_a_study_began_with_stays(tmp_path: Path) -> None:
    """A newer version's default space is another one; the cells of the grid stay where they are."""
    given = experiment("grid")
    first = opened(tmp_path, given)
    cells = [first.ask(number).parameters for number in range(2)]
    first.close()
    narrower = {"hidden": Parameter.model_validate({"int": [32, 64], "step": 32})}
    again = SweepStudy(
        storage=f"sqlite:///{tmp_path}/optuna.db", name="s", experiment=given, space=narrower
    )
    (tmp_path / "other").mkdir()
    one_go = opened(tmp_path / "other", given)

    assert [*cells, again.ask(2).parameters] == [one_go.ask(n).parameters for n in range(3)]
    again.close()
    one_go.close()


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "gp", "nsgaii", "qmc"])
def test_several_objectives_are_told_and_never_pruned(tmp_path: Path, sampler: str) -> None:
    """With two objectives trials are told two values, and a report stops nothing."""
    study = opened(tmp_path, experiment(sampler, "none", objective=SEVERAL))
    for number in range(4):
        study.ask(number)
        assert study.report(number, [(1, 0.5)]) is False
        study.tell(number, TrialState.COMPLETE, [0.5, number])
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/optuna.db")
    assert [trial.values for trial in stored.trials] == [[0.5, n] for n in range(4)]
    study.close()


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_stop_what_lags_behind(tmp_path: Path, pruner: str) -> None:
    """A trial far below all others is stopped by each pruner, and by none never."""
    study = opened(tmp_path, experiment("random", pruner))
    steps = [(step, 0.9 + step / 1000) for step in range(1, 10)]
    for number in range(6):
        study.ask(number)
        study.report(number, steps)
        study.tell(number, TrialState.COMPLETE, [0.95])
    for number in range(6, 10):
        study.ask(number)
    pruned = [
        study.report(number, [(step, 0.1 - step / 1000) for step in range(1, 10)])
        for number in range(6, 10)
    ]
    assert any(pruned) == (pruner != "none")
    study.close()


def test_asking_and_telling_again_changes_nothing(tmp_path: Path) -> None:
    """A repeated ask gives the same trial, a repeated tell keeps the first end."""
    study = opened(tmp_path, experiment())
    first = study.ask(0)
    assert study.ask(0) == first
    study.tell(0, TrialState.COMPLETE, [0.5])
    study.tell(0, TrialState.FAILED)
    study.close()
    again = opened(tmp_path, experiment())
    again.tell(0, TrialState.FAILED)
    assert [trial.told for trial in again.trials()] == [TrialState.COMPLETE]
    again.close()


def test_what_the_sampler_has_learnt_is_stored_when_it_is_told(tmp_path: Path) -> None:
    """Learning ahead of the tell stores nothing: a server that ends in between tells it again."""
    study = opened(tmp_path, experiment())
    study.ask(0)
    study.learn(0, TrialState.COMPLETE, [0.5])
    study.learn(0, TrialState.COMPLETE, [0.5])
    study.ask(1)
    study.close()
    again = opened(tmp_path, experiment())
    before = [trial.told for trial in again.trials()]
    again.learn(0, TrialState.COMPLETE, [0.5])
    again.tell(0, TrialState.COMPLETE, [0.5])
    again.close()
    last = opened(tmp_path, experiment())

    assert before == [None, None]
    assert [trial.told for trial in last.trials()] == [TrialState.COMPLETE, None]
    last.close()


def test_trials_that_are_asked_for_together_are_those_asked_for_one_by_one(tmp_path: Path) -> None:
    """Several at once have the same parameters, stored under the same numbers; those that were
    there already stay."""
    (tmp_path / "one").mkdir()
    (tmp_path / "several").mkdir()
    single, several = (
        opened(tmp_path / "one", experiment()),
        opened(tmp_path / "several", experiment()),
    )
    expected = [single.ask(number) for number in range(5)]
    asked = several.ask_several(0, 2)
    while len(asked) < 5:
        asked += several.ask_several(len(asked), 5 - len(asked))
    assert asked == expected
    assert several.ask_several(0, 5) == expected
    for study in (single, several):
        study.close()
    stored = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/several/optuna.db")
    assert [trial.number for trial in stored.trials] == list(range(5))
    assert [trial.params for trial in stored.trials] == [one.parameters for one in expected]
    assert opened(tmp_path / "several", experiment()).trials() == expected


def test_ends_are_kept_in_our_own_words(tmp_path: Path) -> None:
    """After a restart cancelled isn't taken for failed, nor infeasible for pruned."""
    ends = [
        TrialState.CANCELLED,
        TrialState.FAILED,
        TrialState.INFEASIBLE,
        TrialState.PRUNED,
    ]
    study = opened(tmp_path, experiment())
    for number, end in enumerate(ends):
        study.ask(number)
        study.tell(number, end)
    study.close()
    study = opened(tmp_path, experiment())
    assert [trial.told for trial in study.trials()] == ends
    study.close()


def test_a_crash_while_asking_leaves_no_half_trial(tmp_path: Path) -> None:
    """A study that died before it stored a sampled trial starts again without it."""
    study = opened(tmp_path, experiment())
    study.ask(0)
    study._sample(1)
    study.close()
    again = opened(tmp_path, experiment())
    assert [trial.number for trial in again.trials()] == [0]
    assert again.ask(1).number == 1
    again.close()


def test_an_out_of_memory_region_is_avoided(tmp_path: Path) -> None:
    """TPE learns from infeasible trials: most of what it then proposes fits."""
    study = opened(tmp_path, experiment({"name": "tpe", "startup_trials": 10}))
    infeasible = 0
    for number in range(40):
        hidden = study.ask(number).parameters["hidden"]
        assert isinstance(hidden, int)
        if hidden > 96:
            infeasible += number >= 20
            study.tell(number, TrialState.INFEASIBLE)
        else:
            study.tell(number, TrialState.COMPLETE, [hidden / 256])
    study.close()
    assert infeasible < 8


def test_a_grid_asks_each_active_cell_once(tmp_path: Path) -> None:
    """Cells that differ only in a parameter that doesn't exist there are one cell."""
    given = experiment({"name": "grid", "steps": 2}, trials=1000)
    study = opened(tmp_path, given)
    # 2 learning rates x 8 sizes x (adamw + sgd with 2 momenta)
    assert study.cells == 2 * 8 * 3
    asked = [tuple(study.ask(number).parameters.items()) for number in range(5)]
    assert len(set(asked)) == 5
    listed = study_space.cells(given.search.space, steps=2, seed=given.seed, limit=1000)
    assert len({tuple(cell.items()) for cell in listed}) == 48
    assert all(("momentum" in cell) == (cell["optimizer"] == "sgd") for cell in listed)
    study.close()


def test_parameters_exist_only_under_their_condition(tmp_path: Path) -> None:
    """Momentum is sampled for sgd alone, although it stands first in the space."""
    study = opened(tmp_path, experiment("random"))
    asked = [study.ask(number).parameters for number in range(12)]
    assert {("momentum" in one, one["optimizer"]) for one in asked} == {
        (True, "sgd"),
        (False, "adamw"),
    }
    study.close()


def test_steps_that_do_not_meet_the_upper_bound_end_below_it() -> None:
    """A step of 0.1 up to 0.35 ends at 0.3, and 0.3 is met in spite of rounding."""
    below = Parameter.model_validate({"float": [0.0, 0.35], "step": 0.1})
    met = Parameter.model_validate({"float": [0.0, 0.3], "step": 0.1})
    for parameter in (below, met):
        assert study_space.grid_values(parameter, 5) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_sampler_that_fails_leaves_no_half_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has failed nothing more is asked for; a new start goes on with the same number."""

    def out_of_ideas(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of ideas")

    given = experiment("random")
    study = opened(tmp_path, given)
    study.ask(0)
    with monkeypatch.context() as broken:
        broken.setattr(optuna.samplers.RandomSampler, "sample_independent", out_of_ideas)
        with pytest.raises(RuntimeError, match="out of ideas"):
            study.ask(1)
    with pytest.raises(RuntimeError, match="out of ideas"):
        study.ask_several(1, 2)
    study.close()

    study = opened(tmp_path, given)
    assert [trial.number for trial in study.trials()] == [0]
    assert set(study.ask(1).parameters) >= {"learning_rate", "hidden", "optimizer"}
    study.close()
