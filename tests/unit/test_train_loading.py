"""Where a fit's data lies: what isn't held in memory is read as it is needed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.data import encoders
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.rows import Rows
from modelyard.data.snapshot import Snapshot, open_snapshot, write_snapshot
from modelyard.data.split import Folds, Parts
from modelyard.experiment.training import Train
from modelyard.models.network import Scale
from modelyard.train.loading import Loader


def large_folded(folder: Path) -> Snapshot:
    """8 MB of images and two folds of them."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2000, 64, 64, 1)).astype(np.uint8)
    rows = np.arange(2000)
    folder.mkdir()
    write_snapshot(
        folder,
        card=DataCard(
            kind="image",
            task="regression",
            rows=2000,
            target="y",
            shape=(64, 64, 1),
        ),
        rows=Rows(columns={}, images=images),
        target=images[:, 0, 0, 0].astype(float),
        parts=Parts(rows[:1600], rows[1600:1900], rows[1900:]),
        settings={},
        folds=Folds(numbers=(generator.permutation(1900) % 2 + 1)[None], forward=False),
    )
    return open_snapshot(folder)


def test_of_a_fold_only_the_rows_asked_for_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics and batches of a streamed fold take blocks of memory, and give its own numbers."""
    monkeypatch.setattr(encoders, "VALUES_AT_ONCE", 1 << 14)
    fold = large_folded(tmp_path / "data").fold(1, 2).sampled(0.9, 3)

    tracemalloc.start()
    preprocessor = Preprocessor.fit(fold.part("train"), fold.card)
    loader = Loader(
        snapshot=fold,
        preprocessor=preprocessor,
        scale=Scale(mean=0, deviation=1),
        device=torch.device("cpu"),
        train=Train(resident=False),
        memory_bytes=1,
    )
    wanted = torch.tensor([800, 3, 500])
    ((features, target),) = loader.load("train").batches([wanted])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    whole = fold.rows("train")
    assert whole.images is not None
    assert peak < whole.images.nbytes / 4
    assert preprocessor.images is not None
    assert preprocessor.images.mean == pytest.approx([whole.images.mean()])
    assert preprocessor.images.scale == pytest.approx([whole.images.std()])
    assert np.array_equal(features, preprocessor.transform(whole.take(wanted.numpy())))
    assert target.tolist() == fold.target("train")[wanted.numpy()].tolist()
