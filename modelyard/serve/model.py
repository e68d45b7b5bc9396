"""A loaded model version as the server uses it: payload in, answers out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.models.packed import load
from modelyard.models.predictor import Predictor
from modelyard.serve.payload import Payload, decode

EXAMPLE = "example.json"
"""File in a version's folder: a request body that the model must be able to answer."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One version, ready to predict. Not for two threads at once."""

    name: str
    version: int
    predictor: Predictor

    def answer(self, payload: Payload) -> list[dict[str, Any]]:
        """Predictions with their confidence, one for each row.

        Raises:
            SchemaMismatch: a column is missing, unknown or of the wrong type.
        """
        rows = self.predictor.preprocessor.parse(payload)
        prediction = self.predictor.predict(rows)
        outputs = prediction.labels if prediction.labels is not None else prediction.values
        confidence = prediction.confidence
        assert outputs is not None  # one of them is there
        return [
            {
                "prediction": _plain(output),
                "confidence": None if confidence is None else _plain(confidence[number]),
            }
            for number, output in enumerate(outputs)
        ]


def open_model(folder: Path, *, name: str, version: int) -> Served:
    """Load a version and let it answer its example, so that the first request finds it warm.

    Raises:
        OSError, ValueError: the folder holds no whole model, or it can't answer its example.
    """
    served = Served(name=name, version=version, predictor=load(folder))
    example = folder / EXAMPLE
    if example.exists():
        served.answer(decode(example.read_bytes()))
    return served


def _plain(value: Any) -> Any:
    """A numpy scalar as JSON carries it; what is not finite becomes null."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
