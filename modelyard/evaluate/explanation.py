"""Why a model predicts as it does, as one small document beside the model's evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from modelyard.contract import Wire

FILE = "explanation.json"

MOST = 50
"""Columns or words that are kept, the most important ones."""

Method = Literal["shapley", "integrated gradients", "occlusion"]


class Importance(Wire):
    """What the model loses without a part of its input.

    Args:
        name: of the column, or the word.
        drop: how much worse the metric gets, in its own unit; below 0 it got better.
        spread: standard deviation of that over the repeats; None where there was one.
    """

    name: str
    drop: float
    spread: float | None = None


class Contribution(Wire):
    """One part's share in one prediction.

    Args:
        name: of the column, or the word.
        value: the cell as it stands in the source; None for words and for missing cells.
        amount: what the part adds, in the unit that ``Example.unit`` names.
    """

    name: str
    value: float | str | None = None
    amount: float


class Example(Wire):
    """One prediction, explained.

    Args:
        row: of the source, from 0.
        truth, prediction: class, or value.
        confidence: of a class.
        method: how the contributions were found.
        unit: what they are amounts of: probability, log-odds, or the target's own unit.
        base: what is predicted where nothing is known; None where the method has no such.
        contributions: of columns or words, the largest first, at most ``MOST``.
        map: (h, w) of an image, rows from the top, each cell the sum over its pixels.
        image: the image as a PNG in base64.
        text: the text, cut where it is long.
    """

    row: int
    truth: str | float
    prediction: str | float
    confidence: float | None = None
    method: Method
    unit: str
    base: float | None = None
    contributions: tuple[Contribution, ...] = ()
    map: tuple[tuple[float, ...], ...] | None = None
    image: str | None = None
    text: str | None = None


class Explanation(Wire):
    """See the module.

    Args:
        metric: whose drop importance is.
        value: of the metric on the rows that were looked at.
        rows: how many there were.
        importance: of columns or words, the most important first.
        patches: (h, w) drops of an image's patches, rows from the top; NaN of one that wasn't
            looked at.
        examples: predictions explained one by one, mistakes first.
        notes: what was left out and why, in whole sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: Literal[1] = 1
    metric: str
    value: float
    rows: int
    importance: tuple[Importance, ...] = ()
    patches: tuple[tuple[float, ...], ...] | None = None
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
