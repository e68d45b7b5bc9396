"""Texts: in the snapshot as bytes, as ids of words with a vocabulary of the training part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.dataset import load
from modelyard.data.describe import describe
from modelyard.data.prepare import prepare
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.data.texts import Texts
from modelyard.data.tokens import PADDING, UNKNOWN, TextEncoder, tokenizer
from modelyard.errors import DataError, SchemaMismatch
from modelyard.experiment.model import Data
from modelyard.store.store import store_for

REVIEWS = [(f"{'good' if i % 2 else 'bad'} film, number {i}", i % 2) for i in range(40)]


def snapshot(folder: Path, **data: Any) -> Snapshot:
    """The snapshot of a CSV with one column of texts."""
    rows = "".join(f'{i},"{text}",{("no", "yes")[y]}\n' for i, (text, y) in enumerate(REVIEWS))
    (folder / "a.csv").write_text("id,review,liked\n" + rows)
    base = (folder / "store").as_uri()
    made = prepare(
        Data(source="a.csv", target="liked", kind="text", drop=("id",), **data),
        seed=7,
        base=folder,
        store=store_for(base),
        store_base=base,
    )
    return open_snapshot(store_for(base).fetch(made.uri))


@settings(max_examples=50)
@given(st.lists(st.text(max_size=20), max_size=12), st.randoms(use_true_random=False))
def test_texts_are_what_went_in(texts: list[str], random: Any) -> None:
    """Any texts come back as they were, taken in any order and packed."""
    order = list(range(len(texts)))
    random.shuffle(order)
    column = Texts.of("t", texts)
    taken = column.take(np.array(order, dtype=np.int64))
    assert list(column) == texts
    assert list(taken.packed()) == list(taken) == [texts[i] for i in order]
    assert taken.packed().data.tobytes() == "".join(texts[i] for i in order).encode()


def test_a_snapshot_of_texts(tmp_path: Path) -> None:
    """A CSV with one column of texts is kept as bytes with offsets, split and stratified."""
    opened = snapshot(tmp_path)
    assert opened.card.kind == "text"
    assert [(c.name, c.type, c.unique) for c in opened.card.columns] == [("review", "text", 40)]
    for part in ("train", "validation", "test"):
        rows = opened.rows(part)
        assert rows.texts is not None
        found = list(zip(rows.texts, opened.target(part).tolist(), strict=True))
        assert found == [REVIEWS[i] for i in opened.source_rows(part)]
        assert rows.records()[0] == {"review": found[0][0]}
    assert len(opened.rows("train")) == 28


def test_the_vocabulary_is_of_the_training_part_only(tmp_path: Path) -> None:
    """Words of the other parts have no id; a text served has the ids that it has in a batch."""
    opened = snapshot(tmp_path)
    train, test = opened.rows("train"), opened.rows("test")
    fitted = Preprocessor.fit(train, opened.card)
    again = Preprocessor.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert fitted.text is not None
    assert fitted.text.words[:3] == (",", "film", "number")
    numbers = {str(i) for i in opened.source_rows("train")}
    assert {word for word in fitted.text.words if word.isdigit()} == numbers
    ids = again.transform(test)
    assert ids.dtype == np.int32
    assert ids.shape == (6, 5)
    assert (ids[:, 4] == UNKNOWN).all()
    assert ids.max() < fitted.text.size
    assert test.texts is not None
    alone = again.transform(again.parse([next(iter(test.texts))]))
    assert np.array_equal(alone[0], ids[0])


def test_limits_of_vocabulary_and_length() -> None:
    """Rarer words are unknown, longer texts cut, shorter ones padded; what is lost is said."""
    texts = Texts.of("t", ["a a a b b c", "A b!", ""])
    fitted = TextEncoder.fit(texts, words=2, length=4)
    assert fitted.words == ("a", "b")
    assert (fitted.size, fitted.length) == (4, 4)
    ids = fitted.transform(texts)
    assert ids.tolist() == [[2, 2, 2, 3], [2, 3, UNKNOWN, PADDING], [PADDING] * 4]
    assert fitted.notes == (
        "2 rare words of the training texts have no id of their own: the vocabulary ends at 2.",
        "1 training texts are cut after 4 tokens.",
    )
    whole = TextEncoder.fit(texts)
    assert (whole.length, whole.notes) == (6, ())


def test_tokens() -> None:
    """Words in small letters with their apostrophes, and signs one by one."""
    assert tokenizer()("Don't PANIC — it’s 3.5°, été!") == [
        *["don't", "panic", "—", "it’s", "3", ".", "5", "°", ",", "été", "!"]
    ]


@pytest.mark.parametrize(
    "payload",
    [
        ["good film", None],
        [{"review": "good film"}, {"review": None}],
        [{"review": "good film", "id": 3}, {"review": "", "liked": "no"}],
        {"review": ["good film", float("nan")]},
        np.array(["good film", ""]),
        np.array([["good film"], [""]], dtype=object),
    ],
)
def test_texts_to_predict_for(payload: Any, tmp_path: Path) -> None:
    """Strings, records, columns and arrays are read alike; nothing is an empty text."""
    opened = snapshot(tmp_path)
    rows = Preprocessor.fit(opened.rows("train"), opened.card).parse(payload)
    assert rows.texts is not None
    assert list(rows.texts) == ["good film", ""]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("good film", "texts are a list of strings or records"),
        ([], "there are no rows"),
        ([["good"]], "row 1, column 'review': \"['good']\" (a list) is not a text"),
        ([{"reviews": "x"}], "unknown column 'reviews'. Did you mean 'review'?"),
        ([{"review": "x"}, "y"], "row 2 must be a record"),
        ({"review": "x"}, "must be a list of cells"),
    ],
)
def test_wrong_texts_to_predict_for(payload: Any, message: str, tmp_path: Path) -> None:
    """What is no text is refused with its place."""
    opened = snapshot(tmp_path)
    fitted = Preprocessor.fit(opened.rows("train"), opened.card)
    with pytest.raises(SchemaMismatch) as caught:
        fitted.parse(payload)
    assert message in str(caught.value)


def test_empty_texts_are_said(tmp_path: Path) -> None:
    """A cell without a text is an empty one, and named."""
    rows = "".join(f'"{text}",{y}\n' for text, y in REVIEWS)
    (tmp_path / "a.csv").write_text(f"t,y\n,1\n{rows}")
    dataset = load(Data(source="a.csv", target="y", kind="text"), tmp_path)
    assert "Texts without anything in them: line 2." in dataset.card.notes
    assert dataset.card.columns[0].missing == 1


def test_a_table_of_a_million_empty_cells(tmp_path: Path) -> None:
    """A CSV that is mostly empty is described, its empty columns named as useless."""
    filled = "".join(f"{i},{i % 2},{',' * 99}\n" for i in range(10_000))
    head = ",".join(["n", "y", *(f"e{i}" for i in range(100))])
    (tmp_path / "a.csv").write_text(f"{head}\n{filled}")
    card = describe(Data(source="a.csv", target="y"), tmp_path)
    assert sum(column.missing for column in card.columns) == 1_000_000
    assert any(note.startswith("Without any value, of no use: e0, e1") for note in card.notes)


def test_a_wrong_kind_of_column_is_named(tmp_path: Path) -> None:
    """kind text takes one column of texts."""
    (tmp_path / "a.csv").write_text("a,b,y\nx,y,1\nz,w,0\n")
    with pytest.raises(DataError, match=r"has 2 columns to learn from \(a, b\)"):
        load(Data(source="a.csv", target="y", kind="text"), tmp_path)
