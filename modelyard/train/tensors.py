"""The data of a fit as tensors on the device; batches are index selects of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from modelyard.errors import InputError
from modelyard.models.estimator import Array
from modelyard.models.network import Scale, features_tensor


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split, whole on the device.

    Args:
        features: (n, features) or (n, C, H, W) float32, or (n, length) int32 ids.
        target: (n,) int64 class indices, or float32 standardised values.
        truth: the same as numpy in the target's own unit, for metrics.
    """

    features: torch.Tensor
    target: torch.Tensor
    truth: Array

    def __len__(self) -> int:
        return len(self.truth)


def to_device(features: Array, truth: Array, scale: Scale | None, device: torch.device) -> Split:
    """Copy a split to the device.

    Args:
        features: preprocessed, float32, or int32 for ids.
        truth: class indices, or values in their own unit.
        scale: of a regression's target, None for classes.
    """
    target = truth if scale is None else (truth - scale.mean) / scale.deviation
    kind = np.int64 if scale is None else np.float32
    return Split(
        features=features_tensor(features).to(device),
        target=torch.from_numpy(np.array(target, kind, order="C")).to(device),
        truth=truth,
    )


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
