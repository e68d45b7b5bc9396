"""The section ``explain``: how much work is put into saying why a model predicts as it does."""

from __future__ import annotations

from pydantic import Field

from modelyard.experiment.section import Section


class Explain(Section):
    """Why the model predicts as it does, found out by the stage evaluate."""

    rows: int = Field(500, ge=1, description="Test rows that importance is measured on.")
    examples: int = Field(8, ge=0, description="Predictions that are explained one by one.")
    seconds: float = Field(30, gt=0, description="Time after which what is left is left out.")
