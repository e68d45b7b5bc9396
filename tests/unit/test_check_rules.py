"""Rules across fields: each mistake by itself, and none where the file is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelyard.errors import Mistake
from modelyard.evaluate.catalogue import METRICS
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.model import Experiment
from modelyard.experiment.rules.family import LOSSES
from modelyard.experiment.rules.search import BOUNDS, SCHEDULE_OPTIONS
from modelyard.experiment.search import PRUNER_OPTIONS, SAMPLER_OPTIONS
from modelyard.models.families import FAMILIES

COLUMNS = ("age", "plan", "when", "churned")
CLASSES = Catalogue(
    families=FAMILIES,
    metrics=METRICS,
    columns=COLUMNS,
    kind="table",
    task="classification",
    chosen="mlp",
)
NUMBERS = replace(CLASSES, task="regression")
SHARES = ("accuracy", "balanced_accuracy", "f1", "precision", "recall")


def found(raw: dict[str, Any], catalogue: Catalogue = CLASSES) -> dict[str, Mistake]:
    """Mistakes of a file with a sound data section, by path."""
    whole = {"name": "a", "data": {"source": "a.csv", "target": "churned"}, **raw}
    mistakes = check(Experiment.model_validate(whole), catalogue, whole)
    assert len({m.path for m in mistakes}) == len(mistakes)
    return {m.path: m for m in mistakes}


def only(raw: dict[str, Any], catalogue: Catalogue = CLASSES) -> Mistake:
    """The one mistake of a file."""
    (mistake,) = found(raw, catalogue).values()
    return mistake


def space(**dimensions: Any) -> dict[str, Any]:
    """A file that searches these."""
    return {"search": {"space": dimensions}}


def test_whole_numbers_beyond_every_store_are_mistakes() -> None:
    """Each is named where it stands, in lists and among options too."""
    raw = {
        "budget": {"trials": 10**20},
        "search": {
            "sampler": {"name": "tpe", "startup_trials": 10**20},
            "space": {"batch_size": [32, 2**53 + 1]},
        },
    }

    mistakes = found(raw)

    assert mistakes["budget.trials"].value == 10**20
    assert "9,007,199,254,740,992" in mistakes["search.sampler.startup_trials"].message
    assert mistakes["search.space.batch_size.1"].value == 2**53 + 1
    assert found({"budget": {"trials": 2**53}}) == {}


def test_a_real_number_may_be_written_as_a_whole_one() -> None:
    """As JavaScript writes 1e20; where whole numbers are asked for, it is still too large."""
    assert found(space(learning_rate={"float": [1, 10**20]})) == {}
    assert list(found(space(batch_size={"int": [1, 10**20]}))) == ["search.space.batch_size.int.1"]


def test_a_sound_experiment_has_no_mistakes() -> None:
    """A file that uses most keys rightly gets an empty answer."""
    raw = {
        "data": {
            "source": "a.csv",
            "target": "churned",
            "drop": ["age"],
            "split": {"by": {"time": "when"}},
        },
        "model": {"family": "mlp", "parameters": {"activation": "relu"}},
        "objective": {"metric": "log_loss", "goal": "minimize"},
        "search": {
            "sampler": {"name": "tpe", "startup_trials": 5},
            "pruner": {"name": "hyperband", "min_epochs": 2},
            "space": {
                "learning_rate": {"float": [1e-4, 1e-1], "log": True},
                "hidden": {"int": [32, 256], "step": 32},
                "dropout": {"float": [0.0, 0.5], "step": 0.1},
                "optimizer": ["adamw", "sgd"],
                "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
                "schedule": ["cosine", "constant"],
                "batch_size": [32, 64],
            },
        },
        "train": {"schedule": {"name": "step", "every": 3, "factor": 0.5}},
        "gates": [
            {"metric": "accuracy", "at_least": 0.9},
            {"metric": "log_loss", "at_most": 3},
        ],
    }
    assert found(raw) == {}


def test_unknown_columns_are_mistakes_with_the_nearest() -> None:
    """Target, dropped, group and time columns must be in the data."""
    raw = {"data": {"source": "a.csv", "target": "churn", "drop": ["age", "plam"]}}
    mistakes = found(raw)
    assert {p: m.nearest for p, m in mistakes.items()} == {
        "data.target": "churned",
        "data.drop.1": "plan",
    }
    assert mistakes["data.target"].valid == COLUMNS
    by = {"data": {"source": "a", "target": "churned", "split": {"by": {"group": "plans"}}}}
    assert (only(by).path, only(by).nearest) == ("data.split.by.group", "plan")


@pytest.mark.parametrize("source", ["a.csv", "A.TSV", "a.parquet", "a.npz"])
def test_a_table_of_one_column(source: str) -> None:
    """What parts cells is said of files that have it only."""
    raw = {"data": {"source": source, "target": "y"}}
    said = only(raw, replace(CLASSES, columns=("a;y",))).message
    assert "its only one is 'a;y'" in said
    assert ("cells are parted by" in said) == source.lower().endswith("sv")


def test_a_table_needs_a_target_of_its_own() -> None:
    """Left out it is asked for, unless the source says; dropped or grouped by it is refused."""
    assert only({"data": {"source": "a.csv"}}).path == "data.target"
    assert found({"data": {"source": "a.csv"}}, replace(CLASSES, own_target=True)) == {}
    dropped = {"data": {"source": "a.csv", "target": "churned", "drop": ["churned"]}}
    assert only(dropped).path == "data.drop.0"
    by = {"data": {"source": "a", "target": "churned", "split": {"by": {"group": "churned"}}}}
    assert only(by).path == "data.split.by.group"


@pytest.mark.parametrize(
    ("objective", "path", "words", "catalogue"),
    [
        ({"metric": "acuracy"}, "objective.metric", "did you mean 'accuracy'", CLASSES),
        ({"metric": "r2"}, "objective.metric", "has classes", CLASSES),
        ({"metric": "rmse"}, "objective.goal", "write goal: minimize", NUMBERS),
        (
            [{"metric": "accuracy"}, {"metric": "f1", "goal": "minimize"}],
            "objective.1.goal",
            "better when higher",
            CLASSES,
        ),
        ([{"metric": "f1"}, {"metric": "f1"}], "objective.1.metric", "already", CLASSES),
    ],
)
def test_objectives_fit_task_and_direction(
    objective: Any, path: str, words: str, catalogue: Catalogue
) -> None:
    """A metric must exist, be computable for the task, and be improved in its good direction."""
    mistake = only({"objective": objective}, catalogue)
    assert mistake.path == path
    assert words in mistake.message


@pytest.mark.parametrize(
    ("objective", "path", "valid", "catalogue"),
    [
        ({"metric": "rmse", "goal": "minimize"}, "objective.metric", ("r2",), NUMBERS),
        ({"metric": "log_loss", "goal": "minimize"}, "objective.metric", ("accuracy",), CLASSES),
        ([{"metric": "accuracy"}, {"metric": "f1"}], "search.mode", ("simple",), CLASSES),
    ],
)
def test_health_is_weighed_against_one_metric_of_its_kind(
    objective: Any, path: str, valid: tuple[str, ...], catalogue: Catalogue
) -> None:
    """health-aware takes one metric that is maximised and lies in 0 … 1; R² is clipped."""
    search = {"mode": "health-aware", "pruner": "none"}
    mistake = only({"objective": objective, "search": search}, catalogue)
    assert (mistake.path, set(valid) <= set(mistake.valid)) == (path, True)
    assert "mode: simple" in mistake.message
    assert found({"objective": {"metric": "accuracy"}, "search": search}) == {}
    assert found({"objective": {"metric": "r2"}, "search": search}, NUMBERS) == {}


def test_the_default_objective_is_judged_as_well() -> None:
    """Accuracy, the default, is a mistake on a target that is a number."""
    mistake = only({}, NUMBERS)
    assert mistake.path == "objective.metric"
    assert mistake.valid == ("mae", "rmse", "mse", "r2", "loss")


def test_a_loss_that_is_searched_is_no_objective() -> None:
    """Trials with different losses have values of different units; a fixed loss compares."""
    loss = {"objective": {"metric": "loss", "goal": "minimize"}}
    mistake = only({**loss, **space(loss={"choice": ["mse", "mae"]})}, NUMBERS)
    assert (mistake.path, mistake.valid) == ("objective.metric", ("mae", "rmse", "mse", "r2"))
    assert found(loss, NUMBERS) == {}


def test_the_loss_is_no_gate() -> None:
    """It is in the training's own unit; the metrics that can be bounded are named."""
    mistake = only({"gates": [{"metric": "loss", "at_most": 1}]})
    assert mistake.path == "gates.0.metric"
    assert mistake.valid == (*SHARES, "auc", "log_loss", "calibration_error")


@pytest.mark.parametrize(
    ("gate", "path", "words"),
    [
        ({"metric": "acuracy", "at_least": 1}, "gates.0.metric", "did you mean 'accuracy'"),
        ({"metric": "mae", "at_most": 1}, "gates.0.metric", "this is classification"),
        ({"metric": "log_loss", "at_least": 1}, "gates.0.at_least", "write at_most"),
        ({"metric": "accuracy", "at_most": 1}, "gates.0.at_most", "write at_least"),
        ({"metric": "accuracy", "at_least": 95}, "gates.0.at_least", "between 0 and 1"),
    ],
)
def test_gates_fit_task_and_direction(gate: dict[str, Any], path: str, words: str) -> None:
    """A gate's metric must exist and fit, its bound be on the right side and reachable."""
    mistake = only({"gates": [gate]})
    assert mistake.path == path
    assert words in mistake.message


@pytest.mark.parametrize(
    ("dimensions", "path", "words"),
    [
        ({"hiden": [1, 2]}, "search.space.hiden", "did you mean 'hidden'"),
        ({"max_depth": [1, 2]}, "search.space.max_depth", "random-forest, xgboost have it"),
        ({"epochs": [1, 2]}, "search.space.epochs", "train.epochs can't be searched"),
        ({"optimizer": ["adam", "rmspropp"]}, "search.space.optimizer.1", "'rmspropp' is not"),
        ({"hidden": {"int": [0, 9]}}, "search.space.hidden.int.0", "0 is below 1"),
        ({"hidden": {"float": [1, 9]}}, "search.space.hidden.float", "write int instead"),
        ({"activation": ["relu", "rela"]}, "search.space.activation.1", "none of relu"),
        ({"batch_size": [16, 32.5]}, "search.space.batch_size.1", "not a whole number"),
        ({"momentum": {"float": [0.5, 1.0]}}, "search.space.momentum.float.1", "below 1"),
        ({"layers": [1, 2, 1]}, "search.space.layers.2", "stands there already"),
        (
            {"dropout": {"float": [0, 0.5], "step": 0.2}},
            "search.space.dropout.step",
            "end at 0.4",
        ),
        ({"hidden": {"int": [8, 30], "step": 8}}, "search.space.hidden.step", "end at 24"),
    ],
)
def test_dimensions_are_keys_with_values_that_they_take(
    dimensions: dict[str, Any], path: str, words: str
) -> None:
    """A name of the space must be searchable here, and each value or bound valid for it."""
    mistake = only(space(**dimensions))
    assert mistake.path == path
    assert words in mistake.message


def test_a_range_over_values_that_a_parameter_lacks_is_a_mistake() -> None:
    """A kernel is 3, 5 or 7: a range must step over 4 and 6."""
    images = replace(CLASSES, kind="image", chosen="cnn", columns=None)
    assert "use choice" in only(space(kernel={"int": [3, 7]}), images).message
    assert found(space(kernel={"int": [3, 7], "step": 2}), images) == {}


def test_a_family_that_is_fitted_in_one_go_takes_no_notice_of_train() -> None:
    """Searching a key of train for a forest is told as what it is, with why it was chosen."""
    trees = replace(CLASSES, chosen="random-forest", why="The family is random-forest, because.")
    mistake = only(space(optimizer=["adam", "sgd"]), trees)
    assert "takes no notice of train.optimizer" in mistake.message
    assert mistake.message.endswith("The family is random-forest, because.")


def test_without_a_family_any_familys_parameter_may_be_searched() -> None:
    """When the data couldn't be read, only names that no family has are mistakes."""
    unknown = Catalogue(families=FAMILIES, metrics=METRICS)
    assert found(space(hidden=[8, 16], max_depth=[2, 3], dropout=[0.1, 0.2]), unknown) == {}
    assert only(space(hiden=[8, 16]), unknown).nearest == "hidden"


@pytest.mark.parametrize(
    ("when", "path", "words"),
    [
        ({"hidden": 16}, "search.space.hidden.when.hidden", "of itself"),
        ({"optimiser": "sgd"}, "search.space.hidden.when.optimiser", "mean 'optimizer'"),
        ({"optimizer": "adam"}, "search.space.hidden.when.optimizer", "never is 'adam'"),
        ({"layers": 4}, "search.space.hidden.when.layers", "never is 4"),
        ({"layers": 1.5}, "search.space.hidden.when.layers", "never is 1.5"),
    ],
)
def test_conditions_name_other_dimensions_and_their_values(
    when: dict[str, Any], path: str, words: str
) -> None:
    """A condition must be able to hold."""
    mistake = only(
        space(
            hidden={"int": [8, 16], "when": when},
            optimizer=["adamw", "sgd"],
            layers={"int": [1, 3]},
        )
    )
    assert mistake.path == path
    assert words in mistake.message


def test_conditions_in_a_circle_are_told_once() -> None:
    """Two dimensions that wait for each other are one mistake; one that waits for them none."""
    mistake = only(
        space(
            dropout={"choice": [0.1, 0.2], "when": {"layers": 1}},
            layers={"choice": [1, 2], "when": {"hidden": 8}},
            hidden={"choice": [8, 16], "when": {"layers": 2}},
        )
    )
    assert mistake.path == "search.space.layers.when"
    assert "layers → hidden → layers" in mistake.message


def test_a_condition_on_an_unsound_dimension_is_not_told() -> None:
    """What is wrong with the other dimension is told already."""
    raw = space(momentum={"float": [0.5, 0.9], "when": {"optimizer": "sgd"}}, optimizer=[[]])
    sound = space(momentum=raw["search"]["space"]["momentum"])
    base = {"name": "a", "data": {"source": "a", "target": "churned"}}
    assert check(Experiment.model_validate({**base, **sound}), CLASSES, {**base, **raw}) == ()


def test_a_space_is_there_and_fits_a_spec() -> None:
    """An empty space with several trials, and one too long for a trial's spec, are refused."""
    assert "nothing to search" in only(space()).message
    assert found({**space(), "budget": {"trials": 1}}) == {}
    long = {"layers": [1, 2], "activation": ["relu", "gelu"], "optimizer": ["sgd", "x" * 500]}
    assert "at most 480 fit" in found(space(**long))["search.space"].message


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        ({"sampler": {"name": "tpe", "startups": 3}}, "search.sampler.startups", "startup_trials"),
        ({"sampler": {"name": "random", "x": 3}}, "search.sampler.x", "it has none"),
        (
            {"sampler": {"name": "tpe", "candidates": 0}},
            "search.sampler.candidates",
            "at least 1",
        ),
        (
            {"sampler": {"name": "tpe", "multivariate": 1}},
            "search.sampler.multivariate",
            "not true or false",
        ),
        (
            {"sampler": {"name": "qmc", "options": {"sequence": "sobel"}}},
            "search.sampler.options.sequence",
            "mean 'sobol'",
        ),
        (
            {"pruner": {"name": "percentile", "percentile": 120}},
            "search.pruner.percentile",
            "at most 100",
        ),
        (
            {"pruner": {"name": "hyperband", "min_epochs": 40}},
            "search.pruner.min_epochs",
            "a trial has only 20",
        ),
        ({"pruner": "wilcoxon"}, "search.pruner", "compares folds or repeats"),
    ],
)
def test_options_are_known_and_in_bounds(raw: dict[str, Any], path: str, words: str) -> None:
    """Options of sampler and pruner go by the table; a Wilcoxon test needs what it compares."""
    mistake = only({"search": raw})
    assert mistake.path == path
    assert words in mistake.message


@pytest.mark.parametrize("data", [{"folds": 5}, {"repeats": 3}])
def test_wilcoxon_goes_with_folds_or_repeats(data: dict[str, Any]) -> None:
    """Either gives it steps to compare, and they are the steps of every other pruner too."""
    section = {"source": "a.csv", "target": "churned", **data}
    assert found({"data": section, "search": {"pruner": "wilcoxon"}}) == {}
    pruner = {"name": "hyperband", "min_epochs": 6}
    mistake = only({"data": section, "search": {"pruner": pruner}})
    assert mistake.message == f"min_epochs is 6, but a trial has only {max(data.values())} folds"


def test_options_of_schedules_are_known() -> None:
    """A schedule's options are judged like a sampler's."""
    assert only({"train": {"schedule": {"name": "step", "evry": 3}}}).nearest == "every"


def test_every_option_has_its_bounds() -> None:
    """No number among the options is unbounded by oversight."""
    tables = (*SAMPLER_OPTIONS.values(), *PRUNER_OPTIONS.values(), *SCHEDULE_OPTIONS.values())
    numbers = {name for table in tables for name, kind in table.items() if kind in (int, float)}
    assert numbers == set(BOUNDS)


def test_several_objectives_exclude_pruner_and_cmaes() -> None:
    """Left out there is no pruner; an explicit one is a mistake, and so is CMA-ES."""
    two = {"objective": [{"metric": "accuracy"}, {"metric": "loss", "goal": "minimize"}]}
    assert found(two) == {}
    assert found({**two, "search": {"pruner": "none", "sampler": "nsgaii"}}) == {}
    mistakes = found({**two, "search": {"pruner": "median", "sampler": "cmaes"}})
    assert set(mistakes) == {"search.pruner", "search.sampler"}


@pytest.mark.parametrize(
    ("sampler", "dimensions", "words"),
    [
        ("cmaes", {"optimizer": ["adam", "sgd"], "layers": [1, 2]}, "a float or int parameter"),
        ("gp", {"layers": [1], "dropout": {"float": [0, 0.5], "when": {"layers": 1}}}, "needs a"),
    ],
)
def test_a_sampler_that_could_follow_nothing_is_refused(
    sampler: str, dimensions: dict[str, Any], words: str
) -> None:
    """It would draw everything at random, so it is a mistake instead."""
    mistake = only({"search": {"sampler": sampler, "space": dimensions}})
    assert mistake.path == "search.space"
    assert words in mistake.message


def test_a_grid_has_a_number_of_cells() -> None:
    """A float without step needs the option steps; a huge grid is refused."""
    dimensions = {"dropout": {"float": [0, 0.5]}, "layers": [1, 2]}
    mistake = only({"search": {"sampler": "grid", "space": dimensions}})
    assert mistake.path == "search.space.dropout"
    steps = {"name": "grid", "steps": 4}
    assert found({"search": {"sampler": steps, "space": dimensions}}) == {}
    huge = {"hidden": {"int": [1, 16000]}, "layers": {"int": [1, 32]}}
    assert "512,000 cells" in only({"search": {"sampler": "grid", "space": huge}}).message


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        ("mlpp", "model", "did you mean 'mlp'"),
        ("cnn", "model", "can't learn classification from table data"),
        ({"family": "mlp", "parameters": {"layer": 2}}, "model.parameters.layer", "'layers'"),
        ({"family": "mlp", "parameters": {"layers": 0}}, "model.parameters.layers", "below 1"),
    ],
)
def test_family_and_parameters_are_known(model: Any, path: str, words: str) -> None:
    """The family must exist and take the data; its fixed parameters must be its own."""
    mistake = only({"model": model})
    assert mistake.path == path
    assert words in mistake.message


def test_a_parameter_is_fixed_or_searched() -> None:
    """Both at once is a mistake."""
    raw = {"model": {"family": "mlp", "parameters": {"layers": 2}}, **space(layers=[1, 2])}
    assert only(raw).path == "model.parameters.layers"


def test_losses_fit_the_task() -> None:
    """A loss for numbers can't learn classes, fixed or searched."""
    assert only({"train": {"loss": "mse"}}).path == "train.loss"
    assert only(space(loss=["cross_entropy", "mae"])).path == "search.space.loss.1"
    assert (
        only({"train": {"loss": "cross_entropy"}, "objective": {"metric": "r2"}}, NUMBERS).valid
        == LOSSES["regression"]
    )


@pytest.mark.parametrize(
    ("train", "catalogue", "path"),
    [
        ({"augment": {"flip": True}}, CLASSES, "train.augment"),
        ({"channels_last": True}, CLASSES, "train.channels_last"),
        ({"label_smoothing": 0.1}, NUMBERS, "train.label_smoothing"),
        ({"class_weights": "balanced"}, NUMBERS, "train.class_weights"),
    ],
)
def test_keys_of_train_fit_the_data(train: dict[str, Any], catalogue: Catalogue, path: str) -> None:
    """What is for images or for classes is a mistake with other data, fixed or searched."""
    raw: dict[str, Any] = {"train": train}
    if catalogue is NUMBERS:
        raw["objective"] = {"metric": "r2"}
    assert only(raw, catalogue).path == path
    assert found(raw, replace(catalogue, kind="image", task="classification")).keys() <= {
        "objective.metric",
        "data.target",
    }


def test_searched_label_smoothing_is_for_classes() -> None:
    """A space can't bring in what the file may not say."""
    raw = {**space(label_smoothing=[0.0, 0.1]), "objective": {"metric": "r2"}}
    assert only(raw, NUMBERS).path == "search.space.label_smoothing"


def test_augmentation_is_searched_by_its_own_keys() -> None:
    """Keys of train.augment stand in a space by themselves, for images, within their bounds."""
    raw = space(mixup={"float": [0.0, 0.4]}, crop={"int": [0, 4]})
    images = replace(CLASSES, kind="image", own_target=True, columns=None)
    assert found(raw, images) == {}
    assert set(found(raw)) == {"search.space.mixup", "search.space.crop"}
    assert only(space(crop={"int": [-1, 4]}), images).path == "search.space.crop.int.0"
    assert only(space(crop={"float": [0, 4]}), images).path == "search.space.crop.float"


def test_a_wanted_gpu_has_to_be_allowed() -> None:
    """The device can't be a GPU where the trial asks for none."""
    assert only({"train": {"device": "cuda"}, "resources": {"gpus": 0}}).path == "train.device"


@pytest.mark.parametrize("key", ["gpus", "nodes"])
def test_several_processes_fit_networks_only(key: str) -> None:
    """Trees are fitted by one."""
    trees = replace(CLASSES, chosen="random-forest")
    several = {"resources": {key: 2}}

    assert found(several) == {}
    assert only(several, trees).path == f"resources.{key}"


def test_what_would_have_no_effect_is_a_mistake() -> None:
    """A weight of the metric in the mode simple; a thaw after the last epoch of a trial."""
    weighed = only({"search": {"mode": {"name": "simple", "metric_weight": 0.5}}})
    frozen = {"model": {"family": "mlp", "weights": {"source": "a.safetensors", "freeze": True}}}
    frozen["model"]["weights"]["unfreeze_after"] = 4
    late = found({**frozen, "search": {"epochs": 3, "space": {"learning_rate": [0.1]}}})

    assert weighed.path == "search.mode.metric_weight"
    assert "health-aware" in weighed.message
    assert "less than 3" in late["model.weights.unfreeze_after"].message
