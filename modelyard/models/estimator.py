"""What every fitted model can do, whatever its family."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

WEIGHTS, TREES = "weights.safetensors", "model.skops"
"""File of a network, and of scikit-learn's trees, in a packed model's folder."""

XGBOOST_JSON, LIGHTGBM_TEXT = "model.xgboost.json", "model.lightgbm.txt"
"""Those of the boosting libraries, in their own formats."""


class Estimator(Protocol):
    """A fitted model on preprocessed features. Not for two threads at once."""

    def predict(self, features: Array) -> Array:
        """The model's output.

        Args:
            features: float32, (n, features) for tables, (n, C, H, W) for images.

        Returns:
            float64: probabilities (n, classes) in the card's order of classes, or values (n,)
            in the target's own unit.
        """

    def save(self, folder: Path) -> Path:
        """Write all that was learnt into one file of the folder; returns the file."""

    def shape_json(self) -> dict[str, Any] | None:
        """Shape of a network, which its file doesn't tell; None for trees."""
