"""The JSON Schema for editors agrees with the models, and the reference with both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from modelyard.cli.schema import all_schemas, schema_command
from modelyard.experiment.load import experiment_from
from modelyard.experiment.model import Experiment
from modelyard.experiment.reference import reference
from modelyard.experiment.schema import OPTION_DESCRIPTIONS, descriptions, experiment_schema
from modelyard.experiment.search import PRUNER_OPTIONS, SAMPLER_OPTIONS

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """Of the experiment's schema."""
    schema = experiment_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def with_search(**search: Any) -> dict[str, Any]:
    """A file with this search section."""
    return {"name": "a", "data": {"source": "x"}, "search": search}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_examples_are_valid(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    """Each example satisfies the schema that its first line names."""
    text = file.read_text()
    named = text.splitlines()[0].partition("$schema=")[2]
    assert (file.parent / named).resolve() == ROOT / "docs" / "experiment.schema.json"
    assert list(validator.iter_errors(yaml.safe_load(text))) == []


GOOD = [
    {"model": "mlp"},
    {"model": {"family": "mlp", "parameters": {"layers": 3, "norm": None}}},
    {"objective": {"metric": "f1"}},
    {"objective": [{"metric": "f1"}, {"metric": "loss", "goal": "minimize"}]},
    {"deploy": None},
    {"budget": {"parallel": 4}},
    {"train": {"schedule": {"name": "step", "every": 3}, "early_stopping": {}}},
    with_search(sampler="gp", pruner="none", mode="simple"),
    with_search(sampler={"startup_trials": 5}),
    with_search(sampler={"name": "grid", "options": {"steps": 5}}),
    with_search(space={"optimizer": ["adam", "sgd"], "layers": {"int": [1, 3]}}),
]
BAD = [
    {"modell": "mlp"},
    {"model": 5},
    {"objective": []},
    {"objective": {"metric": "f1", "goal": "up"}},
    {"budget": {"parallel": 0}},
    {"budget": {"trials": "many"}},
    {"train": {"schedule": "steps"}},
    with_search(sampler="tpee"),
    with_search(sampler={"startups": 5}),
    with_search(space={"layers": {"int": [1, 3], "choice": [1]}}),
    with_search(space={"layers": {}}),
    with_search(space={"layers": {"int": [1]}}),
]


@pytest.mark.parametrize("raw", GOOD, ids=json.dumps)
def test_what_the_model_takes_the_schema_takes(
    raw: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    """Short forms and options are valid for both."""
    whole = {"name": "a", "data": {"source": "x"}, **raw}
    assert isinstance(experiment_from(whole), Experiment)
    assert list(validator.iter_errors(whole)) == []


@pytest.mark.parametrize("raw", BAD, ids=json.dumps)
def test_an_editor_marks_mistakes(
    raw: dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    """Unknown keys, wrong types and values out of bounds are errors of the schema too."""
    assert not validator.is_valid({"name": "a", "data": {"source": "x"}, **raw})


def test_a_whole_document_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    """Every default filled in, the document is an experiment file as well."""
    document = experiment_from(with_search(space={"layers": [1, 2]})).to_document()
    assert list(validator.iter_errors(document)) == []


def test_every_key_is_described() -> None:
    """An editor has a sentence for each key and option."""
    bare = [path for path, inner in descriptions(experiment_schema()) if "description" not in inner]
    assert bare == []
    options = {
        name for table in (*SAMPLER_OPTIONS.values(), *PRUNER_OPTIONS.values()) for name in table
    }
    assert options <= OPTION_DESCRIPTIONS.keys()


def test_all_models_are_one_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """`schema --all` is a valid schema with each model of the API, whose references resolve."""
    schema_command(all_models=True)
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == all_schemas()
    assert {"SweepView", "TrialSpec", "CheckView", "DataCard", "Experiment"} <= schema[
        "$defs"
    ].keys()
    names = set(schema["$defs"])
    text = json.dumps(schema)
    referred = {part.partition('"')[0] for part in text.split("#/$defs/")[1:]}
    assert referred <= names


def test_the_reference_is_up_to_date() -> None:
    """docs/experiment.md is what `python -m modelyard.experiment.reference` prints."""
    assert (ROOT / "docs" / "experiment.md").read_text() == reference()
