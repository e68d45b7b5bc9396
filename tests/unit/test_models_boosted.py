"""XGBoost and LightGBM: fitted, kept without pickle, and said to be missing where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import InputError
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.model import Experiment, Model
from modelyard.models import families
from modelyard.models.boosted import Order, fit_boosted, load_boosted
from modelyard.models.boosters import XGBOOST
from modelyard.models.packed import load
from modelyard.registry.packing import _of_library
from modelyard.train.fit import fit
from tests.support.fitting import SMALL, Recorder, digits, job, table

BOOSTERS = ["xgboost", "lightgbm"]


@pytest.mark.parametrize("family", BOOSTERS)
@pytest.mark.parametrize("kind", ["ten classes", "two classes", "numbers"])
def test_what_was_fitted_is_what_is_loaded(family: str, kind: str, tmp_path: Path) -> None:
    """Learnt, measured, packed as the library's own text and loaded: the very same answers, which
    are probabilities, and twice the same fit."""
    if kind == "ten classes":
        snapshot = digits(tmp_path / "data", rows=300)
    else:
        snapshot = table(tmp_path / "data", regression=kind == "numbers")
    parameters = {"n_estimators": 30}
    fitted = fit(job(snapshot, tmp_path / "s", family=family, parameters=parameters), Recorder())
    again = fit(job(snapshot, tmp_path / "s", family=family, parameters=parameters), Recorder())
    fitted.pack(tmp_path / "model")
    rows = snapshot.rows("test")
    output = load(tmp_path / "model").predict(rows).output

    expected = fitted.estimator.predict(fitted.preprocessor.transform(rows))
    np.testing.assert_array_equal(output, expected)
    assert again.metrics == fitted.metrics
    assert not list((tmp_path / "model").glob("*.skops"))
    (needed,) = _of_library(tmp_path / "model")
    assert needed.startswith(family)
    if kind == "numbers":
        assert fitted.metrics["r2"] > 0.8
    else:
        assert fitted.metrics["accuracy"] > 0.8
        np.testing.assert_allclose(output.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("family", BOOSTERS)
@pytest.mark.parametrize("damage", [b"", b"not a model", b"\xff\xfe"])
def test_damaged_model_is_refused(family: str, damage: bytes, tmp_path: Path) -> None:
    """A file that isn't the library's is a ValueError in one line, as of every packed model."""
    file = tmp_path / "model"
    file.write_bytes(damage)

    with pytest.raises(ValueError, match="can't read the model"):
        load_boosted(file, family, 2)


def test_a_library_that_is_missing_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the library isn't installed the family is refused by the check and by the trial, with
    the command that installs it, and isn't among those that either of them offers."""
    gone = replace(XGBOOST, library="no_such_library_here")
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, "xgboost": gone})
    snapshot = table(tmp_path / "data", rows=60)
    experiment = Experiment(
        name="e", data={"source": "a.csv", "target": "churned"}, model="xgboost"
    )
    catalogue = Catalogue(families={**families.FAMILIES}, metrics={}, chosen="xgboost")

    with pytest.raises(InputError, match=r"pip install 'modelyard\[boosters\]'"):
        families.resolve(experiment, snapshot.card)
    said = [m.path for m in check(experiment, catalogue) if "isn't installed" in m.message]
    assert said == ["model.family"]
    for wrong in ("forest", "cnn"):  # unknown, and not for tables
        named = experiment.model_copy(update={"model": Model(family=wrong)})
        with pytest.raises(InputError, match="lightgbm") as caught:
            families.resolve(named, snapshot.card)
        assert "xgboost" not in str(caught.value)
    assert "xgboost" not in catalogue.fitting()


@pytest.mark.parametrize("family", BOOSTERS)
def test_a_class_without_a_training_row_has_probability_none(family: str) -> None:
    """Four classes of which a fold has two: the others are unlikely, and nothing fails."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(120, 3)).astype(np.float32)
    order = Order(family=family, parameters=SMALL[family], classes=4, seed=0, threads=1)
    truth = np.where(features[:, 0] > 0, 3, 1)

    said = fit_boosted(order, features, truth).predict(features)

    assert said.shape == (120, 4)
    assert set(said.argmax(1)) == {1, 3}
