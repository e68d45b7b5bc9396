"""The gradient's norm in each layer, of one batch an epoch."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.health.numbers import Gradients
from modelyard.train.hooks import BatchView, FitView, Hook


class GradientFlow(Hook):
    """Keeps norms of gradients and weights on the device; the host reads them after the fit.

    The batch is the middle one of each epoch. A layer here is a weight of two or more dimensions,
    as those of norms and biases have no matrix that could shrink or blow up a signal.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._weights: tuple[nn.Parameter, ...] = ()
        self._sampled = 0
        self._rows: list[torch.Tensor] = []
        self._epochs: list[int] = []

    def start(self, fit: FitView) -> None:
        """Find the layers."""
        found = {n: p for n, p in fit.module.named_parameters() if p.ndim > 1}
        self._names, self._weights = tuple(found), tuple(found.values())
        self._sampled = fit.steps // 2 + 1

    def batch(self, fit: FitView, batch: BatchView) -> None:
        """Measure the sampled batch."""
        if batch.number != self._sampled or not self._weights:
            return
        gradients = [_dense(weight.grad) for weight in self._weights]
        learnt = [w for w, g in zip(self._weights, gradients, strict=True) if g is not None]
        there = [g for g in gradients if g is not None]
        # All of them at once: for small layers starting a kernel costs more than its work.
        with torch.no_grad():
            norms = torch._foreach_norm([*there, *learnt]) if learnt else ()
        # A layer without gradient is frozen: 0 against a weight of 0 says that it isn't learnt.
        found, frozen = iter(norms), batch.loss.new_zeros(())
        row = [frozen if g is None else next(found) for g in (*gradients, *gradients)]
        self._rows.append(torch.stack([*row, batch.loss]))
        self._epochs.append(fit.epoch)

    def state(self) -> dict[str, torch.Tensor]:
        """All rows so far."""
        if not self._rows:
            return {}
        return {"rows": torch.stack(self._rows), "epochs": torch.tensor(self._epochs)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on behind the rows of a checkpoint."""
        self._rows = list(state["rows"].to(self._weights[0].device))
        self._epochs = state["epochs"].tolist()

    def result(self) -> Gradients | None:
        """What was measured; None for a network without weights, or a fit without an epoch."""
        if not self._rows:
            return None
        count = len(self._names)
        rows = torch.stack(self._rows).cpu().tolist()
        return Gradients(
            layers=tuple(name.removesuffix(".weight") for name in self._names),
            epochs=tuple(self._epochs),
            norms=tuple(tuple(row[:count]) for row in rows),
            weights=tuple(tuple(row[count : 2 * count]) for row in rows),
            losses=tuple(row[-1] for row in rows),
        )


def _dense(gradient: torch.Tensor | None) -> torch.Tensor | None:
    """Sparse ones, of an embedding of one's own, have no norm that could be taken with others."""
    return None if gradient is None or gradient.is_sparse else gradient
