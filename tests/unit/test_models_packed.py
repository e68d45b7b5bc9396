"""Packed models: what was fitted predicts the same from raw rows, and nothing foreign loads."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import torch
from blake3 import blake3
from skops import io as skops

from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.errors import DigestMismatch
from modelyard.models.boosted import FILES, BoostedEstimator, Order, fit_boosted
from modelyard.models.classical import ClassicalEstimator, build_classical, flatten
from modelyard.models.families import FAMILIES
from modelyard.models.network import NetworkEstimator, Scale, Shape, build_module
from modelyard.models.packed import PackedModelError, load, pack
from modelyard.models.pyfunc import _load_pyfunc
from tests.support.fitting import SMALL, digits, table, texts


def packed(folder: Path, snapshot: Snapshot, family: str) -> np.ndarray:
    """Pack a small model of a family; returns its output on the test split."""
    card: DataCard = snapshot.card
    preprocessor = Preprocessor.fit(snapshot.rows("train"), card)
    features = preprocessor.transform(snapshot.rows("train"))
    target = snapshot.target("train")
    parameters = FAMILIES[family].complete(SMALL[family])
    estimator: NetworkEstimator | ClassicalEstimator | BoostedEstimator
    if FAMILIES[family].network:
        torch.manual_seed(0)
        shape = Shape(
            inputs=features.shape[1:],
            outputs=len(card.classes) or 1,
            scale=None if card.classes else Scale.of(target),
            vocabulary=preprocessor.text.size if preprocessor.text else None,
        )
        estimator = NetworkEstimator(build_module(family, parameters, shape, 0.5), shape)
    elif family in FILES:
        classes = len(card.classes)
        order = Order(family=family, parameters=parameters, classes=classes, seed=0, threads=1)
        estimator = fit_boosted(order, features, target)
    else:
        model = build_classical(family, parameters, card.task, seed=0)
        estimator = ClassicalEstimator(model.fit(flatten(features), target), len(card.classes))
    pack(
        folder,
        family=family,
        parameters=parameters,
        preprocessor=preprocessor,
        card=card,
        estimator=estimator,
    )
    return estimator.predict(preprocessor.transform(snapshot.rows("test")))


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (family.name, kind)
        for family in FAMILIES.values()
        for kind, of in (
            ("images", "image"),
            ("classes", "table"),
            ("numbers", "table"),
            ("texts", "text"),
        )
        if of in family.kinds
    ],
)
def test_packed_model_predicts_as_it_was_fitted(family: str, kind: str, tmp_path: Path) -> None:
    """What is loaded gives the very output of what was packed, for each family and kind."""
    if kind == "images":
        snapshot = digits(tmp_path / "data", rows=100)
    elif kind == "texts":
        snapshot = texts(tmp_path / "data")
    else:
        snapshot = table(tmp_path / "data", regression=kind == "numbers", rows=100)
    expected = packed(tmp_path / "model", snapshot, family)

    predictor = load(tmp_path / "model")
    prediction = predictor.predict(snapshot.rows("test"))

    assert np.array_equal(prediction.output, expected)
    assert (predictor.family, predictor.card) == (family, snapshot.card)
    if kind == "numbers":
        assert (prediction.labels, prediction.confidence, prediction.probabilities) == (None,) * 3
    else:
        assert prediction.labels is not None
        assert prediction.confidence is not None
        named = [snapshot.card.classes[i] for i in expected.argmax(axis=1)]
        assert prediction.labels.tolist() == named
        assert np.array_equal(prediction.confidence, expected.max(axis=1))


@pytest.mark.parametrize("family", ["mlp", "random-forest"])
def test_rows_served_alone_are_rows_of_a_batch(family: str, tmp_path: Path) -> None:
    """A row as it stands in the CSV, with a missing cell and a new category, is predicted."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), family)
    predictor = load(tmp_path / "model")
    rows = [
        {"age": 1.0, "income": None, "region": "south"},
        {"age": "0.5", "income": -2, "region": "west"},
    ]

    together = predictor.predict(predictor.preprocessor.parse(rows)).output
    alone = [predictor.predict(predictor.preprocessor.parse([row])).output[0] for row in rows]

    assert np.allclose(together, alone, rtol=1e-6)


def test_no_rows_give_no_predictions(tmp_path: Path) -> None:
    """A prediction for no rows is empty and has the right number of classes."""
    snapshot = table(tmp_path / "data", rows=100)
    packed(tmp_path / "model", snapshot, "mlp")

    prediction = load(tmp_path / "model").predict(snapshot.rows("test").take(slice(0, 0)))

    assert prediction.output.shape == (0, 2)


def test_class_that_training_lacks_has_probability_zero() -> None:
    """A tree model that never saw a class still gives one column for each class of the card."""
    model = build_classical("random-forest", {"n_estimators": 3}, "classification", seed=0)
    model.fit(np.zeros((4, 1)), [0, 2, 0, 2])

    assert ClassicalEstimator(model, 3).predict(np.zeros((1, 1)))[0, 1] == 0


@pytest.mark.parametrize("family", ["mlp", "random-forest"])
def test_tampered_weights_are_refused(family: str, tmp_path: Path) -> None:
    """One changed byte of the weights is found by the digest."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), family)
    file = next(f for f in (tmp_path / "model").iterdir() if f.suffix != ".json")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    with pytest.raises(DigestMismatch, match=file.name):
        load(tmp_path / "model")


class Bomb:
    """Would run code if it were ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise AssertionError('a pickle was loaded')",))


def _replace_weights(model: Path, content: bytes) -> None:
    """Swap the weights and set the digest right, as somebody with the whole folder could."""
    description = json.loads((model / "model.json").read_text())
    (model / description["file"]).write_bytes(content)
    description["blake3"] = blake3(content).hexdigest()
    (model / "model.json").write_text(json.dumps(description))


@pytest.mark.parametrize("family", ["mlp", "random-forest"])
def test_pickle_is_refused(family: str, tmp_path: Path) -> None:
    """A pickle in place of the weights is refused and not run, though its digest is right."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), family)
    _replace_weights(tmp_path / "model", pickle.dumps(Bomb()))

    with pytest.raises(PackedModelError):
        load(tmp_path / "model")


def test_skops_file_of_foreign_types_is_refused(tmp_path: Path) -> None:
    """A skops file with a type beyond the allow-list is refused by that type's name."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "random-forest")
    skops.dump({"model": Bomb}, tmp_path / "foreign.skops")
    _replace_weights(tmp_path / "model", (tmp_path / "foreign.skops").read_bytes())

    with pytest.raises(PackedModelError, match="Bomb"):
        load(tmp_path / "model")


def test_skops_file_without_schema_is_refused(tmp_path: Path) -> None:
    """A zip that isn't skops' is refused."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "random-forest")
    with ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a.txt", "a")
    _replace_weights(tmp_path / "model", (tmp_path / "other.zip").read_bytes())

    with pytest.raises(PackedModelError, match="no skops file"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"family": "vgg"}, "no family 'vgg'"),
        ({"family": "random-forest"}, "model.skops"),
        ({"file": "../evil.safetensors"}, "file"),
        ({"parameters": {"hidden": 8}}, "weights"),
        ({"network": None}, "shape"),
        ({"extra": 1}, "extra"),
    ],
)
def test_description_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A description of another format, family, file or size than the weights is refused."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "mlp")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(PackedModelError, match=message):
        load(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_missing_file_is_named(name: str, tmp_path: Path) -> None:
    """A folder without one of the files says which."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "mlp")
    (tmp_path / "model" / name).unlink()

    with pytest.raises(PackedModelError, match=name):
        load(tmp_path / "model")


def test_pyfunc_takes_frames(tmp_path: Path) -> None:
    """Behind MLflow's pyfunc a frame of raw rows gives a frame of predictions."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "random-forest")
    frame = pd.DataFrame({"age": [1.0, np.nan], "income": [0.0, 1.0], "region": ["east", None]})

    found = _load_pyfunc(str(tmp_path / "model")).predict(frame, params=None)

    assert list(found.columns) == ["prediction", "confidence"]
    assert set(found["prediction"]) <= {"no", "yes"}
    assert found["confidence"].between(0.5, 1).all()


def test_pyfunc_takes_images_and_gives_numbers(tmp_path: Path) -> None:
    """Images come as an array; a regression has no confidence."""
    images = digits(tmp_path / "digits", rows=100)
    packed(tmp_path / "images", images, "cnn")
    packed(tmp_path / "numbers", table(tmp_path / "data", regression=True, rows=100), "mlp")
    row = pd.DataFrame({"age": [1.0], "income": [0.0], "region": ["east"]})

    pictures = _load_pyfunc(str(tmp_path / "images")).predict(np.array(images.rows("test").images))
    number = _load_pyfunc(str(tmp_path / "numbers")).predict(row)

    assert len(pictures) == 20
    assert number["prediction"].dtype == np.float64
    assert number["confidence"].isna().all()


def test_loading_imports_no_tracker(tmp_path: Path) -> None:
    """The base install loads and predicts: no MLflow, and no scikit-learn for a network."""
    packed(tmp_path / "model", table(tmp_path / "data", rows=100), "mlp")
    program = (
        "import sys; from pathlib import Path\n"
        "from modelyard.models.pyfunc import _load_pyfunc\n"
        f"model = _load_pyfunc({str(tmp_path / 'model')!r})\n"
        "model.predict(__import__('pandas').DataFrame({'age': [1.], 'income': [0.], "
        "'region': ['east']}))\n"
        "print(*({'mlflow', 'optuna', 'sklearn', 'fastapi'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_trees_are_served_without_torch(tmp_path: Path) -> None:
    """Loading a forest and predicting with it never imports torch, which takes seconds."""
    snapshot = table(tmp_path / "data")
    packed(tmp_path / "model", snapshot, "random-forest")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from modelyard.models.packed import load\n"
        "from modelyard.data.snapshot import open_snapshot\n"
        f"rows = open_snapshot(Path({str(tmp_path / 'data')!r})).rows('test')\n"
        f"load(Path({str(tmp_path / 'model')!r})).predict(rows)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], check=False)

    assert done.returncode == 0
