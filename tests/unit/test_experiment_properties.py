"""Whatever a file says, the answer is an experiment or its mistakes, never a crash."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import ExperimentError, Mistake
from modelyard.evaluate.catalogue import METRICS
from modelyard.experiment import yaml12
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.load import experiment_from
from modelyard.experiment.model import Experiment
from modelyard.experiment.shape import shape
from modelyard.experiment.source import parse_source
from modelyard.models.families import FAMILIES

RELAXED = settings(max_examples=60)
"""No example is timed, as a busy machine would fail it."""

CATALOGUE = Catalogue(
    families=FAMILIES,
    metrics=METRICS,
    columns=("a", "b"),
    kind="table",
    task="classification",
    chosen="mlp",
)

WHOLE = Experiment.model_validate(
    {
        "name": "a",
        "data": {"source": "x.csv", "target": "b", "drop": ["a"], "split": {"by": {"time": "a"}}},
        "model": {"family": "mlp", "parameters": {"norm": "batch"}},
        "search": {
            "sampler": {"name": "grid", "steps": 3},
            "space": {
                "layers": {"choice": [1, 2]},
                "hidden": {"int": [8, 32], "step": 8, "when": {"layers": 2}},
                "dropout": {"float": [0.1, 0.5]},
            },
        },
        "train": {"early_stopping": {"patience": 3}},
        "gates": [{"metric": "f1", "at_least": 0.5, "confidence": 0.9}],
    }
).to_document()

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["tpe", "auto", "mlp", "layers", "b", "none", "f1", "1", "maximize"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["name", "float", "choice", "options"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into nested values."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for key, inner in items:
        here = (*path, key)
        found += places(inner, here) if isinstance(inner, dict | list) else [here]
    return found


PLACES = places(WHOLE)


def judged(raw: dict[str, Any]) -> list[Mistake]:
    """All mistakes of a file, shape and rules, as the command line collects them."""
    shaped = shape(raw)
    if shaped.experiment is None:
        assert shaped.mistakes
        return list(shaped.mistakes)
    return [*shaped.mistakes, *check(shaped.experiment, CATALOGUE, raw)]


def well_told(mistakes: list[Mistake]) -> None:
    """Each mistake has a sentence, and its nearest value is one of the valid ones."""
    for mistake in mistakes:
        assert mistake.message
        assert mistake.nearest is None or mistake.nearest in mistake.valid


def test_the_whole_document_is_sound() -> None:
    """What the other tests break is right to begin with, but that a column is dropped."""
    assert judged(WHOLE) == []


@RELAXED
@given(st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=3))
def test_any_value_at_any_key_is_taken_or_told(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """A sound file with any values anywhere gets mistakes in words, or is an experiment."""
    raw = copy.deepcopy(WHOLE)
    for path, value in changes:
        holder: Any = raw
        for key in path[:-1]:
            holder = holder[key] if _has(holder, key) else None
        if _has(holder, path[-1]):
            holder[path[-1]] = value
    well_told(judged(raw))


@RELAXED
@given(st.sampled_from(PLACES), st.text(min_size=1, max_size=6))
def test_any_key_renamed_is_taken_or_told(path: tuple[Any, ...], name: str) -> None:
    """A file with another key in place of one of its own is judged whole."""
    raw = copy.deepcopy(WHOLE)
    holder: Any = raw
    for key in path[:-1]:
        holder = holder[key]
    if isinstance(holder, dict):
        holder[name] = holder.pop(path[-1])
    well_told(judged(raw))


@RELAXED
@given(st.dictionaries(st.text(max_size=6) | st.sampled_from(list(WHOLE)), values, max_size=6))
def test_any_mapping_is_an_experiment_or_its_mistakes(raw: dict[str, Any]) -> None:
    """No mapping whatever raises anything but mistakes."""
    well_told(judged(raw))
    with suppress(ExperimentError):
        experiment = experiment_from(raw)
        assert Experiment.model_validate(experiment.to_document()) == experiment
        assert Experiment.model_validate(experiment.to_request()) == experiment


@RELAXED
@given(st.text(max_size=60) | st.text(alphabet="abc:-[]{}&*!|>'\"#,? \n\t1.", max_size=60))
def test_any_text_is_values_or_a_mistake(text: str) -> None:
    """No text crashes the reader."""
    with suppress(ExperimentError):
        source = parse_source("f", text)
        assert all(1 <= line <= len(text.splitlines()) + 1 for line in source.lines.values())


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@RELAXED
@given(plain)
def test_json_is_read_as_it_is(value: Any) -> None:
    """JSON is YAML 1.2: what is written as JSON comes back the same."""
    text = json.dumps(value)
    assert yaml12.parse(f"[{text}]").value == [value]


def test_pyyaml_writes_what_we_read() -> None:
    """A document dumped by PyYAML, by 1.1, is the same experiment."""
    assert yaml12.parse(yaml.safe_dump(WHOLE)).value == WHOLE


def _has(holder: Any, key: Any) -> bool:
    if isinstance(holder, dict):
        return key in holder
    return isinstance(holder, list) and isinstance(key, int) and key < len(holder)
