"""Whether an own model, loaded as a server will load it, is still the one that was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.code.errors import OwnCodeError
from modelyard.data.rows import Part
from modelyard.models.packed import load
from modelyard.train.job import FitOutcome

ROWS = 64
TOLERANCE = 1e-3
"""A GPU that measured and the CPU that answers differ by less; what was lost shows as more."""


def check_rebuilt(folder: Path, fitted: FitOutcome, rows: Part) -> None:
    """Load a packed model and let it answer some rows beside the one that was fitted.

    What a class keeps beside its parameters and buffers isn't saved, and its metrics would be
    those of another model. One that answers by chance, also when asked twice, isn't judged.

    Args:
        folder: that it was packed into.
        fitted: the model in memory.
        rows: raw; some of them are asked about.

    Raises:
        OwnCodeError: the two answer differently.
    """
    some = rows.take(np.arange(min(ROWS, len(rows))))
    features = fitted.preprocessor.transform(some)
    before, again = (fitted.estimator.predict(features) for _ in range(2))
    if not np.array_equal(before, again):
        return
    after = load(folder).predict(some).output
    unit = float(np.std(before)) or 1.0
    if not np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE * unit):
        raise OwnCodeError(
            f"{fitted.family}, built again with its saved weights, answers differently: it keeps "
            "something that training changed, or that was drawn at random, outside its parameters "
            "and buffers; use nn.Parameter or register_buffer for it"
        )
