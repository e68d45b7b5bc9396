"""A batch that is larger than what there is to learn from."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.experiment.catalogue import Family
from modelyard.experiment.model import Experiment
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
    size, split = experiment.train.batch_size, experiment.data.split
    learnt = round(rows * split.train * experiment.data.sample)
    if not family.network or "batch_size" in space or size <= learnt:
        return None
    return (
        f"train.batch_size {size:,} is more than the {learnt:,} rows or so that are learnt from: "
        "each epoch is one step. Make it smaller to have more of them."
    )
