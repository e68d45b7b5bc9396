"""Preprocessing: fitted on the training part, exact through JSON, the same row by row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.columns import of_numbers, of_texts
from modelyard.data.preprocess import Preprocessor
from modelyard.data.rows import Column, Rows
from modelyard.data.values import date, number


def card_of(rows: Rows) -> DataCard:
    """A card with these columns."""
    return DataCard(
        kind="table",
        task="regression",
        rows=len(rows),
        target="y",
        ignored=("id",),
        columns=tuple(
            ColumnCard(
                name=name,
                type="number" if column.categories is None else "category",
                missing=0,
                unique=0,
                date=column.date,
            )
            for name, column in rows.columns.items()
        ),
    )


def fit(**columns: list[Any] | Column) -> tuple[Preprocessor, Rows]:
    """A preprocessor fitted to these columns, and their rows."""
    rows = Rows(
        columns={
            name: cells
            if isinstance(cells, Column)
            else of_texts(cells)
            if any(isinstance(cell, str) for cell in cells)
            else of_numbers(np.array(cells, dtype=np.float64))
            for name, cells in columns.items()
        }
    )
    return Preprocessor.fit(rows, card_of(rows)), rows


def test_numbers_are_standardised_as_scikit_learn_does() -> None:
    """Numbers have mean 0 and deviation 1 over the training rows."""
    values = np.random.default_rng(0).normal(50, 7, 200)
    preprocessor, rows = fit(a=values.tolist())
    expected = StandardScaler().fit_transform(values[:, None]).astype(np.float32)
    assert np.allclose(preprocessor.transform(rows), expected, rtol=1e-6)
    assert preprocessor.feature_names == ("a",)


def test_missing_numbers_take_the_median() -> None:
    """A missing number becomes the training median, and a second feature says so."""
    preprocessor, rows = fit(a=[1.0, 2.0, 30.0, None])
    assert preprocessor.feature_names == ("a", "a is missing")
    encoded = preprocessor.transform(rows)
    assert encoded[3, 0] == encoded[1, 0]
    assert encoded[:, 1].tolist() == [0, 0, 0, 1]


def test_missing_only_when_serving() -> None:
    """Without missing cells in training there is no indicator; the median is taken later."""
    preprocessor, rows = fit(a=[1.0, 2.0, 30.0], c=["x", "y", "y"])
    served = preprocessor.transform(preprocessor.parse([{"a": None, "c": ""}]))
    assert preprocessor.feature_names == ("a", "c=y", "c=x")
    assert served[0, 0] == preprocessor.transform(rows)[1, 0]
    assert served[0, 1:].tolist() == [0, 0]


def test_categories_are_one_hot() -> None:
    """Each category has its feature, the most frequent first, and so have the missing."""
    preprocessor, rows = fit(c=["x", "y", "y", None])
    assert preprocessor.feature_names == ("c=y", "c=x", "c is missing")
    assert preprocessor.transform(rows).tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    unseen = preprocessor.transform(preprocessor.parse([{"c": "z"}]))
    assert unseen.tolist() == [[0, 0, 0]]


def test_rare_categories_share_a_feature() -> None:
    """Beyond fifty categories the rarer ones share a feature, which the unseen have, too."""
    frequent = [f"f{i:02}" for i in range(50)]
    preprocessor, rows = fit(c=[*frequent, *frequent, "rare", "rarer"])
    names = preprocessor.feature_names
    assert len(names) == 51
    assert names[50] == "c is rare"
    encoded = preprocessor.transform(rows)
    assert (encoded.sum(axis=1) == 1).all()
    assert encoded[-2:, 50].tolist() == [1, 1]
    unseen = preprocessor.transform(preprocessor.parse([{"c": "never seen"}]))
    assert unseen[0, 50] == 1


def test_only_training_rows_decide() -> None:
    """A category that only later rows hold has no feature."""
    column = of_texts(["x", "x", "y"])
    rows = Rows(columns={"c": column})
    preprocessor = Preprocessor.fit(rows.take(slice(0, 2)), card_of(rows))
    assert preprocessor.feature_names == ("c=x",)
    assert preprocessor.transform(rows).tolist() == [[1], [1], [0]]


@pytest.mark.parametrize("values", [[0.1] * 7, [None] * 3, [1e300, -1e300], [5e-324, 0.0]])
def test_awkward_numbers(values: list[float | None]) -> None:
    """Constant, empty, huge and tiny columns give finite features, also for numbers far out."""
    preprocessor, rows = fit(a=values)
    assert np.isfinite(preprocessor.transform(rows)).all()
    far = preprocessor.parse([{"a": 1.7e308}, {"a": -1.7e308}, {"a": 0.2}])
    assert np.isfinite(preprocessor.transform(far)).all()


def test_images_are_standardised_by_channel() -> None:
    """Each channel has mean 0 and deviation 1 over training; the channels come first."""
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 6, 3)).astype(np.uint8)
    images[..., 2] = 9
    card = DataCard(kind="image", task="regression", rows=50, target="y", shape=(4, 6, 3))
    rows = Rows(columns={}, images=images)
    preprocessor = Preprocessor.fit(rows, card)
    encoded = preprocessor.transform(rows)
    assert encoded.shape == (50, 3, 4, 6)
    assert encoded.dtype == np.float32
    exact = images[..., :2].astype(np.float64)
    exact = (exact - exact.mean(axis=(0, 1, 2))) / exact.std(axis=(0, 1, 2))
    assert np.allclose(encoded[:, :2], np.moveaxis(exact, 3, 1), atol=1e-5)
    assert (encoded[:, 2] == 0).all()
    for served in (images, images.reshape(50, -1), images.astype(np.float64).tolist()):
        assert np.array_equal(preprocessor.transform(preprocessor.parse(served)), encoded)
    again = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    assert np.array_equal(again.transform(rows), encoded)


numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=64))
texts = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5))


@settings(max_examples=40)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.lists(numbers, min_size=n, max_size=n), st.lists(texts, min_size=n, max_size=n)
        )
    )
)
@example(([1.7e308, 1.6e308], [None, None]))
def test_serving_sees_what_training_saw(
    table: tuple[list[float | None], list[str | None]],
) -> None:
    """Rows that went through JSON have the very features of training, together and alone."""
    a, c = of_numbers(np.array(table[0], dtype=np.float64)), of_texts(table[1])
    preprocessor, rows = fit(a=a, c=c)
    expected = preprocessor.transform(rows)
    assert np.isfinite(expected).all()
    served = Preprocessor.from_json(json.loads(json.dumps(preprocessor.to_json())))
    assert served == preprocessor
    raw = [{"a": x, "c": y} for x, y in zip(*table, strict=True)]
    for sent in (rows.records(), raw):
        records = json.loads(json.dumps(sent))
        assert np.array_equal(served.transform(served.parse(records)), expected)
        alone = [served.transform(served.parse([record]))[0] for record in records]
        assert np.array_equal(alone, expected)


@settings(max_examples=100)
@given(st.text("0123456789.eE+-_x infatyINFATY", max_size=8))
@example("1_0")
@example("1.")
@example(".5e-3")
@example("+1")
@example("-Infinity")
@example("0x10")
@example("1e999")
def test_both_readers_of_numbers_agree(text: str) -> None:
    """What Arrow reads as a number in training is the same number when served."""
    text = text.strip()
    assume(text.lower() != "nan")
    try:
        theirs = pc.cast(pa.array([text]), pa.float64())[0].as_py()
    except pa.ArrowInvalid:
        theirs = None
    assert number(text) == theirs


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1970-01-02", 1.0),
        ("2024-02-29 12:00", 19782.5),
        ("1970-01-01T06:00:00.5Z", (6 * 3600 + 0.5) / 86400),
        ("1970-01-01T02:00+02:00", 0.0),
        ("2024-02-30", None),
        ("20240101", None),
        ("2024-W01-1", None),
        ("01/02/2024", None),
    ],
)
def test_dates(text: str, days: float | None) -> None:
    """ISO 8601 dates and times are days since 1970 in UTC; nothing else is a date."""
    assert date(text) == days
