"""From a file to an experiment: every mistake of shape at once, and overrides."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from modelyard.errors import ExperimentError, InputError, Mistake
from modelyard.experiment.load import experiment_from, load
from modelyard.experiment.model import Experiment
from modelyard.experiment.weights import Version

EVERY_KEY = """\
name: churn
project: default
seed: 7
data:
  source: customers.csv
  kind: table
  target: churned
  drop: [customer_id]
  split: {train: 0.7, validation: 0.15, test: 0.15, stratify: true, by: null}
  sample: 1.0
  folds: 1
  repeats: 1
model: auto
objective: {metric: accuracy, goal: maximize}
search:
  sampler: tpe
  pruner: median
  mode: simple
  epochs: null
  space:
    learning_rate: {float: [1.0e-4, 1.0e-1], log: true}
    hidden: {int: [32, 256], step: 32}
    optimizer: {choice: [adamw, sgd]}
    momentum: {float: [0.5, 0.99], when: {optimizer: sgd}}
budget: {trials: 20, parallel: auto, hours: null, trial_hours: null, waiting_hours: 24}
train:
  epochs: 20
  batch_size: 64
  loss: auto
  optimizer: adamw
  learning_rate: 1.0e-3
  schedule: cosine
  weight_decay: 0.01
  dropout: 0.0
  clip_norm: null
  early_stopping: null
  keep: best
  checkpoint_every: 1
  precision: fp32
  compile: false
resources:
  gpus: 1
  nodes: 1
  cpus: 1
  threads: 1
  memory: 2Gi
  node_selector: {}
  tolerations: []
  queue: null
  priority_class: null
  service_account: null
  image: null
  image_pull_secrets: []
  env: {}
  volumes: []
  labels: {}
  annotations: {}
gates:
  - {metric: accuracy, at_least: 0.90, confidence: 0.95}
explain: {seconds: 20}
register: {alias: champion, margin: 0.0}
deploy: {target: local, port: auto}
fallback: null
"""


def written(tmp_path: Path, text: str) -> Path:
    """A file with this text."""
    file = tmp_path / "experiment.yaml"
    file.write_text(textwrap.dedent(text))
    return file


def mistakes(tmp_path: Path, text: str, *sets: str) -> dict[str, Mistake]:
    """Every mistake of a file by its path."""
    found = load(written(tmp_path, text), sets).mistakes
    assert len({m.path for m in found}) == len(found)
    return {m.path: m for m in found}


def accepted(path: Path, *sets: str) -> Experiment:
    """The experiment of a file that has no mistakes."""
    loaded = load(path, sets)
    assert loaded.shaped.experiment is not None
    assert not loaded.mistakes
    return loaded.shaped.experiment


def minimal(more: str = "") -> str:
    """A file with what is required, and more."""
    return "name: a\ndata: {source: a.csv, target: y}\n" + textwrap.dedent(more)


def test_a_file_with_every_key_is_accepted(tmp_path: Path) -> None:
    """Each key that the file may have is known, and gives the same object as typed Python."""
    experiment = accepted(written(tmp_path, EVERY_KEY))
    assert experiment.model_fields_set == set(Experiment.model_fields)
    assert Experiment.model_validate(experiment.to_document()) == experiment
    assert Experiment.model_validate(experiment.to_request()) == experiment
    assert experiment.search.space is not None
    assert experiment.search.space["momentum"].when == {"optimizer": "sgd"}


def test_short_forms_are_the_long_ones(tmp_path: Path) -> None:
    """A bare name, a lone objective and a list of choices stand for the sections they shorten."""
    short = minimal(
        """\
        model: mlp
        objective: {metric: f1, goal: maximize}
        search: {sampler: tpe, pruner: none, space: {optimizer: [adam, sgd]}}
        train: {schedule: {name: step, every: 3}}
        """
    )
    long = minimal(
        """\
        model: {family: mlp, parameters: {}}
        objective: [{metric: f1, goal: maximize}]
        search:
          sampler: {name: tpe, options: {}}
          pruner: {name: none}
          space: {optimizer: {choice: [adam, sgd]}}
        train: {schedule: {name: step, options: {every: 3}}}
        """
    )
    assert accepted(written(tmp_path, short)) == accepted(written(tmp_path, long))


@pytest.mark.parametrize("source", ["models:/digits", "models:/digits/latest", "models:/a b/1"])
def test_weights_name_a_version_whole(source: str, tmp_path: Path) -> None:
    """By its number or an alias; anything else is told how it is written."""
    found = mistakes(tmp_path, minimal(f"model: {{weights: {{source: {source}}}}}\n"))
    assert list(found) == ["model.weights.source"]
    mistake = found["model.weights.source"]
    assert mistake.value == source
    assert "models:/NAME/VERSION or models:/NAME@ALIAS" in mistake.message
    assert Version.parse("models:/digits/12") == Version(name="digits", number=12)
    assert Version.parse("models:/digits@champion") == Version(name="digits", alias="champion")


def test_all_mistakes_are_told_at_once_in_the_files_order(tmp_path: Path) -> None:
    """Mistakes of different kinds all stand in one answer, each with its line."""
    file = written(
        tmp_path,
        """\
        name: Churn
        data: {source: a.csv, tarjet: y}
        train:
          optimiser: adam
          epochs: 0
        budget: {trials: "20", trials: 3}
        gates: [{metric: accuracy}]
        deploy: {target: kubernetes}
        """,
    )
    error = ExperimentError("churn.yaml", load(file).mistakes)
    assert [(m.path, m.line) for m in error.mistakes] == [
        ("name", 1),
        ("data.tarjet", 2),
        ("train.optimiser", 4),
        ("train.epochs", 5),
        ("budget.trials", 6),
        ("budget.trials", 6),
        ("gates.0", 7),
        ("deploy.target", 8),
    ]
    assert "8 mistakes" in str(error)
    assert "train.optimiser (line 4): unknown key 'optimiser'; did you mean 'optimizer'?" in str(
        error
    )


@pytest.mark.parametrize(
    ("more", "path", "words", "nearest"),
    [
        ("search: {sampler: tpee}", "search.sampler", "tpe, random, grid", "tpe"),
        ("search: {sampler: {name: TPE}}", "search.sampler.name", "'TPE' is not one of", "tpe"),
        ("objective: {metric: f1, goal: max}", "objective.goal", "maximize, minimize", "maximize"),
        ("objective: {metrik: f1}", "objective.metrik", "unknown key", "metric"),
        ("objective: []", "objective", "is empty", None),
        ("objective: f1", "objective", "'f1' is not a list", None),
        ("budget: {parallel: many}", "budget.parallel", "a whole number or auto", None),
        ("budget: {trials: true}", "budget.trials", "true is not a whole number", None),
        ("budget: {trials: 1.5}", "budget.trials", "1.5 is not a whole number", None),
        ("budget: {trials: '12'}", "budget.trials", "without quotes", None),
        ("budget: {hours: -1}", "budget.hours", "above 0", None),
        ("budget:", "budget", "is empty", None),
        ("deploy: {port: 70000}", "deploy.port", "at most 65535", None),
        ("train: {clip_norm: .inf}", "train.clip_norm", "not a finite number", None),
        ("train: [1]", "train", "not a mapping", None),
        ("resources: {memory: 2 GB}", "resources.memory", "as Kubernetes writes it", None),
        ("resources: {memory: 2}", "resources.memory", 'in quotes: "2"', None),
        ("gates: [{at_least: 1}]", "gates.0", "exactly one of metric and plugin", None),
        ("gates: {metric: f1}", "gates", "not a list", None),
        ("search: {space: {x: {float: [1]}}}", "search.space.x.float", "[lowest, highest]", None),
        ("search: {space: {x: {int: [1, 2, 3]}}}", "search.space.x.int", "two values", None),
        ("search: {space: {x: {int: [1, a]}}}", "search.space.x.int.1", "whole number", None),
        ("search: {space: {x: {int: [2, 1]}}}", "search.space.x", "above the upper", None),
        ("search: {space: {x: [1, {}]}}", "search.space.x.1", "a single value", None),
        ("search: {space: {x: {log: true}}}", "search.space.x", "exactly one of", None),
        ("model: {parameters: {a: [1]}}", "model.parameters.a", "a single value", None),
        ("register: {alias: latest}", "register.alias", "meaning of their own", None),
        ("register: {alias: v3}", "register.alias", "champion is usual", None),
        ("register: {alias: previous}", "register.alias", "'previous' can't be", None),
        ("register: {alias: a/b}", "register.alias", "a-z, 0-9, _ and -", None),
        ("register_: {alias: x}", "register_", "unknown key", "register"),
        ("data_: {}", "data_", "unknown key", "data"),
    ],
)
def test_a_mistake_names_path_value_and_nearest(
    more: str, path: str, words: str, nearest: str | None, tmp_path: Path
) -> None:
    """Each mistake of shape is one mistake, at the file's own key, with the way out."""
    found = mistakes(tmp_path, minimal(more))
    assert list(found) == [path]
    assert words in found[path].message
    assert found[path].nearest == nearest


def test_required_keys_say_what_they_are(tmp_path: Path) -> None:
    """A file without name and data gets both mistakes, beside its others."""
    found = mistakes(tmp_path, "seeed: 3\n")
    assert set(found) == {"name", "data", "seeed"}
    assert "source, kind, target" in found["data"].message


def test_what_would_do_is_said(tmp_path: Path) -> None:
    """A section that is no mapping is told its keys, and a name a like one that has the form."""
    found = mistakes(tmp_path, "name: Churn/Model 🚀\ndata: a.csv\ndeploy: yes\n")

    assert found["name"].message.endswith("did you mean 'churn-model'?")
    assert "its keys are source, kind, target" in found["data"].message
    assert found["deploy"].message.endswith("its keys are target, port, or write null")


def test_values_of_the_environment_are_never_repeated(tmp_path: Path) -> None:
    """resources.env may hold secrets, so neither message nor value shows them."""
    found = mistakes(tmp_path, minimal("resources: {env: {TOKEN: 31337}}"))
    assert "31337" not in repr(found)


def test_the_sound_part_of_a_file_is_an_experiment(tmp_path: Path) -> None:
    """What is wrong is left out of it, and known to be."""
    loaded = load(
        written(tmp_path, minimal("budget: {trials: x, hours: 2}\ngates: [{metric: f1}, 3]"))
    )
    experiment = loaded.shaped.experiment
    assert experiment is not None
    assert (experiment.budget.trials, experiment.budget.hours, experiment.gates) == (20, 2, ())
    assert loaded.shaped.unsound == {"budget.trials", "gates"}
    assert loaded.shaped.is_unsound("gates.0.metric")
    assert not loaded.shaped.is_unsound("budget.hours")


def test_overrides_replace_single_values(tmp_path: Path) -> None:
    """Dotted paths, list items by number, YAML values, sections that the file doesn't have."""
    file = written(tmp_path, minimal("gates: [{metric: f1, at_least: 0.5}]\nmodel: mlp"))
    experiment = accepted(
        file,
        "budget.trials=12",
        "gates.0.at_least=9e-1",
        "model.parameters.layers=3",
        "deploy=null",
        "search.space={optimizer: [adam, sgd]}",
        "search.sampler.name=random",
        "data.source=b=c.csv",
    )
    assert experiment.budget.trials == 12
    assert experiment.gates[0].at_least == 0.9
    assert (experiment.model.family, experiment.model.parameters) == ("mlp", {"layers": 3})
    assert experiment.deploy is None
    assert experiment.search.space is not None
    assert experiment.search.space["optimizer"].choice == ("adam", "sgd")
    assert experiment.data.source == "b=c.csv"


HUGE = "9" * 5000
"""More digits than Python turns into a number."""


@pytest.mark.parametrize(
    ("setting", "path", "words", "nearest"),
    [
        ("budget.trails=3", "budget.trails", "unknown key 'trails'", "trials"),
        ("bugdet.trials=3", "bugdet", "unknown key 'bugdet'", "budget"),
        ("budget.trials", "", "KEY=VALUE", None),
        ("budget..trials=3", "", "KEY=VALUE", None),
        ("budget.trials=[", "budget.trials", "not YAML", None),
        ("budget.trials=many", "budget.trials", "not a whole number", None),
        ("seed.x=1", "seed.x", "seed is 3, which has no keys", None),
        ("name.x=1", "name.x", "name is 'a', which has no keys", None),
        ("gates.1.metric=f1", "gates.1.metric", "(0 to 0)", None),
        ("gates.x.metric=f1", "gates.x.metric", "'x' is not one of its items", None),
        ("data.drop.0=id", "data.drop.0", "none yet", None),
        pytest.param(
            f"gates.{HUGE}.metric=f1", f"gates.{HUGE}.metric", "(0 to 0)", None, id="huge index"
        ),
        pytest.param(
            f"budget.trials=0x{HUGE}", "budget.trials", "of 20,000 bits", None, id="huge value"
        ),
    ],
)
def test_an_override_that_leads_nowhere_is_a_mistake(
    setting: str, path: str, words: str, nearest: str | None, tmp_path: Path
) -> None:
    """Overrides are answered like keys of the file, told together with its mistakes."""
    text = minimal("seed: 3\ngates: [{metric: f1, at_least: 0.5}]").replace(
        "target: y", "target: y, drop: []"
    )
    found = mistakes(tmp_path, text, setting)
    assert list(found) == [path]
    assert words in found[path].message
    assert found[path].nearest == nearest


def test_a_document_without_a_file_is_judged_alike() -> None:
    """What a request carries gets the same mistakes, shape and support together."""
    with pytest.raises(ExperimentError) as caught:
        experiment_from({"name": "a", "data": {"source": "gs://b/c"}, "seed": "x"})
    assert [m.path for m in caught.value.mistakes] == ["seed", "data.source"]


def test_several_objectives_have_no_pruner_unless_told() -> None:
    """Left out, the pruner of several objectives is none, in a file and in typed Python."""
    two = [{"metric": "accuracy"}, {"metric": "loss", "goal": "minimize"}]
    assert Experiment(name="a", data={"source": "x"}, objective=two).search.pruner.name == "none"
    explicit = Experiment(
        name="a", data={"source": "x"}, objective=two, search={"pruner": "median"}
    )
    assert explicit.search.pruner.name == "median"
    kept = Experiment(name="a", data={"source": "x"}, objective=two, search={"sampler": "gp"})
    assert (kept.search.sampler.name, kept.search.pruner.name) == ("gp", "none")


def test_a_device_is_read_no_further_than_the_limit() -> None:
    """What has no size of its own is refused once the limit is passed."""
    with pytest.raises(InputError, match="more than the 1,000 bytes"):
        load(Path("/dev/zero"), (), 1_000)


def test_of_very_many_mistakes_the_first_are_listed() -> None:
    """The message stays readable and says how many more there are; all are in ``mistakes``."""
    many = tuple(Mistake(path=f"key{i}", message="wrong", line=i) for i in range(1, 1_203))
    error = ExperimentError("a.yaml", many)
    assert str(error).splitlines()[0] == "a.yaml: 1202 mistakes"
    assert str(error).splitlines()[-2:] == ["  key50 (line 50): wrong", "  … and 1,152 more"]
    assert error.mistakes == many
