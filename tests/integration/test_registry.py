"""Versions, lineage and aliases in a real MLflow store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.api import Desired, SweepState, TrialState
from modelyard.contract import TrialResult, digest_of
from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.rows import Column, Rows
from modelyard.errors import DigestMismatch, ExperimentError, InputError, ModelyardError
from modelyard.experiment.model import Experiment
from modelyard.experiment.weights import Version
from modelyard.journal.rows import SweepRow, TrialRow
from modelyard.registry import signature, versions
from modelyard.registry.aliases import Verdict
from modelyard.registry.pinning import pinned
from modelyard.registry.register import Candidate, Registered, register
from modelyard.registry.tracking import Tracking
from modelyard.server.library import Library
from modelyard.server.weights import pin
from modelyard.settings import Paths
from modelyard.store.folder import FolderStore
from modelyard.store.manifest import read_manifest
from tests.support.mlflow_store import shared_tracking
from tests.support.packed import Packed, image_model, table_model

pytestmark = [
    pytest.mark.integration,
    # MLflow's own modules use what pandas and SQLAlchemy deprecate.
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

GATE = {"metric": "accuracy", "relation": "at_least", "limit": 0.9, "value": 0.95, "passed": True}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return table_model(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return shared_tracking(tmp_path_factory)


def sweep(identity: str, name: str, project: str = "default", **register_section: Any) -> SweepRow:
    experiment = Experiment.model_validate(
        {"name": name, "data": {"source": "x.csv", "target": "y"}, "register": register_section}
    )
    return SweepRow(
        id=identity,
        name=name,
        project=project,
        experiment=experiment.to_document(),
        document="d" * 64,
        state=SweepState.RUNNING,
        desired=Desired.RUNNING,
        message="",
        created_at=1.7e9,
        tags={"git_commit": "abc123"},
    )


def candidate(
    packed: Packed,
    identity: str,
    name: str,
    accuracy: float,
    *,
    champion: tuple[str | None, float] | None = None,
    gates: tuple[dict[str, Any], ...] = (GATE,),
    **register_section: Any,
) -> Candidate:
    """What a sweep hands over; ``champion`` is the URI it was measured against, and its value."""
    measured = None if champion is None else {"metrics": {"accuracy": champion[1]}}
    return Candidate(
        sweep=sweep(identity, name, **register_section),
        winner=TrialRow(
            sweep=identity,
            number=4,
            state=TrialState.COMPLETE,
            parameters={"n_estimators": 8},
            run="r" * 32,
        ),
        model=packed.model,
        snapshot=packed.snapshot,
        card=packed.card,
        data_digest=packed.digest,
        evaluation=TrialResult(
            metrics={"accuracy": accuracy, "f1": accuracy},
            outcome={"gates": list(gates), "champion": measured},
        ),
        champion=None if champion is None else champion[0],
    )


def against_champion(
    tracking: Tracking, packed: Packed, identity: str, name: str, accuracy: float, other: float
) -> Registered:
    uri = versions.champion_model(tracking, name)
    return register(tracking, candidate(packed, identity, name, accuracy, champion=(uri, other)))


def test_the_first_version_becomes_champion_with_its_lineage(
    tracking: Tracking, table: Packed
) -> None:
    """Version 1.0.0 carries metrics, gates, and where it comes from."""
    made = register(tracking, candidate(table, "sweep001", "first", 0.95))
    version = made.version
    assert (version.version, version.semantic, version.aliases) == (1, "1.0.0", ("champion",))
    assert (made.decision.verdict, version.gap) == (Verdict.CHAMPION, None)
    assert version.metrics == {"accuracy": 0.95, "f1": 0.95}
    assert [gate.metric for gate in version.gates] == ["accuracy"]
    wanted = {
        "modelyard.sweep": "sweep001",
        "modelyard.trial": "4",
        "modelyard.data_digest": table.digest,
        "modelyard.experiment_digest": "d" * 64,
        "modelyard.git_commit": "abc123",
        "modelyard.seed": "7",
    }
    assert wanted.items() <= version.tags.items()
    run = tracking.client.get_run(version.tags["modelyard.run"])
    assert run.data.tags["modelyard.kind"] == "sweep"


def test_registering_a_sweep_again_changes_nothing(tracking: Tracking, table: Packed) -> None:
    """A repeated stage returns the recorded version, and moves no alias."""
    given = candidate(table, "sweep002", "again", 0.95)
    first = register(tracking, given)
    tracking.client.delete_registered_model_alias("again", "champion")
    second = register(tracking, given)
    assert (second.version.version, second.version.aliases) == (1, ())
    assert second.decision == first.decision
    assert len(versions.versions(tracking, "again")) == 1


def test_a_register_that_was_cut_short_is_finished(tracking: Tracking, table: Packed) -> None:
    """A crash between version and aliases leaves nothing that the next try can't finish."""
    given = candidate(table, "sweep003", "cut", 0.95)
    register(tracking, given)
    tracking.client.delete_registered_model_alias("cut", "champion")
    tracking.client.delete_model_version_tag("cut", "1", "modelyard.settled")
    assert register(tracking, given).version.aliases == ("champion",)


def test_a_better_version_becomes_champion_and_can_be_rolled_back(
    tracking: Tracking, table: Packed
) -> None:
    """The old champion becomes previous; a rollback swaps both, and another swaps back."""
    register(tracking, candidate(table, "sweep010", "better", 0.95))
    made = against_champion(tracking, table, "sweep011", "better", 0.96, 0.95)
    assert (made.version.version, made.version.semantic) == (2, "1.1.0")
    assert made.version.aliases == ("champion",)
    assert made.version.gap == pytest.approx(0.01)
    assert made.version.tags["modelyard.parent_version"] == "1"
    assert versions.aliases(tracking, "better") == {"champion": 2, "previous": 1}
    assert versions.rollback(tracking, "better").version == 1
    assert versions.aliases(tracking, "better") == {"champion": 1, "previous": 2}
    assert versions.rollback(tracking, "better").version == 2


def test_a_worse_version_becomes_challenger(tracking: Tracking, table: Packed) -> None:
    """The champion stays, and the gap is kept on the challenger."""
    register(tracking, candidate(table, "sweep020", "worse", 0.95))
    made = against_champion(tracking, table, "sweep021", "worse", 0.90, 0.95)
    assert made.version.aliases == ("challenger",)
    assert made.version.gap == pytest.approx(-0.05)
    assert versions.aliases(tracking, "worse") == {"champion": 1, "challenger": 2}


def test_a_rejected_version_keeps_its_evidence(tracking: Tracking, table: Packed) -> None:
    """The version is there, with the gate that refused it, and serves nowhere."""
    failed = {**GATE, "value": 0.8, "passed": False}
    made = register(tracking, candidate(table, "sweep030", "refused", 0.8, gates=(failed,)))
    assert made.version.aliases == ("rejected",)
    assert made.version.gates[0].passed is False
    assert made.version.tags["modelyard.verdict"] == "rejected"
    assert versions.champion_model(tracking, "refused") is None
    with pytest.raises(InputError, match="nothing can be undone"):
        versions.rollback(tracking, "refused")


def test_a_champion_that_changed_meanwhile_is_not_replaced(
    tracking: Tracking, table: Packed
) -> None:
    """Who wasn't measured on these rows isn't judged by them."""
    register(tracking, candidate(table, "sweep040", "meanwhile", 0.95))
    made = register(tracking, candidate(table, "sweep041", "meanwhile", 0.99))
    assert made.version.aliases == ("challenger",)
    assert "became champion while this model was evaluated" in made.decision.sentence


def test_other_columns_make_a_major_version(
    tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """A caller of 1.x could not call it: it is 2.0.0."""
    register(tracking, candidate(table, "sweep050", "columns", 0.95))
    narrow = table_model(tmp_path, drop=("age",))
    made = against_champion(tracking, narrow, "sweep051", "columns", 0.96, 0.95)
    assert made.version.semantic == "2.0.0"


def test_an_alias_of_ones_own_serves_instead_of_champion(tracking: Tracking, table: Packed) -> None:
    """``register.alias`` names the alias of the version that serves; a rollback moves it."""
    made = register(tracking, candidate(table, "sweep060", "alias", 0.95, alias="production"))
    assert made.version.aliases == ("production",)
    uri = versions.champion_model(tracking, "alias", "production")
    better = candidate(table, "sweep061", "alias", 0.96, champion=(uri, 0.95), alias="production")
    assert register(tracking, better).version.aliases == ("production",)
    assert versions.rollback(tracking, "alias").aliases == ("production",)
    assert versions.aliases(tracking, "alias") == {"production": 1, "previous": 2}


def test_a_date_may_be_a_text_or_a_moment() -> None:
    """MLflow leaves it to the model: CSV gives texts, Parquet moments."""
    when = ColumnCard(name="when", type="number", missing=0, unique=2, date=True)
    card = DataCard(
        kind="table", task="classification", rows=2, columns=(when,), target="y", classes=("a", "b")
    )
    column = Column(values=np.array([1.0, 2.5]), missing=np.zeros(2, dtype=bool), date=True)
    inputs = signature.model_signature(card, Rows(columns={"when": column})).inputs
    assert inputs.to_dict() == [{"name": "when", "type": "any", "required": True}]


def test_an_objective_that_was_not_evaluated_is_said(tracking: Tracking, table: Packed) -> None:
    """The metric that decides must be there."""
    given = candidate(table, "sweep080", "unevaluated", 0.95)
    without = replace(given, evaluation=TrialResult(metrics={"f1": 0.9}))
    with pytest.raises(ModelyardError, match="accuracy was not evaluated"):
        register(tracking, without)


def test_a_version_changed_on_disk_is_not_handed_out(
    tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """Each file is what was registered, or nothing is served."""
    register(tracking, candidate(table, "sweep090", "changed", 0.95))
    folder = versions.version_folder(tracking, "changed", 1, cache=tmp_path)
    assert json.loads((folder / "example.json").read_text())["dataframe_records"]
    description = folder / "model.json"
    description.write_text(description.read_text() + " ")
    with pytest.raises(DigestMismatch, match=r"model\.json"):
        versions.version_folder(tracking, "changed", 1, cache=tmp_path)


def test_an_unknown_version_is_named_with_the_known_ones(
    tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """The error lists what there is."""
    register(tracking, candidate(table, "sweep100", "known", 0.95))
    with pytest.raises(InputError, match="no version 7; there are: 1"):
        versions.version_folder(tracking, "known", 7, cache=tmp_path)
    assert versions.versions(tracking, "never-heard-of") == []


def test_a_version_to_start_from_is_held_fast(
    tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """By number or alias it is the same exact version, of known files and family."""
    register(tracking, candidate(table, "sweep130", "start", 0.95))

    found = pinned(tracking, Version.parse("models:/start@champion"))

    assert found == pinned(tracking, Version.parse("models:/start/1"))
    assert (found.version, found.family) == ("models:/start/1", "random-forest")
    assert found.uri == versions.champion_model(tracking, "start")
    folder = versions.version_folder(tracking, "start", 1, cache=tmp_path)
    digests = {name: entry.blake3 for name, entry in read_manifest(folder).items()}
    assert found.digest == digest_of(digests)


UNKNOWN = {
    "models:/starr/1": ("no model 'starr' in the registry.* did you mean 'start'?", "start"),
    "models:/start/7": ("no version 7; there are: 1", "models:/start/1"),
    "models:/start@champio": ("the alias champio; there are: champion", "models:/start@champion"),
    "models:/strange/1": ("was not registered by Modelyard", None),
    "models:/start/1": ("random-forest, which is grown and not trained on", None),
}


@pytest.mark.parametrize("source", UNKNOWN)
def test_a_version_that_cannot_be_started_from(
    source: str, tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """One mistake at the file's key, with what there is and what is most like it."""
    register(tracking, candidate(table, "sweep130", "start", 0.95))
    if "strange" in source:
        tracking.client.create_registered_model("strange")
        tracking.client.create_model_version("strange", tmp_path.as_uri())
    words, near = UNKNOWN[source]

    with pytest.raises(ExperimentError, match=words) as caught:
        pin(source, "auto", Library(tracking, Paths(tmp_path)), FolderStore())

    (mistake,) = caught.value.mistakes
    assert (mistake.path, mistake.value) == ("model.weights.source", source)
    assert mistake.nearest == near
    assert near is None or near in mistake.valid


LOAD = """
import json, sys
import mlflow, pandas as pd
from sklearn.datasets import load_digits
uri, csv = sys.argv[1:]
mlflow.set_tracking_uri(uri)
table = mlflow.pyfunc.load_model("models:/pyfunc-table@champion")
image = mlflow.pyfunc.load_model("models:/pyfunc-image/1")
raw = pd.read_csv(csv).drop(columns="churned")
whole = raw.dropna().astype({"age": "int64"})
print(json.dumps({
    "missing": len(table.predict(raw.head(20))),
    "whole": len(table.predict(whole.head(3))),
    "table_example": len(table.predict(table.input_example)),
    "digits": len(image.predict(load_digits().images[:4])),
    "image_example": len(image.predict(image.input_example)),
    "inputs": table.metadata.signature.inputs.input_names(),
}))
"""


def test_versions_load_as_pyfunc_without_pickle(
    tracking: Tracking, table: Packed, tmp_path: Path
) -> None:
    """A stranger's process that refuses pickle loads them, and they take raw input: frames read
    from the CSV, with missing cells or whole numbers, and scikit-learn's images."""
    register(tracking, candidate(table, "sweep110", "pyfunc-table", 0.95))
    register(tracking, candidate(image_model(tmp_path), "sweep120", "pyfunc-image", 0.95))
    csv = table.model.parent / "customers.csv"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, tracking.tracking_uri, str(csv)],
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "missing": 20,
        "whole": 3,
        "table_example": 5,
        "digits": 4,
        "image_example": 5,
        "inputs": ["age", "spend", "plan"],
    }
