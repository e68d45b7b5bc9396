"""The evaluate stage's report, and the comparison with the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from modelyard.api import GateView
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.evaluate.metrics import compute
from modelyard.evaluate.outcome import Evaluation, evaluate
from modelyard.evaluate.predictions import write_predictions
from modelyard.models.predictor import Predictor
from tests.support.fitting import digits, experiment, table


class Fixed:
    """An estimator whose output is given beforehand."""

    def __init__(self, output: np.ndarray) -> None:
        self.output = output

    def predict(self, _features: np.ndarray) -> np.ndarray:
        """The given output."""
        return self.output

    def save(self, folder: Path) -> Path:
        """Nothing to save."""
        return folder


def predictor(snapshot: Snapshot, output: np.ndarray, **card: Any) -> Predictor:
    """A model of a snapshot that says what is given; ``card`` changes what it thinks it learnt."""
    return Predictor(
        family="mlp",
        parameters={},
        card=snapshot.card.model_copy(update=card),
        preprocessor=Preprocessor.fit(snapshot.rows("train"), snapshot.card),
        estimator=Fixed(output),
    )


def said(truth: np.ndarray, wrong: int) -> np.ndarray:
    """Sure probabilities of two classes, so many of the first rows wrong."""
    labels = truth.copy()
    labels[:wrong] = 1 - labels[:wrong]
    return np.eye(2)[labels]


def outcome(
    snapshot: Snapshot, model: Predictor, champion: Predictor | None, **rest: Any
) -> Evaluation:
    """The evaluation on the test split."""
    return evaluate(
        model,
        rows=snapshot.rows("test"),
        truth=snapshot.target("test"),
        card=snapshot.card,
        experiment=experiment(snapshot, **rest),
        champion=champion,
    )


def test_classification_is_told_whole(tmp_path: Path) -> None:
    """Metrics, gates, confusion matrix, classes and row count are in the report, as plain JSON."""
    snapshot = table(tmp_path / "data")
    truth = snapshot.target("test")
    gate = {"metric": "accuracy", "at_least": 0.9, "confidence": 0.95}

    found = outcome(snapshot, predictor(snapshot, said(truth, 2)), None, gates=[gate])

    plain = json.loads(json.dumps(found.outcome, allow_nan=False))
    assert plain == found.outcome
    assert found.metrics["accuracy"] == pytest.approx(1 - 2 / 80)
    assert plain["rows"] == len(truth) == np.sum(plain["confusion"]["matrix"])
    assert plain["confusion"]["classes"] == ["no", "yes"] == list(plain["per_class"])
    assert plain["champion"] is None
    (view,) = (GateView.model_validate(gate) for gate in plain["gates"])
    assert view.passed
    assert view.bound is not None


def test_a_class_without_test_rows_is_named(tmp_path: Path) -> None:
    """A class that the test split lacks is said, and the metrics are of the others."""
    snapshot = table(tmp_path / "data")
    rows = snapshot.target("test") == 0
    candidate = predictor(snapshot, np.tile([0.8, 0.2], (int(rows.sum()), 1)))

    found = evaluate(
        candidate,
        rows=snapshot.rows("test").take(np.flatnonzero(rows)),
        truth=snapshot.target("test")[rows],
        card=snapshot.card,
        experiment=experiment(snapshot),
    )

    assert found.outcome["absent"] == ["yes"]
    assert "auc" not in found.metrics
    assert found.metrics["accuracy"] == 1


@pytest.mark.parametrize("regression", [False, True])
def test_every_prediction_is_kept(regression: bool, tmp_path: Path) -> None:
    """The file holds each test row by its place in the source, and all metrics can be computed
    again from it."""
    snapshot = table(tmp_path / "data", regression=regression)
    truth, card = snapshot.target("test"), snapshot.card
    output = truth + 0.5 if regression else np.linspace([0.9, 0.1], [0.2, 0.8], len(truth))

    file = write_predictions(
        tmp_path / "out",
        rows=snapshot.source_rows("test"),
        truth=truth,
        output=output,
        card=card,
    )

    found = pq.read_table(file).to_pandas()
    assert found["row"].tolist() == snapshot.source_rows("test").tolist()
    if regression:
        again = compute(card.task, found["truth"].to_numpy(), found["prediction"].to_numpy())
    else:
        assert found["confidence"].tolist() == output.max(axis=1).tolist()
        assert found["prediction"].tolist() == [card.classes[i] for i in output.argmax(axis=1)]
        codes = found["truth"].map(card.classes.index).to_numpy()
        again = compute(card.task, codes, found[[f"p:{name}" for name in card.classes]].to_numpy())
    assert again == compute(card.task, truth, output)


def test_regression_has_no_confusion(tmp_path: Path) -> None:
    """Numbers have metrics and gates, but no classes."""
    snapshot = table(tmp_path / "data", regression=True)
    truth = snapshot.target("test")

    found = outcome(
        snapshot,
        predictor(snapshot, truth + 1),
        predictor(snapshot, truth + 3),
        gates=[{"metric": "rmse", "at_most": 2}],
    )

    assert found.outcome["confusion"] is None
    assert found.outcome["per_class"] == {}
    assert found.outcome["gates"][0]["passed"] is True
    assert found.metrics["rmse"] == pytest.approx(1)
    assert found.outcome["champion"]["gap"] == pytest.approx(2)


@pytest.mark.parametrize(("wrong", "gap"), [(2, 2 / 80), (4, 0.0), (8, -4 / 80)])
def test_champion_is_measured_on_the_same_rows(wrong: int, gap: float, tmp_path: Path) -> None:
    """The gap is candidate minus champion in the metric's good direction, on equal rows."""
    snapshot = table(tmp_path / "data")
    truth = snapshot.target("test")

    found = outcome(
        snapshot, predictor(snapshot, said(truth, wrong)), predictor(snapshot, said(truth, 4))
    )

    champion = found.outcome["champion"]
    assert champion["metrics"]["accuracy"] == pytest.approx(1 - 4 / 80)
    assert (champion["metric"], champion["gap"]) == ("accuracy", pytest.approx(gap))


def test_champions_classes_may_be_in_another_order(tmp_path: Path) -> None:
    """A champion with its classes in another order is asked about the right ones."""
    snapshot = table(tmp_path / "data")
    truth = snapshot.target("test")
    turned = predictor(snapshot, said(truth, 0)[:, ::-1], classes=("yes", "no"))

    found = outcome(snapshot, predictor(snapshot, said(truth, 0)), turned)

    assert found.outcome["champion"]["metrics"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"task": "regression", "classes": ()}, "learnt regression"),
        ({"classes": ("no", "perhaps")}, "classes that this data lacks: perhaps"),
        ({"target": "rent"}, "it predicts rent, this model"),
        ({"columns": {"name": "height"}}, "its column height is a number, here it is missing"),
        ({"columns": {"date": True}}, "is a date, here it is number"),
    ],
)
def test_champion_of_other_data_is_no_hindrance(
    change: dict[str, Any], note: str, tmp_path: Path
) -> None:
    """A champion that can't be compared is left out, and the report says why."""
    snapshot = table(tmp_path / "data")
    truth = snapshot.target("test")
    if "columns" in change:
        first, *others = snapshot.card.columns
        change = {"columns": (first.model_copy(update=change["columns"]), *others)}
    champion = predictor(snapshot, said(truth, 0), **change)

    found = outcome(snapshot, predictor(snapshot, said(truth, 1)), champion)

    assert found.outcome["champion"] is None
    assert note in found.outcome["champion_error"]


def test_champion_of_other_images_is_left_out(tmp_path: Path) -> None:
    """Images of another size are no rows for this champion."""
    snapshot = digits(tmp_path / "data", rows=100)
    output = np.eye(10)[snapshot.target("test")]
    card: DataCard = snapshot.card

    found = outcome(
        snapshot, predictor(snapshot, output), predictor(snapshot, output, shape=(9, 9, 1))
    )

    assert card.shape == (8, 8, 1)
    assert "(9, 9, 1)" in found.outcome["champion_error"]
