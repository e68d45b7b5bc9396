"""Texts end to end, and what their networks make of padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from modelyard.data.prepare import prepare
from modelyard.data.snapshot import open_snapshot
from modelyard.data.tokens import PADDING
from modelyard.experiment.model import Data
from modelyard.models.families import FAMILIES
from modelyard.models.network import Shape, build_module
from modelyard.models.pyfunc import PyfuncModel
from modelyard.models.transformer import sinusoids
from modelyard.registry.signature import example, input_example, model_signature
from modelyard.serve.model import EXAMPLE, open_model
from modelyard.serve.payload import decode
from modelyard.store.store import store_for
from modelyard.train.fit import fit
from tests.support.fitting import SMALL, Recorder, job, texts

TEXT = [name for name, family in FAMILIES.items() if "text" in family.kinds]
TRAIN = {"learning_rate": 0.05, "batch_size": 8, "schedule": "constant"}


def module(family: str, length: int = 12, **changed: Any) -> torch.nn.Module:
    """A fresh module for 20 ids and 3 classes, in evaluation mode."""
    torch.manual_seed(0)
    parameters = FAMILIES[family].complete({**SMALL[family], **changed})
    shape = Shape(inputs=(length,), outputs=3, vocabulary=20)
    return build_module(family, parameters, shape, dropout=0.0).eval()


def write_folder(root: Path, rows: int = 40) -> None:
    """A folder of texts for each of two classes, as somebody would fill it."""
    generator = np.random.default_rng(0)
    words = ["the", "film", "was", "long", "and", "I", "saw", "it", "with", "friends", "on", "a"]
    for label, sign in (("bad", "dull"), ("good", "lovely")):
        (root / label).mkdir(parents=True)
        for number in range(rows):
            said = [*generator.choice(words, 6), sign]
            text = " ".join(generator.permutation(said))
            (root / label / f"{number}.txt").write_text(text, encoding="utf-8")


def test_a_folder_of_texts_becomes_a_model_that_answers(tmp_path: Path) -> None:
    """From files by prepare, fit and pack to a server's answers, a version's signature and
    MLflow's pyfunc: the whole way of a text."""
    write_folder(tmp_path / "reviews")
    base = (tmp_path / "store").as_uri()
    store = store_for(base)
    made = prepare(Data(source="reviews"), seed=7, base=tmp_path, store=store, store_base=base)
    snapshot = open_snapshot(store.fetch(made.uri))
    work = job(
        snapshot,
        tmp_path / "scratch",
        family="gru",
        epochs=10,
        model={"family": "gru", "parameters": {**SMALL["gru"], "words": 60, "length": 20}},
        train=TRAIN,
    )

    fitted = fit(work, Recorder())
    fitted.pack(tmp_path / "model")
    rows = snapshot.rows("test")
    (tmp_path / "model" / EXAMPLE).write_text(json.dumps(example(rows)))
    served = open_model(tmp_path / "model", name="reviews", version=1)

    assert fitted.metrics["accuracy"] == 1.0
    asked = {"instances": ["Dull, really dull!", "a lovely day"]}
    answers = served.answer(decode(json.dumps(asked).encode()))
    assert [answer["prediction"] for answer in answers] == ["bad", "good"]
    records = {"dataframe_records": [{"text": text} for text in asked["instances"]]}
    assert served.answer(decode(json.dumps(records).encode())) == answers
    signature = model_signature(snapshot.card, rows)
    assert [(c.name, str(c.type)) for c in signature.inputs] == [("text", "DataType.string")]
    frame = input_example(rows)
    assert isinstance(frame, pd.DataFrame)
    assert len(PyfuncModel(served.predictor).predict(frame)) == len(frame) == 5


@pytest.mark.parametrize("family", TEXT)
def test_padding_and_the_batch_do_not_change_an_answer(family: str) -> None:
    """A text's answer is the same alone, beside longer ones, and with padding behind it."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 20, (5, 12), generator=generator, dtype=torch.int32)
    for row, length in enumerate((12, 7, 1, 0, 4)):
        ids[row, length:] = PADDING

    for pooling in ("mean", "last") if family != "transformer" else (None,):
        net = module(family, **({"pooling": pooling} if pooling else {}))
        together = net(ids)
        alone = torch.cat([net(ids[row : row + 1]) for row in range(5)])
        short = net(ids[1:2, :7])

        assert together.isfinite().all()
        torch.testing.assert_close(together, alone)
        torch.testing.assert_close(short, together[1:2])


@pytest.mark.parametrize("family", TEXT)
def test_order_of_words_counts(family: str) -> None:
    """The same words in another order are another text."""
    ids = torch.arange(2, 10, dtype=torch.int32).unsqueeze(0)
    net = module(family)

    assert not torch.allclose(net(ids), net(ids.flip(1)), atol=1e-6)


def test_padding_learns_nothing(tmp_path: Path) -> None:
    """After training the vector of padding is still zero."""
    work = job(
        texts(tmp_path / "data"),
        tmp_path / "scratch",
        family="gru",
        epochs=1,
        parameters=SMALL["gru"],
        train=TRAIN,
    )

    weights = fit(work, Recorder()).estimator.module.state_dict()  # type: ignore[attr-defined]

    assert not weights["words.0.weight"][PADDING].any()
    assert weights["words.0.weight"].any(1).sum() == len(weights["words.0.weight"]) - 1


@pytest.mark.parametrize("family", TEXT)
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "numbers"])
def test_text_families_learn_both_tasks(family: str, regression: bool, tmp_path: Path) -> None:
    """A word decides the class, or their number is the value: each family finds out."""
    work = job(
        texts(tmp_path / "data", regression=regression),
        tmp_path / "scratch",
        family=family,
        epochs=6,
        parameters={**SMALL[family], "words": 50},
        train=TRAIN,
    )

    fitted = fit(work, Recorder())

    if regression:
        assert fitted.metrics["r2"] > 0.5
    else:
        assert fitted.metrics["accuracy"] > 0.9


def test_sinusoids_are_those_of_the_paper() -> None:
    """Place 3, units 0 to 3 of 4: sines and cosines of 3 and of 3 / 100."""
    expected = np.array([np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], np.float32)
    np.testing.assert_allclose(sinusoids(5, 4)[3].numpy(), expected, rtol=1e-5)
    assert sinusoids(5, 3).shape == (5, 3)


@pytest.mark.parametrize("positions", ["learnt", "sinusoidal"])
def test_packed_transformer_answers_as_it_did(positions: str, tmp_path: Path) -> None:
    """Loaded from its folder, with what isn't learnt as well, it gives the very same numbers."""
    snapshot = texts(tmp_path / "data")
    work = job(
        snapshot,
        tmp_path / "scratch",
        family="transformer",
        epochs=1,
        parameters={**SMALL["transformer"], "positions": positions},
    )
    fitted = fit(work, Recorder())
    fitted.pack(tmp_path / "model")

    rows = snapshot.rows("test")
    before = fitted.estimator.predict(fitted.preprocessor.transform(rows))
    after = open_model(tmp_path / "model", name="m", version=1).predictor.predict(rows).output

    np.testing.assert_array_equal(before, after)
