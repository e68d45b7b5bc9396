"""Where a fit's data lies: on the device as a whole, or in the snapshot, read batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch

from modelyard.data.preprocess import Preprocessor
from modelyard.data.rows import Part
from modelyard.data.snapshot import Snapshot, SplitName
from modelyard.experiment.training import Train
from modelyard.models.network import PREDICT_BATCH, Scale, features_tensor
from modelyard.train.streaming import Streamed
from modelyard.train.tensors import Resident, Split, target_tensor

RESIDENT_SHARE = 0.5
"""Of the memory that data may take: the other half is for the network, its activations, the
optimiser and the program."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Makes the splits of a fit.

    Args:
        snapshot: the data.
        preprocessor: fitted.
        scale: of a regression's target, None for classes.
        device: of the fit.
        train: says whether the data is to be resident, and how many threads read it if not.
        memory_bytes: that the trial may take, ``resources.memory``.
    """

    snapshot: Snapshot
    preprocessor: Preprocessor
    scale: Scale | None
    device: torch.device
    train: Train
    memory_bytes: int

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Shape of one preprocessed example."""
        one = self.preprocessor.transform(self.snapshot.part("train").take(slice(0, 1)))
        return tuple(one.shape[1:])

    @cached_property
    def resident(self) -> bool:
        """Whether training and validation split lie on the device.

        By the file's word; else where both take at most half of what there is: of the trial's
        memory, or of what is free on the GPU.
        """
        if self.train.resident != "auto":
            return self.train.resident
        on_gpu = self.device.type == "cuda"
        there = torch.cuda.mem_get_info(self.device)[0] if on_gpu else self.memory_bytes
        rows = sum(len(self.snapshot.part(name)) for name in ("train", "validation"))
        return rows * math.prod(self.inputs) * 4 <= RESIDENT_SHARE * there

    def load(self, name: SplitName) -> Split:
        """One split."""
        truth = self.snapshot.target(name)
        target = target_tensor(truth, self.scale).to(self.device)
        if self.resident:
            features = whole(self.snapshot.part(name), self.preprocessor, self.device)
            return Resident(features=features, target=target, truth=truth)
        return Streamed(
            self.snapshot.part(name),
            self.preprocessor.transform,
            target=target,
            truth=truth,
            workers=self.train.loader_workers,
        )


def whole(part: Part, preprocessor: Preprocessor, device: torch.device) -> torch.Tensor:
    """All features on a device, some rows at a time, so that beside them little memory is taken.

    Args:
        part: of the snapshot; not empty.
        preprocessor: fitted.
        device: where to.
    """
    starts = range(0, len(part), PREDICT_BATCH)
    blocks = (
        features_tensor(preprocessor.transform(part.take(slice(start, start + PREDICT_BATCH))))
        for start in starts
    )
    first = next(blocks)
    found = torch.empty((len(part), *first.shape[1:]), dtype=first.dtype, device=device)
    for start, block in zip(starts, chain([first], blocks), strict=True):
        found[start : start + PREDICT_BATCH] = block
    return found
