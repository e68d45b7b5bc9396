"""Request bodies of the model server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from modelyard.serve.payload import Malformed, decode

ROWS = [{"age": 31, "plan": "basic"}, {"age": None, "plan": "pro"}]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": {"age": [31, None], "plan": ["basic", "pro"]}},
        {"dataframe_split": {"columns": ["age", "plan"], "data": [[31, "basic"], [None, "pro"]]}},
    ],
)
def test_each_shape_gives_the_same_rows(body: dict[str, Any]) -> None:
    """All four shapes of MLflow's protocol mean the same rows."""
    assert decode(json.dumps(body).encode()) == ROWS


def test_images_come_as_an_array() -> None:
    """Nested lists of numbers become one array of examples."""
    images = np.arange(8).reshape(2, 2, 2)
    decoded = decode(json.dumps({"instances": images.tolist()}).encode())
    assert isinstance(decoded, np.ndarray)
    assert decoded.tolist() == images.tolist()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "is a JSON list"),
        (b"{}", "holds nothing"),
        (b'{"rows": []}', "holds rows; send an object with exactly one of dataframe_records"),
        (b'{"inputs": [[1]], "instances": [[1]]}', "holds inputs, instances"),
        (b'{"instances": []}', "is empty"),
        (b'{"instances": {"a": [1, 2], "b": [1]}}', "lists of one length"),
        (b'{"inputs": {}}', "lists of one length"),
        (b'{"inputs": {"a": []}}', "lists of one length"),
        (b'{"instances": [[1, 2], [3]]}', "array of numbers of one shape"),
        (b'{"instances": [["a"]]}', "array of numbers of one shape"),
        (b'{"instances": [[1' + b"0" * 400 + b"]]}", "array of numbers of one shape"),
        (b'{"instances": 3}', "is a JSON number"),
        (b'{"dataframe_records": [{"a": 1}, 2]}', "row 2 of dataframe_records"),
        (b'{"dataframe_records": [[1]]}', "row 1 of dataframe_records"),
        (b'{"dataframe_records": {"a": [1]}}', "is a JSON object"),
        (b'{"dataframe_split": {"columns": ["a"]}}', "needs columns and data"),
        (b'{"dataframe_split": {"columns": "a", "data": []}}', "are lists"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "a column twice"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "row 1 of dataframe_split"),
        (b'{"dataframe_split": {"columns": ["a"], "data": []}}', "is empty"),
    ],
)
def test_a_malformed_body_is_refused_with_what_is_wrong(body: bytes, sentence: str) -> None:
    """Every contradiction is named."""
    with pytest.raises(Malformed, match=sentence):
        decode(body)
