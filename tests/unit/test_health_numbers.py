"""The numbers that a trial keeps: what is written is read, and damage is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modelyard.health.numbers import (
    Activation,
    Gradients,
    Histogram,
    Kept,
    Numbers,
    NumbersUnreadable,
    Units,
    read,
    write,
)
from modelyard.health.validation import confusion, reliability, scatter

KEPT = Kept(
    numbers=Numbers(
        parameters=42,
        units=(Units(layer="body.1", units=8, idle=1),),
        gradients=Gradients(
            layers=("body.0", "head"),
            epochs=(1, 2),
            norms=((0.1, float("inf")), (0.2, 0.3)),
            weights=((1.0, 2.0), (1.0, 2.0)),
            losses=(2.3, 1.1),
        ),
        histograms=(Histogram(layer="body.0", part="weight", epochs=(1, 2)),),
        activations=(Activation(layer="body.1", channels=(0, 3)),),
    ),
    arrays={
        "histogram.0.edges": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "histogram.0.counts": np.array([[1, 2], [3, 4]], np.int32),
        "images": np.zeros((1, 1, 4, 4), np.float32),
        "activation.0": np.ones((1, 2, 4, 4), np.float32),
    },
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Numbers and arrays come back as they were written, infinite norms too."""
    write(KEPT, tmp_path / "numbers")

    found = read(tmp_path / "numbers")

    assert found.numbers == KEPT.numbers
    assert found.arrays.keys() == KEPT.arrays.keys()
    edges, counts = found.histogram(0)
    assert edges.tolist() == KEPT.arrays["histogram.0.edges"].tolist()
    assert counts.tolist() == [[1, 2], [3, 4]]
    assert found.activation(0).shape == (1, 2, 4, 4)


def test_nothing_measured_is_nothing_kept(tmp_path: Path) -> None:
    """A model of which nothing is known keeps an empty document and no arrays."""
    write(Kept(numbers=Numbers()), tmp_path)

    found = read(tmp_path)

    assert found == Kept(numbers=Numbers(), arrays={})
    assert found.numbers.confusion is None


def test_damage_is_said(tmp_path: Path) -> None:
    """A missing file, a truncated one and a later format are refused by name."""
    with pytest.raises(NumbersUnreadable, match=r"numbers\.json"):
        read(tmp_path)
    write(KEPT, tmp_path)
    whole = (tmp_path / "numbers.npz").read_bytes()
    (tmp_path / "numbers.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NumbersUnreadable):
        read(tmp_path)
    later = {**json.loads((tmp_path / "numbers.json").read_text()), "format": 2}
    (tmp_path / "numbers.json").write_text(json.dumps(later))
    with pytest.raises(NumbersUnreadable, match="format"):
        read(tmp_path)


def test_the_validation_split_as_tables() -> None:
    """Confusion counts every row; reliability bins hold the rows of their confidence."""
    truth = np.array([0, 0, 1, 1])
    output = np.array([[0.9, 0.1], [0.35, 0.65], [0.0, 1.0], [0.05, 0.95]])

    bins = reliability(truth, output)

    assert confusion(truth, output, ("no", "yes")).matrix == ((1, 1), (0, 2))
    assert [(one.low, one.rows, one.accuracy) for one in bins] == [(0.6, 1, 0.0), (0.9, 3, 1.0)]
    assert bins[1].confidence == pytest.approx(0.95)


def test_a_regression_keeps_a_sample() -> None:
    """At most 1000 rows of a regression are kept, spread over the whole split."""
    truth = np.arange(5000.0)

    kept = scatter(truth, truth + 1)

    assert len(kept["regression.true"]) == 1000
    assert kept["regression.true"][[0, -1]].tolist() == [0, 4999]
    assert (kept["regression.predicted"] - kept["regression.true"]).tolist() == [1.0] * 1000
