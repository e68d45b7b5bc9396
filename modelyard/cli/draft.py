"""The lines of a new experiment file that follow from its data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from modelyard.data.card import DataCard
from modelyard.data.table import Table
from modelyard.errors import InputError
from modelyard.experiment import yaml12
from modelyard.experiment.model import Data

UNITS = {"image": "images", "text": "texts", "table": "rows"}


def data_section(data: Data, card: DataCard) -> str:
    """The section ``data``; ``drop`` stands there for a table, be it empty."""
    lines = [f"source: {_text(data.source)}  # {card.rows:,} {UNITS[card.kind]}"]
    if data.kind is not None:
        lines.append(f"kind: {data.kind}  # read word by word: {_text(card.columns[0].name)}")
    if data.target is not None:
        what = f"{len(card.classes)} classes" if card.classes else "a number"
        lines.append(f"target: {_text(data.target)}  # {what}")
    if card.kind == "table" or data.drop:
        names = ", ".join(_text(name) for name in data.drop)
        lines.append(f"drop: [{names}]  # columns not to learn from, such as an id")
    return "\n".join(f"  {line}" for line in lines)


def metric(card: DataCard) -> str:
    """R² for numbers; accuracy for classes, balanced where one class is most of the rows."""
    if card.task == "regression":
        return "r2"
    return "balanced_accuracy" if _largest_share(card) > 0.75 else "accuracy"


def _largest_share(card: DataCard) -> float:
    return max(card.class_counts.values()) / card.rows


def gate_lines(card: DataCard) -> str:
    """A gate that a model passes when it is surely better than one that has learnt nothing."""
    name = metric(card)
    if name == "r2":
        floor, why = 0.0, "0 is what the mean of all rows reaches"
    elif name == "accuracy":
        floor = round(_largest_share(card), 2)
        why = f"{floor:g} is what the commonest class alone reaches"
    else:
        floor = round(1 / len(card.classes), 2)
        why = f"{floor:g} is what a guess reaches"
    gate = f"{{metric: {name}, at_least: {floor:g}, confidence: 0.95}}"
    return f"  # {why}; raise it to what you need.\n  - {gate}"


def _text(value: str) -> str:
    """Text as YAML, quoted where it would be read as something else."""
    try:
        plain = yaml12.parse(f"[{value}]").value == [value]
    except yaml12.YamlMistake:
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def longest_texts(table: Table, names: Sequence[str], source: str) -> str:
    """The column whose cells are the longest texts on average.

    Raises:
        InputError: none of these columns holds texts.
    """
    lengths = {
        name: sum(map(len, column.categories)) / max(1, len(column.categories))
        for name in names
        if (column := table.columns[name]).categories is not None
    }
    if not lengths:
        raise InputError(f"{source} has no column of texts beside its target")
    return max(lengths, key=lambda name: lengths[name])
