"""How long the vector of all weights is: it grows without weight decay."""

from collections.abc import Mapping

import torch

from modelyard.train.hooks import FitView, Hook


class WeightNorm(Hook):
    """Adds ``weight_norm`` to each epoch's metrics.

    Args:
        squared: tell its square, which weight decay acts on.
    """

    def __init__(self, squared: bool = False) -> None:
        self.squared = squared

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> Mapping[str, float]:
        """Told once an epoch: reading a tensor waits for the device."""
        del values
        with torch.no_grad():
            total = float(sum(weight.square().sum() for weight in fit.module.parameters()))
        return {"weight_norm": total if self.squared else total**0.5}
