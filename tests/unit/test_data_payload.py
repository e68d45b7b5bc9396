"""Rows to predict for: what is taken, and how each misfit is named."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelyard.data.encoders import CategoryEncoder, ImageEncoder, NumberEncoder
from modelyard.data.preprocess import Preprocessor
from modelyard.errors import SchemaMismatch

NUMBER: dict[str, Any] = {"median": 1.0, "mean": 0.0, "scale": 1.0, "indicator": False}
TABLE = Preprocessor(
    columns=(
        NumberEncoder(name="age", **NUMBER),
        CategoryEncoder(name="region", categories=("north", "5"), rare=False, missing=True),
        NumberEncoder(name="joined", date=True, **NUMBER),
        CategoryEncoder(name="member", categories=("false", "true"), rare=False, missing=False),
    ),
    ignored=("id", "churned"),
)
IMAGES = Preprocessor(images=ImageEncoder(shape=(2, 3, 1), mean=(0.0,), scale=(1.0,)))
ROW = {"age": 30, "region": "north", "joined": "2024-03-31", "member": True}


def test_records_columns_and_arrays_are_one() -> None:
    """A list of records, a dict of columns and an array give the same rows."""
    records = TABLE.parse([ROW, {**ROW, "age": 31.5}]).records()
    columns = {name: [value] * 2 for name, value in ROW.items()} | {"age": [30, 31.5]}
    assert TABLE.parse(columns).records() == records
    array = np.array([list(ROW.values()), [31.5, "north", "2024-03-31", True]], dtype=object)
    assert TABLE.parse(array).records() == records
    assert records[1] == {"age": 31.5, "region": "north", "joined": "2024-03-31", "member": "true"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"age": "30.5"}, {"age": 30.5}),
        ({"age": " 3e1 "}, {"age": 30.0}),
        ({"age": ""}, {"age": None}),
        ({"age": "NA"}, {"age": None}),
        ({"age": float("nan")}, {"age": None}),
        ({"age": "inf"}, {"age": None}),
        ({"age": 10**400}, {"age": None}),
        ({"age": np.float32(1.5)}, {"age": 1.5}),
        ({"region": None}, {"region": None}),
        ({"region": " null "}, {"region": None}),
        ({"region": "never seen"}, {"region": "never seen"}),
        ({"region": 5}, {"region": "5"}),
        ({"region": 5.0}, {"region": "5"}),
        ({"member": "TRUE"}, {"member": "true"}),
        ({"joined": None}, {"joined": None}),
        ({"joined": "2024-03-31T12:00Z"}, {"joined": "2024-03-31T12:00:00"}),
        ({"joined": datetime(2024, 3, 31, 12)}, {"joined": "2024-03-31T12:00:00"}),
        ({"joined": date(2024, 3, 31)}, {"joined": "2024-03-31"}),
        ({"joined": pd.NaT}, {"joined": None}),
        ({"id": object(), "churned": "yes"}, {}),
    ],
)
def test_cells_as_they_come(cells: dict[str, Any], expected: dict[str, Any]) -> None:
    """Cells are taken as they stand in CSV, JSON or a frame; ignored columns may be there."""
    usual = {"age": 30.0, "region": "north", "joined": "2024-03-31", "member": "true"}
    assert TABLE.parse([{**ROW, **cells}]).records() == [{**usual, **expected}]


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        ({"age": "old"}, "age", "row 2, column 'age': 'old' (text) is not a number"),
        ({"age": True}, "age", "row 2, column 'age': 'True' (a boolean) is not a number"),
        ({"age": [1]}, "age", "row 2, column 'age': '[1]' (a list) is not a number"),
        ({"age": "1_000"}, "age", "row 2, column 'age': '1_000' (text) is not a number"),
        ({"region": {}}, "region", "row 2, column 'region': '{}' (an object) is not a text"),
        ({"joined": 3}, "joined", "row 2, column 'joined': '3' (a number) is not a date such as"),
        ({"joined": "May"}, "joined", "row 2, column 'joined': 'May' (text) is not a date such"),
        ({"Age": 1}, "Age", "row 2: unknown column 'Age'. Did you mean 'age'?"),
        ({"xyz": 1}, "xyz", "row 2: unknown column 'xyz'. There are: age, region, joined, member"),
    ],
)
def test_misfits_in_records(cells: dict[str, Any], column: str, message: str) -> None:
    """A misfit is named with its row, its column and its value."""
    with pytest.raises(SchemaMismatch) as caught:
        TABLE.parse([ROW, {**ROW, **cells}])
    assert caught.value.column == column
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "column", "message"),
    [
        ([], "", "there are no rows"),
        ({name: [] for name in ROW}, "", "there are no rows"),
        ([ROW, 3], "", "row 2 must be a record of column names and cells, not a number"),
        ("age", "", "a list of records or a dict of columns, not text"),
        (None, "", "a list of records or a dict of columns, not null"),
        (
            [ROW, {name: ROW[name] for name in ("age", "joined", "member")}],
            "region",
            "row 2: column 'region' is missing",
        ),
        (
            [ROW, {"age": 1}],
            "region",
            "row 2: columns 'region', 'joined', 'member' are missing",
        ),
        ({"age": [1]}, "region", "columns 'region', 'joined', 'member' are missing"),
        ({**ROW}, "age", "column 'age' must be a list of cells, not a number"),
        (
            {name: [value] for name, value in ROW.items()} | {"member": [True, False]},
            "member",
            "column 'member' has 2 cells where 'age' has 1",
        ),
        (np.zeros((2, 3)), "", "an array of rows is (n, 4)"),
    ],
)
def test_misshapen_payloads(payload: Any, column: str, message: str) -> None:
    """A payload of the wrong shape is answered with the right one."""
    with pytest.raises(SchemaMismatch) as caught:
        TABLE.parse(payload)
    assert caught.value.column == column
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(4, 2, 3), (4, 2, 3, 1), (4, 6)])
def test_shapes_of_images(shape: tuple[int, ...]) -> None:
    """Images of one channel may come with or without it, or flat."""
    images = np.arange(24.0).reshape(shape)
    found = IMAGES.parse(images).images
    assert found is not None
    assert found.shape == (4, 2, 3, 1)
    assert np.array_equal(found.ravel(), images.ravel())


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (np.zeros((4, 3, 2)), "(n, 2, 3, 1) or (n, 6) or (n, 2, 3); this has shape (4, 3, 2)"),
        (np.zeros((0, 2, 3)), "there are no rows"),
        ([[[1, 2, 3], [1, 2]]], "not all of one shape"),
        (np.full((1, 6), np.nan), "row 1 has a pixel that is NaN, infinite or beyond float32"),
        (np.full((1, 6), 1e39), "row 1 has a pixel that is NaN, infinite or beyond float32"),
        ([["a"] * 6], "images are an array of numbers"),
        ([{"x": 1}], "images are an array of numbers"),
    ],
)
def test_misshapen_images(payload: Any, message: str) -> None:
    """Images of another shape or type are answered with the shapes that fit."""
    with pytest.raises(SchemaMismatch) as caught:
        IMAGES.parse(payload)
    assert message in str(caught.value)
