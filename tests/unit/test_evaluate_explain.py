"""Why a model predicts as it does: importance over rows, and single predictions."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.rows import Rows
from modelyard.data.snapshot import Snapshot
from modelyard.data.texts import Texts
from modelyard.evaluate import examples, importance
from modelyard.evaluate.deadline import Deadline
from modelyard.evaluate.examples import Chosen, explain_each, pick
from modelyard.evaluate.explain import explain
from modelyard.evaluate.explanation import Example, Explanation
from modelyard.experiment.explain import Explain
from modelyard.models.classical import ClassicalEstimator, build_classical
from modelyard.models.estimator import Array
from modelyard.models.families import FAMILIES
from modelyard.models.network import NetworkEstimator, Shape
from modelyard.models.predictor import Predictor
from modelyard.report import reasons
from modelyard.report.material import Material
from tests.support.fitting import digits, table

AMPLE_SECONDS = 3600
"""For explanations of which nothing is to be left out, however slow the machine."""


class Told:
    """An estimator that answers with a function of the features."""

    def __init__(self, answer: Callable[[Array], Array]) -> None:
        self.answer = answer

    def predict(self, features: Array) -> Array:
        """The function's."""
        return np.asarray(self.answer(features), np.float64)


def model_of(snapshot: Snapshot, estimator: object) -> Predictor:
    """A model of a snapshot with an estimator of its own."""
    return Predictor(
        family="mlp",
        parameters={},
        card=snapshot.card,
        preprocessor=Preprocessor.fit(snapshot.rows("train"), snapshot.card),
        estimator=estimator,  # type: ignore[arg-type]
    )


def trees(snapshot: Snapshot, family: str) -> Predictor:
    """Trees fitted to a snapshot."""
    model = model_of(snapshot, None)
    small = {"n_estimators": 8} if family == "random-forest" else {"max_iter": 8}
    fitted = build_classical(family, FAMILIES[family].complete(small), snapshot.card.task, 0)
    fitted.fit(model.preprocessor.transform(snapshot.rows("train")), snapshot.target("train"))
    return model_of(snapshot, ClassicalEstimator(fitted, len(snapshot.card.classes)))


def explained(model: Predictor, snapshot: Snapshot, metric: str, **wanted: float) -> Explanation:
    """The explanation of a model on the test split."""
    output = model.predict(snapshot.rows("test")).output
    return explain(
        model,
        snapshot,
        output,
        metric=metric,
        wanted=Explain.model_validate({"seconds": AMPLE_SECONDS, **wanted}),
        seed=3,
    )


def test_a_column_that_nothing_depends_on_has_no_importance(tmp_path: Path) -> None:
    """Importance is the metric's loss in its good direction, the largest first, and 0 for what
    the model doesn't look at."""
    snapshot = table(tmp_path / "data", regression=True)
    # Of the features the first is age, then whether age is missing.
    model = model_of(snapshot, Told(lambda features: 1000 + features[:, 0]))

    found = explained(model, snapshot, "rmse", examples=0)

    assert found.importance[0].name == "age"
    assert found.importance[0].drop > 0
    assert [(one.drop, one.spread) for one in found.importance[1:]] == [(0, 0), (0, 0)]
    assert found.notes == ()


@pytest.mark.parametrize("family", ["random-forest", "gradient-boosting"])
@pytest.mark.parametrize("regression", [False, True])
def test_shapley_values_of_trees_add_up(family: str, regression: bool, tmp_path: Path) -> None:
    """Base and contributions of a row's columns add up to what the trees predict for it."""
    snapshot = table(tmp_path / "data", regression=regression)
    model = trees(snapshot, family)

    found = explained(model, snapshot, "rmse" if regression else "accuracy", examples=4)

    assert len(found.examples) == 4
    for example in found.examples:
        assert {one.name for one in example.contributions} == set(snapshot.rows("test").columns)
        assert example.base is not None
        total = example.base + sum(one.amount for one in example.contributions)
        if regression:
            assert total == pytest.approx(example.prediction, rel=1e-4)
        else:
            share = 1 / (1 + np.exp(-total)) if example.unit == "log-odds" else total
            assert share == pytest.approx(example.confidence, abs=1e-4)


def test_shapley_values_by_sampling_add_up(tmp_path: Path) -> None:
    """For models that aren't trees the values are sampled, and add up all the same; numpy's
    global generator isn't touched."""
    snapshot = table(tmp_path / "data", regression=True)
    model = model_of(snapshot, Told(lambda f: 1000 + 3 * f[:, 0] - f[:, 2]))
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)

    found = explained(model, snapshot, "rmse", examples=2)

    assert np.random.random() == expected
    for example in found.examples:
        assert example.base is not None
        total = example.base + sum(one.amount for one in example.contributions)
        assert total == pytest.approx(example.prediction, rel=1e-3)
        assert {one.name for one in example.contributions[:2]} == {"age", "income"}


def test_without_the_library_the_rest_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where shap isn't installed importance is there, and how to get the rest is said."""
    snapshot = table(tmp_path / "data")
    monkeypatch.setitem(__import__("sys").modules, "shap", None)

    found = explained(trees(snapshot, "random-forest"), snapshot, "accuracy")

    assert len(found.importance) == 3
    assert found.examples == ()
    assert "pip install modelyard[explain]" in found.notes[0]


def test_the_patch_that_is_looked_at_is_found(tmp_path: Path) -> None:
    """Of a model that looks at one pixel, that pixel's patch alone is important."""
    snapshot = digits(tmp_path / "data", rows=200)
    encoder = Preprocessor.fit(snapshot.rows("train"), snapshot.card)

    def answer(features: Array) -> Array:
        said = np.full((len(features), 10), 0.01)
        said[np.arange(len(features)), (features[:, 0, 2, 3] > 0).astype(int)] = 1
        return said

    model = model_of(snapshot, Told(answer))
    bright = encoder.transform(snapshot.rows("test"))[:, 0, 2, 3] > 0
    model.card = snapshot.card
    sample = snapshot.rows("test")

    def drop(changed: Rows) -> float:
        return float(np.mean(model.predict(changed).output.argmax(axis=1) != bright))

    found = importance.of_patches(sample, drop, Deadline(AMPLE_SECONDS))

    assert found is not None
    assert np.argwhere(found > 0).tolist() == [[2, 3]]


def test_integrated_gradients_add_up_to_the_prediction(tmp_path: Path) -> None:
    """An image's map adds up to what its prediction has over the baseline's, and the image is
    kept beside it."""
    snapshot = digits(tmp_path / "data", rows=200)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    model = model_of(snapshot, NetworkEstimator(net, Shape(inputs=(1, 8, 8), outputs=10)))

    found = explained(model, snapshot, "accuracy", examples=3, rows=20)

    nothing = model.estimator.predict(np.zeros((1, 1, 8, 8), np.float32))[0]
    for example in found.examples:
        assert example.method == "integrated gradients"
        base = nothing[snapshot.card.classes.index(str(example.prediction))]
        assert np.sum(example.map) == pytest.approx(example.confidence - base, abs=1e-3)
        picture = Image.open(io.BytesIO(base64.b64decode(example.image or "")))
        assert picture.size == (8, 8)
    assert found.patches is not None
    assert np.shape(found.patches) == (8, 8)


def test_trees_on_images_are_explained_by_occlusion(tmp_path: Path) -> None:
    """Where there is no gradient, a map is what the prediction loses without each patch."""
    snapshot = digits(tmp_path / "data", rows=200)
    model = model_of(snapshot, Told(lambda f: np.eye(10)[(f[:, 0, 2, 3] > 9).astype(int)]))

    found = explained(model, snapshot, "accuracy", examples=2, rows=20)

    assert {example.method for example in found.examples} == {"occlusion"}
    assert np.shape(found.examples[0].map) == (8, 8)


def sentences() -> tuple[Rows, Array]:
    """Reviews whose sentiment is in one word."""
    texts = ["a good film", "Good, good story", "the story was bad", "a bad film!"] * 3
    return Rows(columns={}, texts=Texts.of("review", texts)), np.array([1, 1, 0, 0] * 3)


def sentiment() -> Predictor:
    """Says good where the word stands."""
    rows, _ = sentences()
    card = DataCard(
        kind="text",
        task="classification",
        rows=12,
        target="sentiment",
        classes=("bad", "good"),
        columns=(ColumnCard(name="review", type="text", missing=0, unique=4),),
    )
    preprocessor = Preprocessor.fit(rows, card)
    assert preprocessor.text is not None
    good = 2 + preprocessor.text.words.index("good")
    return Predictor(
        family="lstm",
        parameters={},
        card=card,
        preprocessor=preprocessor,
        estimator=Told(lambda ids: np.eye(2)[(ids == good).any(axis=1).astype(int)]),  # type: ignore[arg-type]
    )


def test_the_word_that_counts_is_found() -> None:
    """Over all texts and in a single one, the word that decides is the most important."""
    rows, truth = sentences()
    model = sentiment()
    output = model.predict(rows).output

    def drop(changed: Rows) -> float:
        return float(np.mean(model.predict(changed).output.argmax(axis=1) != truth))

    over_all = importance.of_words(rows, output, drop, Deadline(AMPLE_SECONDS))
    chosen = Chosen(
        rows=rows.take(np.array([1])),
        source=np.array([7]),
        truth=truth[1:2],
        output=output[1:2],
        background=rows,
    )
    (example,) = explain_each(model, chosen, model.card, Deadline(AMPLE_SECONDS), seed=0)

    assert (over_all[0].name, over_all[0].drop) == ("good", 0.5)
    assert (example.row, example.text) == (7, "Good, good story")
    assert [(one.name, one.amount) for one in example.contributions if one.amount] == [("good", 1)]


def test_time_that_has_run_out_is_said(tmp_path: Path) -> None:
    """What there was no time for is left out and named; what was found by then is kept."""
    snapshot = table(tmp_path / "data")

    found = explained(trees(snapshot, "random-forest"), snapshot, "accuracy", seconds=1e-9)

    assert found.importance == found.examples == ()
    assert found.notes == (
        "the importance of age and the columns after it was left out after half of 1e-09 s "
        "(explain.seconds).",
        "the explanation of 8 of 8 single predictions was left out after 1e-09 s "
        "(explain.seconds).",
    )


@pytest.mark.parametrize("family", ["random-forest", "sampled"])
def test_shapley_values_found_in_time_are_kept(family: str, tmp_path: Path) -> None:
    """The end is looked for before each row, and a row's values don't hang on those before it."""
    snapshot = table(tmp_path / "data")
    shares = np.array([[0.2, 0.8], [0.6, 0.4]])
    model = (
        model_of(snapshot, Told(lambda features: shares[(features[:, 0] > 0).astype(int)]))
        if family == "sampled"
        else trees(snapshot, family)
    )

    def some(rows: slice, calls: int) -> tuple[list[Example], list[str]]:
        chosen = Chosen(
            rows=snapshot.rows("test").take(rows),
            source=snapshot.source_rows("test")[rows],
            truth=snapshot.target("test")[rows],
            output=model.predict(snapshot.rows("test").take(rows)).output,
            background=snapshot.rows("train").take(slice(20)),
        )
        asked = iter(range(100))
        deadline = Deadline(AMPLE_SECONDS, lambda: next(asked) == calls)
        return explain_each(model, chosen, snapshot.card, deadline, 0), deadline.notes

    (whole, nothing), (kept, notes) = some(slice(1, 3), 9), some(slice(2, 5), 1)

    assert (len(whole), nothing) == (2, [])
    assert kept == whole[1:]
    assert notes == [
        "the explanation of 2 of 3 single predictions was left out, as the launch was told to stop."
    ]


def test_patches_looked_at_in_time_are_kept() -> None:
    """A map of importance that isn't finished has holes, in its file and its picture too."""
    rows = Rows(columns={}, images=np.zeros((2, 4, 4, 1), np.uint8))
    asked = iter(range(100))
    deadline = Deadline(AMPLE_SECONDS, lambda: next(asked) == 3)

    found = importance.of_patches(rows, lambda _changed: 0.5, deadline)

    assert found is not None
    told = Explanation(metric="accuracy", value=1, rows=2, patches=tuple(map(tuple, found)))
    again = Explanation.model_validate_json(told.model_dump_json())
    assert np.array_equal(again.patches, found, equal_nan=True)
    assert np.isnan(found).sum() == 13
    assert deadline.notes == [
        "the importance of 13 of 16 patches was left out, as the launch was told to stop."
    ]
    picture = reasons.importance(Material(title="", metric="accuracy", explanation=again))
    assert picture is not None


def test_who_is_told_to_stop_explains_no_more(tmp_path: Path) -> None:
    """What is left when the launch is told to stop is left out, and that is said."""
    snapshot = table(tmp_path / "data")
    model = trees(snapshot, "random-forest")
    output = model.predict(snapshot.rows("test")).output

    found = explain(
        model, snapshot, output, metric="accuracy", wanted=Explain(), seed=3, ending=lambda: True
    )

    assert found.importance == found.examples == ()
    assert all("told to stop" in note for note in found.notes)


def test_examples_explained_before_one_fails_are_kept() -> None:
    """What couldn't be explained, and those after it, are counted with the reason."""
    rows, truth = sentences()
    model = sentiment()
    count = len(truth)
    chosen = Chosen(
        rows=rows,
        source=np.arange(count),
        truth=truth[: count - 1],
        output=model.predict(rows).output,
        background=rows,
    )
    deadline = Deadline(AMPLE_SECONDS)

    found = explain_each(model, chosen, model.card, deadline, seed=0)

    assert len(found) == count - 1
    (note,) = deadline.notes
    assert note.startswith(f"the explanation of 1 of {count} single predictions failed: IndexError")


def test_a_model_that_breaks_is_explained_as_far_as_it_goes(tmp_path: Path) -> None:
    """An error while explaining is a note, and the explanation is there."""
    snapshot = table(tmp_path / "data", regression=True)
    calls = iter(range(1000))

    def answer(features: Array) -> Array:
        if next(calls) > 3:
            raise RuntimeError("out of order")
        return features[:, 0]

    found = explained(model_of(snapshot, Told(answer)), snapshot, "mae", examples=2)

    assert found.notes == (
        "importance failed: RuntimeError: out of order",
        "the explanation of single predictions failed: RuntimeError: out of order",
    )


def test_mistakes_are_explained_first() -> None:
    """Half of the examples are the surest mistakes, the others are drawn."""
    truth = np.zeros(20, int)
    output = np.tile([0.9, 0.1], (20, 1))
    output[4], output[7], output[9] = (0.4, 0.6), (0.1, 0.9), (0.3, 0.7)

    found = pick(truth, output, 4, seed=0).tolist()

    assert found[:2] == [7, 9]
    assert len(set(found)) == 4
    assert pick(truth.astype(float), np.eye(20)[3] * 5, 2, seed=0)[0] == 3


def test_a_large_map_keeps_its_sum() -> None:
    """A map is made smaller by adding up cells, so that amounts stay amounts."""
    cells = np.random.default_rng(0).normal(size=(97, 40))

    assert examples._pooled(cells).shape == (32, 32)
    assert examples._pooled(cells).sum() == pytest.approx(cells.sum())
