"""What MLflow's pyfunc flavor calls to load a packed model; nothing here imports MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard.models.estimator import Array
from modelyard.models.packed import load
from modelyard.models.predictor import Predictor


class PyfuncModel:
    """A packed model behind pyfunc's ``predict``."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(
        self,
        model_input: pd.DataFrame | Array,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Columns ``prediction`` and ``confidence`` (NaN for a regression), one row each.

        Args:
            model_input: raw rows or texts as they stand in the source, or images (n, H, W, C).
            params: pyfunc's; this model has none.

        Raises:
            SchemaMismatch: a column is missing or of the wrong type.
        """
        del params
        parse = self.predictor.preprocessor.parse
        if isinstance(model_input, pd.DataFrame):
            rows = parse({str(name): cells.tolist() for name, cells in model_input.items()})
        else:
            rows = parse(model_input)
        prediction = self.predictor.predict(rows)
        confidence = prediction.confidence
        outputs = prediction.labels if prediction.labels is not None else prediction.values
        assert outputs is not None
        return pd.DataFrame(
            {
                "prediction": outputs,
                "confidence": np.full(len(outputs), np.nan) if confidence is None else confidence,
            }
        )


def _load_pyfunc(path: str) -> PyfuncModel:
    """MLflow's entry point of a ``loader_module``.

    Args:
        path: folder (or ``model.json`` within it) that was given as ``data_path``.
    """
    folder = Path(path)
    return PyfuncModel(load(folder if folder.is_dir() else folder.parent))
