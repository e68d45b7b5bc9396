"""Histograms of weights and biases, after a few epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from modelyard.health.numbers import BINS, EPOCHS, Array, Histogram
from modelyard.train.hooks import FitView, Hook

SAMPLE = 8192
"""Most elements of a tensor that are counted, evenly spaced."""

SPACING = 3
"""Fewest epochs from one count to the next, beyond first and last: of a small network's epoch a
count takes a twentieth."""

TENSORS = 64
"""Most tensors, evenly spaced over the network's depth."""


class WeightHistograms(Hook):
    """Counts weights and biases in bins between each one's extremes, after at most ten epochs."""

    def __init__(self) -> None:
        self._tensors: dict[str, nn.Parameter] = {}
        self._due: frozenset[int] = frozenset()
        self._epochs: list[int] = []
        self._edges: list[Array] = []
        self._counts: list[Array] = []

    def start(self, fit: FitView) -> None:
        """Choose tensors and epochs."""
        # Layers are what has a matrix; the scales and shifts of norms aren't shown.
        weights = dict(fit.module.named_parameters())
        layers = {name.rpartition(".")[0] for name, tensor in weights.items() if tensor.ndim > 1}
        found = [(n, t) for n, t in weights.items() if n.rpartition(".")[0] in layers]
        self._tensors = dict(found[index] for index in evenly(len(found), TENSORS))
        epochs = min(EPOCHS, max(2, fit.epochs // SPACING))
        self._due = frozenset(index + 1 for index in evenly(fit.epochs, epochs))

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> None:  # noqa: ARG002 - the hook's
        """Count, where the epoch is one of those."""
        if fit.epoch not in self._due or not self._tensors:
            return
        found = [_histogram(tensor) for tensor in self._tensors.values()]
        self._edges.append(np.stack([edges for edges, _ in found]))
        self._counts.append(np.stack([counts for _, counts in found]))
        self._epochs.append(fit.epoch)

    def state(self) -> dict[str, torch.Tensor]:
        """All counts so far."""
        if not self._epochs:
            return {}
        return {
            "epochs": torch.tensor(self._epochs),
            "edges": torch.from_numpy(np.stack(self._edges)),
            "counts": torch.from_numpy(np.stack(self._counts)),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on behind the counts of a checkpoint."""
        self._epochs = state["epochs"].tolist()
        self._edges = list(state["edges"].numpy())
        self._counts = list(state["counts"].numpy())

    def result(self) -> tuple[tuple[Histogram, ...], dict[str, Array]]:
        """The histograms and their arrays, see ``health.numbers``."""
        if not self._epochs:
            return (), {}
        edges, counts = np.stack(self._edges, axis=1), np.stack(self._counts, axis=1)
        arrays = {}
        for index in range(len(self._tensors)):
            arrays[f"histogram.{index}.edges"] = edges[index]
            arrays[f"histogram.{index}.counts"] = counts[index]
        return tuple(self._named(name) for name in self._tensors), arrays

    def _named(self, name: str) -> Histogram:
        layer, _, last = name.rpartition(".")
        return Histogram(
            layer=layer or name,
            part="bias" if "bias" in last else "weight",
            epochs=tuple(self._epochs),
        )


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most so many of ``count`` things, evenly spaced, with first and last."""
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, most))})


def _histogram(tensor: torch.Tensor) -> tuple[Array, Array]:
    """Edges (bins + 1,) float32 and counts (bins,) int32 of a tensor's elements."""
    flat = tensor.detach().reshape(-1)
    # On the CPU: small histograms cost more to start on another device than to copy.
    flat = flat[:: -(-flat.numel() // SAMPLE)].float().cpu()
    low, high = (float(end) for end in flat.aminmax())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    # torch's takes a third of the time of numpy's, which counts where it is most.
    counts = torch.histc(flat, BINS, low, high)
    return np.linspace(low, high, BINS + 1, dtype=np.float32), counts.int().numpy()
