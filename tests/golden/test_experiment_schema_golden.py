"""The published JSON Schema of the experiment file, compared whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelyard.experiment.schema import experiment_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "experiment.schema.json"


def test_the_published_schema_is_the_models() -> None:
    """docs/experiment.schema.json says what the models say; MODELYARD_REGENERATE=1 rewrites it."""
    text = json.dumps(experiment_schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("MODELYARD_REGENERATE"):
        if os.environ.get("CI"):
            pytest.fail("golden files are not rewritten under CI")
        PUBLISHED.write_text(text)
    assert PUBLISHED.read_text() == text
