"""Questions about a space, held against Optuna where it decides."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from modelyard.experiment.model import Experiment
from modelyard.experiment.rules.search import drawn_at_random
from modelyard.experiment.search import Parameter
from modelyard.experiment.space import (
    as_written,
    cells,
    effective_space,
    grid_cells,
    is_possible,
    last_step,
)
from modelyard.models.families import FAMILIES

RELAXED = settings(max_examples=60)
"""No example is timed, as a busy machine would fail it."""

OWN = {"learning_rate": Parameter(float=(0.1, 1)), "layers": Parameter(int=(1, 3))}
MLP = replace(FAMILIES["mlp"], space=OWN)


def experiment(**sections: Any) -> Experiment:
    """An experiment with these sections."""
    return Experiment.model_validate({"name": "a", "data": {"source": "x"}, **sections})


def test_the_familys_space_gives_way_to_what_the_file_fixes() -> None:
    """The file's space counts alone; else the family's, without keys that the file sets."""
    own = {"hidden": Parameter(choice=(1, 2))}
    assert effective_space(experiment(search={"space": own}), MLP) == own
    assert effective_space(experiment(), MLP) == OWN
    assert effective_space(experiment(), None) == {}
    fixed = experiment(train={"learning_rate": 0.001}, model={"parameters": {"layers": 2}})
    assert effective_space(fixed, MLP) == {}


def test_train_fixes_nothing_of_trees() -> None:
    """Their learning rate bears the name of a key of ``train`` and is another one."""
    boosting = replace(FAMILIES["gradient-boosting"], space=OWN)
    assert effective_space(experiment(train={"learning_rate": 0.001}), boosting) == OWN


def test_a_whole_document_fixes_only_what_differs_from_defaults() -> None:
    """A form sends every key: those at their default are searched all the same."""
    document = experiment(train={"dropout": 0.3}).to_document()
    assert effective_space(Experiment.model_validate(document), MLP) == OWN
    document["train"]["learning_rate"] = 0.5
    assert effective_space(Experiment.model_validate(document), MLP).keys() == {"layers"}


def test_keys_that_were_noted_are_fixed_at_their_default_too() -> None:
    """A whole document with the keys that its file had is as it was read."""
    document = Experiment.model_validate(experiment().to_document())
    again = as_written(document, ("learning_rate",))
    assert effective_space(again, MLP).keys() == {"layers"}
    assert again == document
    assert effective_space(as_written(document, None), MLP) == OWN


@pytest.mark.parametrize(
    ("parameter", "value", "possible"),
    [
        (Parameter(choice=("a", 1, True)), "a", True),
        (Parameter(choice=("a", 1)), True, False),
        (Parameter(choice=(1,)), 1.0, False),
        (Parameter(int=(1, 9), step=4), 5, True),
        (Parameter(int=(1, 9), step=4), 6, False),
        (Parameter(int=(1, 9)), 2.5, False),
        (Parameter(int=(1, 9)), "2", False),
        (Parameter(float=(0.1, 0.7), step=0.2), 0.5, True),
        (Parameter(float=(0.1, 0.7), step=0.2), 0.6, False),
        (Parameter(float=(0, 1)), 1.1, False),
    ],
)
def test_possible_values(parameter: Parameter, value: Any, possible: bool) -> None:
    """A condition's value is compared by type, bounds and step."""
    assert is_possible(parameter, value) is possible


@RELAXED
@given(
    low=st.integers(-50, 50),
    length=st.integers(0, 100),
    step=st.integers(1, 40),
    tenth=st.booleans(),
)
def test_last_step_is_where_optuna_ends(low: int, length: int, step: int, tenth: bool) -> None:
    """The upper bound that Optuna would silently lower is found, for tenths as for integers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna says when it lowers the bound
        if tenth:
            bounds = (low / 10, (low + length) / 10)
            high = FloatDistribution(*bounds, step=step / 10).high
            parameter = Parameter(float=bounds, step=step / 10)
        else:
            bounds = (low, low + length)
            high = IntDistribution(*bounds, step=step).high
            parameter = Parameter(int=bounds, step=step)
    end = last_step(parameter)
    assert (bounds[1] if end is None else end) == pytest.approx(high)


def test_cells_of_a_dimension() -> None:
    """Choices, whole numbers and steps are counted; a float needs to be told."""
    assert cells(Parameter(choice=("a", "b", "c")), None) == 3
    assert cells(Parameter(int=(1, 9), step=4), None) == 3
    assert cells(Parameter(float=(0, 0.3), step=0.1), None) == 4
    assert cells(Parameter(float=(0, 1)), None) is None
    assert cells(Parameter(float=(0, 1)), 5) == 5
    assert cells(Parameter(float=(1, 1)), 5) == 1


@RELAXED
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    conditions=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=4),
)
def test_grid_cells_counts_each_active_cell_once(
    sizes: list[int], conditions: list[tuple[int, int]]
) -> None:
    """Cells that differ only in inactive dimensions are one."""
    names = [f"p{index}" for index in range(len(sizes))]
    space = {}
    for index, (name, size) in enumerate(zip(names, sizes, strict=True)):
        when = {}
        if index < len(conditions) and conditions[index][0] < index:
            other, value = conditions[index]
            when = {names[other]: value % sizes[other]}
        space[name] = Parameter(choice=tuple(range(size)), when=when)
    active = set()
    for values in itertools.product(*(range(size) for size in sizes)):
        kept: dict[str, int] = {}
        for name, value in zip(names, values, strict=True):
            if all(kept.get(other) == wanted for other, wanted in space[name].when.items()):
                kept[name] = value
        active.add(tuple(sorted(kept.items())))
    assert grid_cells(space, None) == len(active)


SPACE = {
    "rate": Parameter(float=(0.1, 1)),
    "units": Parameter(int=(1, 9)),
    "kind": Parameter(choice=("a", "b")),
    "momentum": Parameter(float=(0.1, 1), when={"kind": "a"}),
}
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(0.1, 1),
    "units": IntDistribution(1, 9),
    "kind": CategoricalDistribution(("a", "b")),
}
SAMPLERS = {
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_drawn_at_random_is_what_optunas_sampler_leaves_out(name: str) -> None:
    """After trials with and without the condition, the sampler's own space is what we say."""
    sampler = SAMPLERS[name]()
    study = optuna.create_study(sampler=sampler)
    for kind in ("b", "a", "b"):
        parameters = {"rate": 0.5, "units": 3, "kind": kind}
        distributions = dict(DISTRIBUTIONS)
        if kind == "a":
            parameters["momentum"] = 0.5
            distributions["momentum"] = FloatDistribution(0.1, 1)
        study.add_trial(
            optuna.create_trial(params=parameters, distributions=distributions, value=1.0)
        )
    followed = sampler.infer_relative_search_space(study, study.trials[0])
    assert set(drawn_at_random(name, SPACE)) == SPACE.keys() - followed.keys()
