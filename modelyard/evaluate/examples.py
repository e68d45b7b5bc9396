"""Single predictions, explained: what each part of the input adds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from modelyard.data.card import DataCard
from modelyard.data.rows import Rows
from modelyard.evaluate import inputs
from modelyard.evaluate.deadline import Deadline
from modelyard.evaluate.explanation import MOST, Contribution, Example
from modelyard.evaluate.shapley import MISSING, Explainer
from modelyard.models.estimator import Array
from modelyard.models.predictor import Predictor

MAP_SIDE = 32
"""Most cells along a side of a map; larger ones are summed together."""

IMAGE_SIDE = 96
"""Longest side of a kept image, in pixels."""

WORDS, CHARACTERS = 100, 2000
"""How much of a text is looked at and kept."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The rows to explain, with what is known of them.

    Args:
        rows: n raw rows.
        source: (n,) rows of the source.
        truth: (n,) class indices or values.
        output: (n, classes) or (n,).
        background: raw rows of the training split.
    """

    rows: Rows
    source: Array
    truth: Array
    output: Array
    background: Rows


def pick(truth: Array, output: Array, count: int, seed: int) -> Array:
    """Which rows to explain: the worst mistakes, at most half, then others at random.

    Args:
        truth: (n,) class indices or values.
        output: (n, classes) or (n,).
        count: how many at most.
        seed: of the others.
    """
    if output.ndim == 1:
        regret = np.abs(output - truth)
        wrong = np.argsort(-regret)[: count // 2]
    else:
        regret = np.where(output.argmax(axis=1) != truth, output.max(axis=1), 0.0)
        wrong = np.argsort(-regret)[: min(count // 2, int((regret > 0).sum()))]
    others = np.setdiff1d(np.arange(len(truth)), wrong)
    drawn = np.random.default_rng(seed).permutation(others)[: count - len(wrong)]
    return np.concatenate([wrong, drawn])


def explain_each(
    model: Predictor, chosen: Chosen, card: DataCard, deadline: Deadline, seed: int
) -> list[Example]:
    """The examples, in the order given; how many there was no time or library for is noted.

    Args:
        model: that is explained.
        chosen: rows of the test split, with what the model said of them.
        card: of the data.
        deadline: when to stop; takes the notes.
        seed: of the sampling of Shapley values.
    """
    count, found = len(chosen.source), list[Example]()
    explain: Callable[[int], Example] | None = None
    for number in range(count):
        if deadline.over(f"the explanation of {count - number} of {count} single predictions"):
            break
        try:
            explain = explain or _explainer(model, chosen, card, seed)
        except ImportError:
            deadline.notes.append(MISSING)
            break
        try:
            found.append(explain(number))
        except Exception as error:  # own code and libraries may raise anything
            said = f"{type(error).__name__}: {error}"
            deadline.notes.append(
                f"the explanation of {count - number} of {count} single predictions failed: {said}"
            )
            break
    return found


def _explainer(
    model: Predictor, chosen: Chosen, card: DataCard, seed: int
) -> Callable[[int], Example]:
    """What explains a row by its number.

    Raises:
        ImportError: the library isn't installed.
    """
    if card.kind == "table":
        return _of_table(model, chosen, card, seed)
    return partial(_image if card.kind == "image" else _text, model, chosen, card)


def _of_table(
    model: Predictor, chosen: Chosen, card: DataCard, seed: int
) -> Callable[[int], Example]:
    """Shapley values; those of a column's features add up to the column's."""
    features = model.preprocessor.transform(chosen.rows)
    background = model.preprocessor.transform(chosen.background)
    classes = chosen.output.argmax(axis=1) if chosen.output.ndim == 2 else None
    explainer = Explainer(model.estimator, background, seed)
    spans = list(_spans(model))
    records = chosen.rows.records()

    def explain(number: int) -> Example:
        found = explainer(features[number], None if classes is None else int(classes[number]))
        return Example(
            **_told(chosen, card, number),
            method="shapley",
            unit=found.unit,
            base=found.base,
            contributions=_largest(
                Contribution(
                    name=name, value=records[number][name], amount=found.amounts[span].sum()
                )
                for name, span in spans
            ),
        )

    return explain


def _spans(model: Predictor) -> Iterator[tuple[str, slice]]:
    """Each column with its features' places."""
    start = 0
    for encoder in model.preprocessor.columns:
        end = start + len(encoder.features)
        yield encoder.name, slice(start, end)
        start = end


def _image(model: Predictor, chosen: Chosen, card: DataCard, number: int) -> Example:
    """Integrated gradients where there is a network to ask, else occlusion."""
    row = chosen.rows.take(np.array([number]))
    assert row.images is not None
    told = {**_told(chosen, card, number), "image": _picture(row.images[0]), "unit": _unit(card)}
    target = _target(chosen, number)
    module = getattr(model.estimator, "module", None)
    if module is None:
        amounts = _occluded(model, row, target, inputs.mean_image(chosen.background))
        return Example(**told, method="occlusion", map=_rounded(amounts))
    from modelyard.evaluate.gradients import integrated_gradients

    shape = getattr(model.estimator, "shape", None)
    scale = None if shape is None else shape.scale
    features = model.preprocessor.transform(row)
    pixels = integrated_gradients(module, features, target, scale=scale).sum(axis=0)
    return Example(**told, method="integrated gradients", map=_rounded(_pooled(pixels)))


def _text(model: Predictor, chosen: Chosen, card: DataCard, number: int) -> Example:
    """What the prediction loses without each word."""
    row = chosen.rows.take(np.array([number]))
    assert row.texts is not None
    (text,) = row.texts
    words = list(dict.fromkeys(inputs.words_of(text)))[:WORDS]
    changed = [text, *(inputs.without_word(text, word) for word in words)]
    output = model.predict(inputs.of_texts(row, changed)).output
    scores = output[:, _target(chosen, number)] if output.ndim == 2 else output
    return Example(
        **_told(chosen, card, number),
        method="occlusion",
        unit=_unit(card),
        text=text[:CHARACTERS],
        contributions=_largest(
            Contribution(name=word, amount=scores[0] - score)
            for word, score in zip(words, scores[1:], strict=True)
        ),
    )


def _occluded(model: Predictor, row: Rows, target: int, filling: Array) -> Array:
    """(h, w) what one image's prediction loses without each patch."""
    assert row.images is not None
    height, width = row.images.shape[1:3]
    places = list(inputs.patches(height, width))
    changed = [inputs.without_patch(row, box, filling).images for _, _, box in places]
    images = np.concatenate([row.images, *[one for one in changed if one is not None]])
    output = model.predict(Rows(columns={}, images=images)).output
    scores = output[:, target] if output.ndim == 2 else output
    found: Array = (scores[0] - scores[1:]).reshape(inputs.grid(height, width))
    return found


def _told(chosen: Chosen, card: DataCard, number: int) -> dict[str, object]:
    """What every example says of its row."""
    truth, output = chosen.truth[number], chosen.output[number]
    said: dict[str, object] = {"row": int(chosen.source[number])}
    if card.task == "regression":
        return {**said, "truth": float(truth), "prediction": float(output)}
    best = int(output.argmax())
    names = {"truth": card.classes[int(truth)], "prediction": card.classes[best]}
    return {**said, **names, "confidence": float(output[best])}


def _target(chosen: Chosen, number: int) -> int:
    return int(chosen.output[number].argmax()) if chosen.output.ndim == 2 else 0


def _unit(card: DataCard) -> str:
    return "value" if card.task == "regression" else "probability"


def _largest(found: Iterator[Contribution]) -> tuple[Contribution, ...]:
    return tuple(sorted(found, key=lambda one: -abs(one.amount))[:MOST])


def _pooled(pixels: Array) -> Array:
    """A map of at most ``MAP_SIDE`` cells a side, each the sum of its pixels."""
    for axis in (0, 1):
        length = pixels.shape[axis]
        edges = np.linspace(0, length, min(length, MAP_SIDE) + 1).round().astype(int)[:-1]
        pixels = np.add.reduceat(pixels, edges, axis=axis)
    return pixels


def _rounded(cells: Array) -> tuple[tuple[float, ...], ...]:
    """Six digits: no colour shows more."""
    return tuple(tuple(float(f"{cell:.6g}") for cell in row) for row in cells)


def _picture(image: Array) -> str:
    from modelyard.data.pictures import thumbnail

    return base64.b64encode(thumbnail(image, IMAGE_SIDE)).decode()
