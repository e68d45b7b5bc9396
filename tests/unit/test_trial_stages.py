"""What trials with folds, with a sample, and the winner's fit come to, through the stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelyard.contract import Exit, LaunchKey, Scalar, Stage, TrialResult, TrialSpec
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.models.packed import load
from modelyard.store.folder import FolderStore
from modelyard.trial.checkpoints import Resumption
from modelyard.trial.failures import failure_of
from modelyard.trial.stages import Work, do_stage
from tests.support.fitting import Recorder

CSV = "a,b,y\n" + "".join(f"{i % 17},{i % 5},{'pq'[(i % 17) > 8]}\n" for i in range(120))

FOREST = MappingProxyType({"family": "random-forest", "parameters": {"n_estimators": 3}})


def stage(
    folder: Path,
    stage: Stage,
    report: Recorder,
    snapshot: str = "",
    parameters: Mapping[str, Scalar] = MappingProxyType({}),
    model: Mapping[str, Any] = FOREST,
    **data: Any,
) -> Any:
    """One launch's work, on a table of 120 rows and with a small forest."""
    (folder / "a.csv").write_text(CSV)
    experiment = Experiment.model_validate(
        {
            "name": "a",
            "data": {"source": str(folder / "a.csv"), "target": "y", **data},
            "model": dict(model),
            "objective": {"metric": "accuracy"},
        }
    )
    scratch = folder / f"scratch-{stage}"
    scratch.mkdir(exist_ok=True)
    key = LaunchKey(sweep="abcdefgh", task="0" if stage is Stage.TRIAL else stage, number=1)
    base = (folder / "artifacts").as_uri()
    return do_stage(
        Work(
            spec=TrialSpec(
                key=key,
                stage=stage,
                document="d",
                inputs={"snapshot": snapshot},
                parameters=dict(parameters),
            ),
            experiment=experiment,
            store=FolderStore(),
            store_base=base,
            folder=f"{base}/{key.task}",
            scratch=scratch,
            resumption=Resumption(),
            code=None,
            weights=None,
            reporter=report,
        )
    )


def fitted(folder: Path, **data: Any) -> tuple[TrialResult, Recorder, TrialResult, str]:
    """A trial's result and what it reported, the winner's fit, and the URI of their data."""
    uri = stage(folder, Stage.PREPARE, Recorder(), **data).outcome["snapshot"]
    report = Recorder()
    trial = stage(folder, Stage.TRIAL, report, uri, **data)
    return trial, report, stage(folder, Stage.TRAIN, Recorder(), uri, **data), uri


def test_a_trial_with_folds_is_mean_and_spread(tmp_path: Path) -> None:
    """Its metrics are means, its spread stands beside the objective, and it has no model."""
    trial, report, _, _ = fitted(tmp_path, folds=3, repeats=2)

    steps = [report.curve[step]["validation_accuracy"] for step in range(1, 7)]
    assert trial.metrics["accuracy"] == np.mean(steps)
    assert trial.metrics["accuracy_std"] == np.std(steps, ddof=1)
    assert [one["metrics"]["accuracy"] for one in trial.outcome["folds"]] == steps
    scores = [one["health"]["health"] for one in trial.outcome["folds"]]
    assert trial.health["health"] == np.mean(scores)
    assert trial.outcome["family"] == "random-forest"
    assert trial.outcome["parameters"]["n_estimators"] == 3
    assert (trial.model, trial.step) == (None, None)


def test_the_winner_of_folds_is_fitted_on_the_training_part(tmp_path: Path) -> None:
    """It is the very model that it would be without folds."""
    (tmp_path / "plain").mkdir()
    plain = fitted(tmp_path / "plain")[0]
    train = fitted(tmp_path, folds=3)[2]

    assert train.metrics == plain.metrics
    assert train.model is not None
    assert load(FolderStore().fetch(train.model)).card.target == "y"


def test_the_winner_of_a_sample_is_fitted_on_everything(tmp_path: Path) -> None:
    """Trials learn from a share, and all read the same snapshot as those that don't."""
    (tmp_path / "plain").mkdir()
    plain, _, _, whole = fitted(tmp_path / "plain")
    trial, _, train, uri = fitted(tmp_path, sample=0.1)

    assert whole.rsplit("/", 1)[-1] == uri.rsplit("/", 1)[-1]
    assert trial.metrics != plain.metrics == train.metrics


def test_a_trial_says_what_of_a_default_space_follows_the_data(tmp_path: Path) -> None:
    """Of a space that the server filled in, which no document holds, but not of what was fixed."""
    uri = stage(tmp_path, Stage.PREPARE, Recorder()).outcome["snapshot"]

    def why(name: str, **parameters: Scalar) -> str:
        (tmp_path / name).mkdir()
        found = stage(tmp_path / name, Stage.TRIAL, Recorder(), uri, parameters)
        return str(found.outcome["why"])

    said = "random-forest, as the experiment says"
    leaves = "; leaves of at least 1 to 8 rows, for 120 rows"
    assert why("searched", min_samples_leaf=2) == said + leaves
    assert why("fixed", max_features=0.5) == said


def test_weights_that_dont_fit_are_refused_before_any_trial(tmp_path: Path) -> None:
    """By the prepare stage, with every mismatch."""
    file = tmp_path / "w.safetensors"
    save_file({"strange": np.zeros(3, np.float32)}, file)
    model = {"family": "mlp", "weights": {"source": str(file)}}

    with pytest.raises(InputError, match=r"doesn't fit the model in \d+ tensors:\n") as caught:
        stage(tmp_path, Stage.PREPARE, Recorder(), model=model)

    assert "strange: only in the file" in str(caught.value)
    assert failure_of(caught.value).exit is Exit.CONFIGURATION
