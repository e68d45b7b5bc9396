"""Signature, example and version number of a model version."""

from __future__ import annotations

import numpy as np

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.rows import Column, Rows
from modelyard.registry.signature import example, fingerprint, input_example, next_semantic

CARD = DataCard(
    kind="table",
    task="classification",
    rows=3,
    columns=(
        ColumnCard(name="age", type="number", missing=1, unique=2),
        ColumnCard(name="plan", type="category", missing=1, unique=2),
    ),
    target="churned",
    classes=("no", "yes"),
)
ROWS = Rows(
    columns={
        "age": Column(values=np.array([31.0, 0.0, 4.0]), missing=np.array([False, True, False])),
        "plan": Column(
            values=np.array([0, 1, -1], dtype=np.int32),
            missing=np.array([False, False, True]),
            categories=("basic", "pro"),
        ),
    }
)


def test_the_example_holds_rows_as_they_stand_in_the_source() -> None:
    """Missing cells are null."""
    assert example(ROWS) == {
        "dataframe_records": [
            {"age": 31.0, "plan": "basic"},
            {"age": None, "plan": "pro"},
            {"age": 4.0, "plan": None},
        ]
    }


def test_numbers_of_the_input_example_are_doubles() -> None:
    """A missing number is NaN, in a column of doubles."""
    frame = input_example(ROWS)
    assert str(frame.dtypes["age"]) == "float64"
    assert frame.isna().to_numpy().tolist() == [[False, False], [True, False], [False, True]]


def test_images_of_one_channel_come_without_its_axis() -> None:
    """(n, H, W, 1) is sent as (n, H, W), and all numbers as numpy makes them from JSON."""
    grey = Rows(columns={}, images=np.ones((7, 2, 3, 1), dtype=np.float32))
    coloured = Rows(columns={}, images=np.ones((7, 2, 3, 3), dtype=np.uint8))
    assert np.shape(example(grey)["instances"]) == (5, 2, 3)
    assert (input_example(grey).dtype, input_example(grey).shape) == (np.float64, (5, 2, 3))
    assert (input_example(coloured).dtype, input_example(coloured).shape) == (
        np.float64,
        (5, 2, 3, 3),
    )


def test_versions_count_minor_until_the_signature_changes() -> None:
    """New weights are a minor version, other columns a major one."""
    assert next_semantic(None, same_signature=False) == "1.0.0"
    assert next_semantic("1.9.0", same_signature=True) == "1.10.0"
    assert next_semantic("1.10.0", same_signature=False) == "2.0.0"


def test_the_fingerprint_sees_what_callers_rely_on_and_nothing_else() -> None:
    """More rows or missing cells change nothing; a type, a class or a column does."""
    more = CARD.model_copy(update={"rows": 99, "notes": ("a note",)})
    classes = CARD.model_copy(update={"classes": ("no", "yes", "maybe")})
    columns = CARD.model_copy(update={"columns": CARD.columns[:1]})
    assert fingerprint(more) == fingerprint(CARD)
    assert len({fingerprint(CARD), fingerprint(classes), fingerprint(columns)}) == 3
