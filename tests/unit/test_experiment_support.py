"""Keys whose work comes later are refused with what works now, and never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.experiment.keys import locate
from modelyard.experiment.model import Experiment
from modelyard.experiment.support import LATER, unsupported

REFUSED = [
    ({"model": {"weights": {"source": "s3://bucket/a.safetensors"}}}, "model.weights.source"),
    ({"data": {"source": "https://example.org/a.csv"}}, "data.source"),
    ({"gates": [{"metric": "f1", "at_least": 0.1, "slice": "a = 1"}]}, "gates.0.slice"),
    ({"deploy": {"target": "kubernetes"}}, "deploy.target"),
]


@pytest.mark.parametrize(("raw", "path"), REFUSED)
def test_what_comes_later_is_refused_with_what_works_now(raw: dict[str, Any], path: str) -> None:
    """One mistake at the file's own key."""
    whole = {"name": "a", "data": {"source": "x"}, **raw}
    (mistake,) = unsupported(Experiment.model_validate(whole), whole)
    assert mistake.path == path
    assert "is not yet supported; now: " in mistake.message


def test_every_row_of_the_table_is_tried_here() -> None:
    """No row is without a case above, and each leads to a key that there is."""
    paths = {path for _, path in REFUSED}
    for later in LATER:
        key = later.key.replace("*", "0")
        assert key in paths or key.removesuffix(".name") in paths or key == "model.family"
        _, field = locate(tuple(int(p) if p == "0" else p for p in key.split(".")))
        assert field is not None


def test_defaults_and_a_whole_document_are_supported() -> None:
    """An experiment with every default filled in has nothing that comes later."""
    experiment = Experiment.model_validate({"name": "a", "data": {"source": "mnist"}})
    document = experiment.to_document()
    assert unsupported(Experiment.model_validate(document), document) == []
    without = Experiment.model_validate({**document, "deploy": None})
    assert unsupported(without, document) == []
