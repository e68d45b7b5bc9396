"""The pipeline as Prefect sees it: its form, its parameters, and what it comes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType

from modelyard.api import Desired, SweepState, SweepView
from modelyard.experiment.model import Experiment
from modelyard.experiment.sources import with_absolute_sources
from modelyard.flows.pipeline import final_state, pipeline

SHORT = {
    "name": "churn",
    "data": {"source": "churn.csv", "target": "churned"},
    "model": "mlp",
    "objective": {"metric": "accuracy"},
    "search": {"sampler": "random", "space": {"hidden": [32, 64]}},
    "train": {"schedule": "constant"},
}


def test_every_field_of_the_form_is_described() -> None:
    """Prefect's form shows each key of the experiment with its description, or its section's."""
    definitions: dict[str, Any] = pipeline.parameters.definitions

    def described(field: dict[str, Any]) -> bool:
        section = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        return bool(field.get("description") or section.get("description"))

    bare = [
        f"{section}.{key}"
        for section, schema in definitions.items()
        for key, field in schema.get("properties", {}).items()
        if not described(field)
    ]

    assert bare == []
    assert pipeline.parameters.properties["experiment"]["description"]


def test_json_with_short_forms_is_accepted() -> None:
    """Parameters by the API may be written as in an experiment file."""
    parameters = pipeline.validate_parameters({"experiment": SHORT})

    assert parameters["experiment"] == Experiment.model_validate(SHORT)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("churn.csv", str(Path(os.getcwd()) / "churn.csv")),
        ("/data/churn.csv", "/data/churn.csv"),
        ("sklearn:digits", "sklearn:digits"),
    ],
)
def test_a_file_is_relative_to_where_the_flow_runs(source: str, expected: str) -> None:
    """Our server has another working directory, so it gets absolute paths."""
    sections = {"data": {"source": source, "target": "y"}, "model": {"weights": "a.safetensors"}}
    experiment = Experiment.model_validate({**SHORT, **sections})

    found = with_absolute_sources(experiment, Path.cwd())

    assert found.data.source == expected
    assert found.model.weights is not None
    assert found.model.weights.source == str(Path.cwd() / "a.safetensors")


@pytest.mark.parametrize(
    ("state", "kind", "name"),
    [
        (SweepState.COMPLETE, StateType.COMPLETED, "Completed"),
        (SweepState.REFUSED, StateType.FAILED, "Refused"),
        (SweepState.FAILED, StateType.FAILED, "Failed"),
        (SweepState.CANCELLED, StateType.CANCELLED, "Cancelled"),
    ],
)
def test_the_flow_ends_as_its_sweep_did(state: SweepState, kind: StateType, name: str) -> None:
    """A refusing gate is a failure by a name of its own; the message is the sweep's."""
    view = SweepView(
        id="abcdefgh",
        name="x",
        project="default",
        state=state,
        desired=Desired.RUNNING,
        created_at=0.0,
        total=1,
        message="because",
    )

    ended = final_state(view)

    assert (ended.type, ended.name, ended.message) == (kind, name, "because")
