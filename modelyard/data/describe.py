"""One look at the data, before anything is started."""

from __future__ import annotations

from pathlib import Path

from modelyard.data.card import DataCard
from modelyard.data.dataset import load
from modelyard.data.folds import cut_folds
from modelyard.data.partition import partition
from modelyard.experiment.model import Data


def describe(data: Data, base: Path, *, seed: int = 0) -> DataCard:
    """What the data is, and that it can be read, split and learnt from.

    Args:
        data: the experiment's data section.
        base: folder that a relative ``data.source`` starts from.
        seed: the experiment's.

    Raises:
        DataError: it can't; names file, column and row.
    """
    dataset = load(data, base)
    cut_folds(dataset, data, seed, partition(dataset, data, seed))
    return dataset.card
