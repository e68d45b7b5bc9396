"""Plugins in use: checked with the file, fitted, measured, judged, packed, and missed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from modelyard.cli.check import load_checked
from modelyard.contract import Exit
from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.data.source import read
from modelyard.errors import ExperimentError, InputError
from modelyard.evaluate.gates import judge
from modelyard.evaluate.metrics import compute
from modelyard.evaluate.plugged import Evidence
from modelyard.experiment.load import experiment_from
from modelyard.experiment.model import Gate
from modelyard.experiment.search import Parameter, Sampler
from modelyard.models.families import resolve
from modelyard.models.packed import PackedModelError, load, needed_plugins
from modelyard.plugins.loading import PluginError
from modelyard.server.runs import check_experiment
from modelyard.sweep.study import SweepStudy
from modelyard.sweep.study_samplers import make_sampler
from modelyard.train.fit import fit
from modelyard.trial.facts import plugins
from modelyard.trial.failures import failure_of
from tests.support.fitting import Recorder, job, table
from tests.support.plugins import EXAMPLES, install, write

CLASSES = DataCard(kind="table", task="classification", rows=9, target="y", classes=("a", "b"))
TRUTH = np.array([0, 0, 1, 1, 1, 0])
OUTPUT = np.eye(2)[[0, 1, 1, 0, 1, 0]]


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that plugins are installed into; what they download goes to another."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("MODELYARD_DATASETS", str(tmp_path / "datasets"))
    return folder


def mistakes(folder: Path, **sections: Any) -> dict[str, str]:
    """Mistakes of an experiment on scikit-learn's irises, by path; none when it can be run."""
    file = folder / "experiment.yaml"
    file.write_text(json.dumps({"name": "a", "data": {"source": "sklearn:iris"}, **sections}))
    try:
        load_checked(file)
    except ExperimentError as error:
        return {mistake.path: mistake.message for mistake in error.mistakes}
    return {}


def test_the_example_can_be_run(target: Path) -> None:
    """An experiment made of plugins is checked like any other: data, family, space and all."""
    install(target, "models", "distances", "datasets", "metrics", "gates", "samplers")

    checked = load_checked(EXAMPLES / "plugins.yaml")

    assert checked.family == "nearest-neighbours"
    assert list(checked.space) == ["neighbours"]
    assert checked.card is not None
    assert (checked.card.rows, checked.card.classes) == (600, ("lower", "upper"))
    check_experiment(checked.experiment)


def test_what_is_not_installed_is_a_mistake_where_it_is_named(tmp_path: Path) -> None:
    """Every missing plugin is told at once, at its own key, with what there is."""
    found = mistakes(
        tmp_path,
        model="nearest-neighbours",
        objective={"metric": "cost", "goal": "minimize"},
        search={"sampler": "plugin:middle-first"},
        gates=[{"plugin": "worst-class", "options": {"at_least": 0.5}}],
        train={"hooks": ["weight-norm"]},
    )

    assert set(found) == {
        "model",
        "objective.metric",
        "search.sampler",
        "gates.0.plugin",
        "train.hooks.0",
    }
    assert "no plugin 'worst-class' in modelyard.gates here" in found["gates.0.plugin"]


def test_a_plugin_s_name_that_is_nearly_right_is_answered_with_it(
    target: Path, tmp_path: Path
) -> None:
    """Wherever the file may name a plugin, the installed one that is most like it is told."""
    install(target, "models", "datasets", "metrics", "gates", "samplers", "hooks")
    found = mistakes(
        tmp_path,
        data={"source": "plugin:mons"},
        model="nearest-neighbors",
        objective={"metric": "costs", "goal": "minimize"},
        search={"sampler": "plugin:middle-frist"},
        gates=[{"plugin": "worst-clas"}],
        train={"hooks": ["weight-nrom"]},
    )
    near = {where: said.partition("did you mean ")[2] for where, said in found.items()}
    assert near == {
        "data.source": "'moons'?",
        "model": "'nearest-neighbours'?",
        "objective.metric": "'cost'?",
        "search.sampler": "'middle-first'?",
        "gates.0.plugin": "'worst-class'?",
        "train.hooks.0": "'weight-norm'?",
    }


def test_a_broken_plugin_is_a_mistake_of_who_names_it(target: Path, tmp_path: Path) -> None:
    """It is told with its traceback; an experiment that doesn't name it is none the worse."""
    points = {"metrics": {"sunk": "sunk_metric:x"}, "models": {"deep": "sunk_metric:x"}}
    write(target, "made-up", points, {"sunk_metric.py": "def f():\n    1 / 0\nf()\n"})

    found = mistakes(tmp_path, objective={"metric": "sunk"}, model="deep")

    assert set(found) == {"objective.metric", "model"}
    assert "ZeroDivisionError" in found["objective.metric"]
    assert 'sunk_metric.py", line 2, in f' in found["objective.metric"]
    assert mistakes(tmp_path) == {}


@pytest.mark.parametrize(
    ("sections", "path", "words"),
    [
        ({"gates": [{"plugin": "worst-class"}]}, "gates.0.plugin", "'at_least'"),
        (
            {"gates": [{"plugin": "worst-class", "options": {"at_least": 1, "x": 1}}]},
            "gates.0.plugin",
            "unexpected keyword argument 'x'",
        ),
        ({"train": {"hooks": [{"name": "weight-norm", "cubed": True}]}}, "train.hooks", "cubed"),
        (
            {"search": {"sampler": {"name": "plugin:middle-first", "x": 1}}},
            "search.sampler.name",
            "'x'",
        ),
        (
            {"model": {"family": "nearest-neighbours", "parameters": {"distance": "polar"}}},
            "model.parameters.distance",
            "'polar' is no installed distance; there are cosine, euclidean, manhattan",
        ),
        ({"objective": {"metric": "cost"}}, "objective.goal", "better when lower"),
    ],
)
def test_what_a_plugin_does_not_take_is_told(
    sections: dict[str, Any], path: str, words: str, target: Path, tmp_path: Path
) -> None:
    """Options are held against the plugin's signature, goal and parameters against its word."""
    install(target, "models", "distances", "metrics", "gates", "samplers", "hooks")

    found = mistakes(tmp_path, **sections)

    assert [where for where in found if where.startswith(path)]
    assert words in "".join(found.values())


def test_a_classical_family_is_fitted_packed_and_missed(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model answers alike after loading, and isn't loaded without its very distributions."""
    install(target, "models", "distances", "metrics")
    snapshot = table(tmp_path / "data", rows=200)
    parameters = {"neighbours": 3, "distance": "manhattan"}

    found = fit(
        job(
            snapshot,
            tmp_path / "scratch",
            family="nearest-neighbours",
            parameters=parameters,
            objective={"metric": "cost", "goal": "minimize"},
        ),
        Recorder(),
    )
    found.pack(tmp_path / "model")

    assert 0 <= found.metrics["cost"] < 1
    answer = load(tmp_path / "model").predict(snapshot.rows("test"))
    features = found.preprocessor.transform(snapshot.rows("test"))
    assert np.array_equal(answer.output, found.estimator.predict(features))
    needed = {(plugin.name, plugin.distribution) for plugin in needed_plugins(tmp_path / "model")}
    assert needed == {
        ("nearest-neighbours", "modelyard-nearest"),
        ("manhattan", "modelyard-distances"),
    }
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(target)])
    with pytest.raises(PackedModelError, match=r"pip install modelyard-distances==0\.1\.0"):
        load(tmp_path / "model")
    install(tmp_path / "newer", "distances")
    install(tmp_path / "newer", "models", version="0.2.0")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    with pytest.raises(PackedModelError, match=r"modelyard-nearest 0.1.0, here is .* 0\.2\.0"):
        load(tmp_path / "model")


NET = """
from torch import nn
from modelyard.models.family import Family, FamilyParameter

def build(*, inputs, outputs, width):
    if width == 13:
        raise RuntimeError("thirteen is refused")
    return nn.Sequential(nn.Linear(inputs[0], width), nn.Tanh(), nn.Linear(width, outputs))

FAMILY = Family(
    name="shallow", kinds=("table",), network=True, description="one layer",
    parameters={"width": FamilyParameter(default=8, type=int, low=1, description="units")},
    space={}, build=build,
)
"""


def test_a_network_family_and_a_hook_take_part_in_a_fit(target: Path, tmp_path: Path) -> None:
    """The hook's value is told each epoch; the packed network answers as the fitted one."""
    write(target, "made-up", {"models": {"shallow": "shallow_net:FAMILY"}}, {"shallow_net.py": NET})
    install(target, "hooks")
    snapshot, told = table(tmp_path / "data", rows=200), Recorder()
    hooks = [{"name": "weight-norm", "squared": True}]

    found = fit(job(snapshot, tmp_path / "scratch", family="shallow", train={"hooks": hooks}), told)
    found.pack(tmp_path / "model")

    assert all(values["weight_norm"] > 0 for values in told.curve.values())
    rows = snapshot.rows("test")
    features = found.preprocessor.transform(rows)
    assert np.allclose(
        load(tmp_path / "model").predict(rows).output, found.estimator.predict(features)
    )


def test_what_a_served_model_raises_is_told_with_its_name(target: Path, tmp_path: Path) -> None:
    """A model that can't answer any more says so as ours, whatever its code raises."""
    install(target, "models", "distances")
    text = (
        "import numpy as np\n"
        "calls = []\n"
        "def tired(left, right):\n"
        "    calls.append(1)\n"
        "    if len(calls) > 3:\n"
        "        raise RuntimeError('enough')\n"
        "    return np.abs(left[:, None] - right).sum(2)\n"
    )
    write(target, "made-up", {"distances": {"tired": "tired_one:tired"}}, {"tired_one.py": text})
    snapshot = table(tmp_path / "data", rows=100)
    given = job(
        snapshot,
        tmp_path / "scratch",
        family="nearest-neighbours",
        parameters={"distance": "tired"},
    )
    fit(given, Recorder()).pack(tmp_path / "model")
    model = load(tmp_path / "model")

    with pytest.raises(PackedModelError, match=r"nearest-neighbours can't answer: .*enough"):
        model.predict(snapshot.rows("test"))


def test_what_a_model_raises_is_told_as_the_plugin_s(target: Path, tmp_path: Path) -> None:
    """The trial ends as configuration, with the plugin's name and traceback."""
    write(target, "made-up", {"models": {"shallow": "shallow_net:FAMILY"}}, {"shallow_net.py": NET})
    given = job(
        table(tmp_path / "data", rows=100),
        tmp_path / "scratch",
        family="shallow",
        parameters={"width": 13},
    )

    with pytest.raises(PluginError) as caught:
        fit(given, Recorder())

    failure = failure_of(caught.value)
    assert failure.exit is Exit.CONFIGURATION
    assert failure.summary.startswith("the model shallow can't be built for (7,)")
    assert "thirteen is refused" in failure.summary


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": "nearest-neighbours"}, "there is no family 'nearest-neighbours' here"),
        (
            {"model": "mlp", "objective": {"metric": "cost", "goal": "minimize"}},
            "there is no metric 'cost' here",
        ),
        (
            {"model": "mlp", "train": {"hooks": ["weight-norm"]}},
            "no plugin 'weight-norm' in modelyard.hooks",
        ),
    ],
)
def test_a_trial_without_the_plugin_ends_as_configuration(
    sections: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """It says which plugin is missing, and that it has to be installed where trials run."""
    given = job(table(tmp_path / "data", rows=100), tmp_path / "scratch", **sections)

    with pytest.raises(InputError, match=words) as caught:
        fit(replace(given, family=resolve(given.experiment, given.snapshot.card)), Recorder())

    failure = failure_of(caught.value)
    assert failure.exit is Exit.CONFIGURATION
    assert "on a cluster, in their image" in failure.summary


def test_a_metric_is_measured_where_it_is_named(target: Path) -> None:
    """Its value stands beside Modelyard's own; one that gives no number is told."""
    install(target, "metrics")
    text = (
        "from modelyard.evaluate.catalogue import Metric\n"
        "X = Metric(name='nan', tasks=('classification',), goal='minimize', bounds=(0, 1),\n"
        "           description='', function=lambda truth, output: float('nan'))\n"
    )
    write(target, "made-up", {"metrics": {"nan": "nan_metric:X"}}, {"nan_metric.py": text})

    found = compute("classification", TRUTH, OUTPUT, also=("accuracy", "cost"))

    assert found["cost"] == pytest.approx((1 + 5) / 6)
    assert "cost" not in compute("classification", TRUTH, OUTPUT)
    with pytest.raises(PluginError, match="the metric nan gives nan over 6 rows"):
        compute("classification", TRUTH, OUTPUT, also=("nan",))


def test_gates_of_plugins_and_on_their_metrics_are_judged(target: Path) -> None:
    """A plugin's verdict is one among the others; a bound on its metric is bootstrapped too."""
    install(target, "metrics", "gates")
    evidence = Evidence(
        truth=np.tile(TRUTH, 20),
        output=np.tile(OUTPUT, (20, 1)),
        rows=Rows(columns={}),
        card=CLASSES,
        metrics={},
    )
    gates = (
        Gate(plugin="worst-class", options={"at_least": 0.6}),
        Gate(plugin="worst-class", options={"at_least": 0.7}, advisory=True),
        Gate(metric="cost", at_most=1.05, confidence=0.95),
    )

    low, high, cost = judge(gates, evidence, seed=1)

    assert (low.metric, low.relation, low.passed) == ("worst-class", "at_least", True)
    assert low.value == pytest.approx(2 / 3)
    assert (high.passed, high.advisory) == (False, True)
    assert cost.bound is not None
    assert cost.value == pytest.approx(1.0)
    assert 1.05 < cost.bound < 2
    assert cost.passed is False


def test_a_dataset_may_be_a_file(target: Path, tmp_path: Path) -> None:
    """What a plugin downloads into its folder is read as that kind of file always is."""
    text = (
        "def numbers(folder):\n"
        "    file = folder / 'numbers.csv'\n"
        "    file.write_text('x,y\\n1,a\\n2,b\\n')\n"
        "    return file\n"
        "def words(folder):\n"
        "    return 'words'\n"
    )
    points = {"datasets": {"numbers": "own_sets:numbers", "words": "own_sets:words"}}
    write(target, "made-up", points, {"own_sets.py": text})

    found = read("plugin:numbers", tmp_path)

    assert list(found.columns) == ["x", "y"]
    assert (tmp_path / "datasets" / "plugin-numbers" / "numbers.csv").is_file()
    with pytest.raises(Exception, match=r"gives a str, not a pandas\.DataFrame or"):
        read("plugin:words", tmp_path)


def test_a_dataset_that_raises_is_a_mistake_of_its_source(target: Path, tmp_path: Path) -> None:
    """Its traceback is told where the file names it, once."""
    text = "def dry(folder):\n    raise OSError('the well is dry')\n"
    write(target, "made-up", {"datasets": {"dry": "dry_set:dry", "gone": "dry_set:gone"}}, {})
    (target / "dry_set.py").write_text(text)

    (dry,) = mistakes(tmp_path, data={"source": "plugin:dry", "target": "y"}).items()
    (gone,) = mistakes(tmp_path, data={"source": "plugin:gone", "target": "y"}).items()

    assert dry[0] == gone[0] == "data.source"
    assert dry[1].startswith("the dataset dry can't be made: OSError: the well is dry")
    assert "has no attribute 'gone'" in gone[1]


def test_a_sampler_is_asked(target: Path) -> None:
    """Its first suggestion is what its author promises; options come by name."""
    install(target, "samplers")
    named = Sampler.model_validate({"name": "plugin:middle-first", "startup_trials": 2})

    sampler = make_sampler(named, seed=7, asked=0)

    trial = optuna.create_study(sampler=sampler).ask()
    assert trial.suggest_float("rate", 0.01, 1.0, log=True) == pytest.approx(0.1)
    assert trial.suggest_int("width", 2, 10) == 6
    assert sampler._n_startup_trials == 2


def test_a_sampler_that_raises_is_named(target: Path, tmp_path: Path) -> None:
    """The sweep ends with the sampler's name and traceback instead of Optuna's."""
    text = (
        "from optuna.samplers import RandomSampler\n"
        "class Shy(RandomSampler):\n"
        "    def sample_independent(self, *given):\n"
        "        raise LookupError('nothing comes to mind')\n"
    )
    write(target, "made-up", {"samplers": {"shy": "shy_one:Shy"}}, {"shy_one.py": text})
    experiment = experiment_from(
        {"name": "a", "data": {"source": "x"}, "search": {"sampler": "plugin:shy"}}
    )
    url = f"sqlite:///{tmp_path}/optuna.db"
    space = {"width": Parameter(int_=(2, 10))}
    study = SweepStudy(storage=url, name="a", experiment=experiment, space=space)

    with pytest.raises(PluginError, match="the sampler shy can't suggest trial 0: LookupError"):
        study.ask(0)


def test_a_run_says_which_plugins_took_part(target: Path) -> None:
    """Distribution and version of each that the experiment or its parameters name."""
    install(target, "models", "distances", "metrics", "hooks")
    experiment = experiment_from(
        {
            "name": "a",
            "data": {"source": "x"},
            "model": "nearest-neighbours",
            "objective": {"metric": "cost", "goal": "minimize"},
        }
    )

    assert plugins(experiment, {"distance": "cosine"}) == {
        "models.nearest-neighbours": "modelyard-nearest 0.1.0",
        "metrics.cost": "modelyard-cost 0.1.0",
        "distances.cosine": "modelyard-distances 0.1.0",
    }
