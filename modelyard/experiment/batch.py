"""A batch that is larger than what there is to learn from."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.experiment.catalogue import Family
from modelyard.experiment.model import Data, Experiment
from modelyard.experiment.search import Parameter


def batch_note(
    experiment: Experiment, family: Family, space: Mapping[str, Parameter], rows: int
) -> str | None:
    """A sentence where each epoch is a single step; None where a batch is a part of the data.

    Args:
        experiment: as it was read.
        family: that will be trained.
        space: what will be searched.
        rows: of the source.
    """
    size = experiment.train.batch_size
    learnt = round(rows * _share(experiment.data))
    if not family.network or "batch_size" in space or size <= learnt:
        return None
    return (
        f"train.batch_size {size:,} is more than the {learnt:,} rows or so that are learnt from: "
        "each epoch is one step. Make it smaller to have more of them."
    )


def _share(data: Data) -> float:
    """Of the rows, what is learnt from; with folds, what the one that learns from most does."""
    split = data.split
    if data.folds == 1:
        return split.train * data.sample
    # By time the first block is learnt from only: there is one more of them than folds.
    blocks = data.folds + (split.by is not None and split.by.time is not None)
    return (split.train + split.validation) * (1 - 1 / blocks) * data.sample
