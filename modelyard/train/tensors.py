"""The data of a fit, as the loop takes it: in batches of tensors on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from modelyard.errors import InputError
from modelyard.models.estimator import Array
from modelyard.models.network import PREDICT_BATCH, Scale

Batch = tuple[torch.Tensor, torch.Tensor]
"""Features (n, …) and target (n,), on the device."""


class Split(Protocol):
    """One split of the data.

    Features are (n, features) or (n, C, H, W) float32, or (n, length) int32 ids.
    """

    @property
    def target(self) -> torch.Tensor:
        """(n,) int64 class indices or float32 standardised values, on the device."""
        ...

    @property
    def truth(self) -> Array:
        """The same as numpy in the target's own unit, for metrics."""
        ...

    def __len__(self) -> int:
        """Rows."""
        ...

    def first(self, count: int) -> torch.Tensor:
        """Features of the first rows, on the device."""
        ...

    def batches(self, numbers: Sequence[torch.Tensor]) -> Iterator[Batch]:
        """The batches with these numbers of rows, each (n,) int64 on the CPU."""
        ...

    def parts(self) -> Iterator[torch.Tensor]:
        """All features in the order of the rows, so many at once as are predicted at once."""
        ...


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A split that lies on the device as a whole: batches are index selects of it.

    Args:
        features, target, truth: see ``Split``.
    """

    features: torch.Tensor
    target: torch.Tensor
    truth: Array

    def __len__(self) -> int:
        return len(self.truth)

    def first(self, count: int) -> torch.Tensor:
        """See ``Split``."""
        return self.features[:count]

    def batches(self, numbers: Sequence[torch.Tensor]) -> Iterator[Batch]:
        """See ``Split``."""
        # All of them go to the device at once.
        placed = torch.cat(list(numbers)).to(self.features.device)
        for batch in torch.split(placed, [len(each) for each in numbers]):
            yield self.features.index_select(0, batch), self.target.index_select(0, batch)

    def parts(self) -> Iterator[torch.Tensor]:
        """See ``Split``."""
        return iter(torch.split(self.features, PREDICT_BATCH))


def target_tensor(truth: Array, scale: Scale | None) -> torch.Tensor:
    """What a network is fitted to: class indices as int64, or standardised values as float32."""
    target = truth if scale is None else (truth - scale.mean) / scale.deviation
    kind = np.int64 if scale is None else np.float32
    return torch.from_numpy(np.array(target, kind, order="C"))


def batch_sizes(rows: int, batch_size: int, ranks: int = 1) -> list[int]:
    """Sizes of an epoch's batches over all ranks; the last one may be short.

    A last batch that has not two rows for each rank is left out (other rows each epoch, as they
    are shuffled): batch normalisation can't take a single row, and a rank without any has
    nothing to do.

    Args:
        rows: of the split.
        batch_size: rows of a batch on one rank.
        ranks: that take a batch together.
    """
    whole, rest = divmod(rows, batch_size * ranks)
    kept = rest >= 2 * ranks or (not whole and rest >= ranks)
    return [batch_size * ranks] * whole + ([rest] if kept else [])


def find_device(wanted: str, gpus: int) -> torch.device:
    """Where a fit runs.

    Args:
        wanted: ``train.device``: ``cpu``, ``cuda``, or ``auto``, which is the first visible GPU
            where the trial may use one, else the CPU.
        gpus: that the trial may use.

    Raises:
        InputError: a GPU is wanted and there is none to use.
    """
    found = gpus > 0 and torch.cuda.is_available()
    if wanted == "cuda" and not found:
        why = "torch sees none" if gpus > 0 else "resources.gpus is 0"
        raise InputError(f"train.device: cuda needs a GPU, and {why}; write auto or cpu")
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")
