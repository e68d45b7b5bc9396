"""Constructed material for pictures: what a fit reported, kept and predicted."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from modelyard.contract import Metrics
from modelyard.data.pictures import thumbnail
from modelyard.evaluate.explanation import Contribution, Example, Explanation, Importance
from modelyard.evaluate.metrics import compute, confusion, per_class
from modelyard.health.numbers import (
    Activation,
    Gradients,
    Histogram,
    Kept,
    Numbers,
)
from modelyard.report.material import Material

CLASSES = ("cat", "dog", "newt")
LAYERS = ("body.0", "body.3", "body.6", "head.0", "head.3")
EPOCHS = 12


def history() -> list[Metrics]:
    """A fit that overfits from its eighth epoch on."""
    return [
        Metrics(
            step=epoch,
            values={
                "train_loss": 1.2 * np.exp(-epoch / 4),
                "validation_loss": 1.2 * np.exp(-epoch / 4) + 0.02 * max(0, epoch - 7) + 0.05,
                "validation_accuracy": 1 - 0.6 * np.exp(-epoch / 3),
                "train_accuracy": 1 - 0.5 * np.exp(-epoch / 3),
                "learning_rate": 1e-3 * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS)),
                "examples_per_second": 9000 + 40 * (epoch % 3),
            },
        )
        for epoch in range(1, EPOCHS + 1)
    ]


def kept() -> Kept:
    """The numbers of a small network on images."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {"images": generator.random((4, 1, 16, 16)).astype(np.float32)}
    histograms = tuple(
        Histogram(layer=layer, part=part, epochs=(1, 6, 12))
        for layer in LAYERS
        for part in ("weight", "bias")
    )
    for at in range(len(histograms)):
        values = [generator.normal(scale=0.1 + 0.05 * epoch, size=500) for epoch in range(3)]
        found = [np.histogram(one, bins=40) for one in values]
        arrays[f"histogram.{at}.counts"] = np.array([counts for counts, _ in found], np.int32)
        arrays[f"histogram.{at}.edges"] = np.array([edges for _, edges in found], np.float32)
    for at in range(3):
        side = 16 // 2**at
        arrays[f"activation.{at}"] = generator.random((4, 8, side, side)).astype(np.float32)
    numbers = Numbers(
        parameters=1234,
        gradients=Gradients(
            layers=LAYERS,
            epochs=tuple(range(1, EPOCHS + 1)),
            norms=tuple(
                tuple(10.0 ** (-depth) / epoch for depth in range(len(LAYERS)))
                for epoch in range(1, EPOCHS + 1)
            ),
            weights=tuple(tuple(1.0 for _ in LAYERS) for _ in range(EPOCHS)),
            losses=tuple(1.0 / epoch for epoch in range(1, EPOCHS + 1)),
        ),
        histograms=histograms,
        activations=tuple(
            Activation(layer=layer, channels=tuple(range(8))) for layer in LAYERS[:3]
        ),
    )
    return Kept(numbers=numbers, arrays=arrays)


def classified(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities of a model that is right most of the time."""
    generator = np.random.default_rng(1)
    truth = generator.choice(3, size=rows, p=[0.5, 0.4, 0.1])
    scores = generator.normal(size=(rows, 3)) + 2.2 * np.eye(3)[truth]
    output = np.exp(1.5 * scores)
    return truth, output / output.sum(axis=1, keepdims=True)


def images() -> Material:
    """A classification of images, evaluated and explained."""
    truth, output = classified()
    matrix = confusion(truth, output)
    names = np.array(CLASSES, dtype=object)
    table = {
        "row": np.arange(len(truth)),
        "truth": names[truth],
        "prediction": names[output.argmax(axis=1)],
        "confidence": output.max(axis=1),
        **{f"p:{name}": output[:, at] for at, name in enumerate(CLASSES)},
    }
    return Material(
        title="animals",
        metric="accuracy",
        family="cnn",
        parameters={"channels": 16, "learning_rate": 0.001},
        step=9,
        metrics=compute("classification", truth, output),
        split="test",
        classes=CLASSES,
        history=history(),
        outcome={
            "confusion": {"classes": list(CLASSES), "matrix": matrix.tolist()},
            "per_class": per_class(matrix, CLASSES),
            "gates": [
                {
                    "metric": "accuracy",
                    "relation": "at_least",
                    "limit": 0.8,
                    "value": 0.9,
                    "passed": True,
                    "advisory": False,
                }
            ],
        },
        kept=kept(),
        predictions=pd.DataFrame(table),
        explanation=Explanation(
            metric="accuracy",
            value=0.9,
            rows=300,
            patches=tuple(tuple(0.02 * (i + j) for j in range(8)) for i in range(8)),
            examples=tuple(_image(at) for at in range(4)),
        ),
    )


def values() -> Material:
    """A regression on a table, evaluated and explained; its model has no epochs."""
    generator = np.random.default_rng(2)
    truth = generator.normal(200, 60, size=400)
    said = truth + generator.normal(0, 18, size=400)
    return Material(
        title="rents",
        metric="rmse",
        family="gradient-boosting",
        parameters={"max_iter": 150},
        metrics=compute("regression", truth, said),
        split="test",
        predictions=pd.DataFrame({"row": range(400), "truth": truth, "prediction": said}),
        explanation=Explanation(
            metric="rmse",
            value=18.0,
            rows=400,
            importance=tuple(
                Importance(name=name, drop=drop, spread=drop / 9)
                for name, drop in (("area", 31.0), ("rooms", 12.0), ("built", 3.5), ("lift", 0.2))
            ),
            examples=tuple(_row(at) for at in range(4)),
        ),
    )


def _image(at: int) -> Example:
    shade = np.linspace(0, 1, 28)[None, :, None] * np.linspace(0, 1, 28)[:, None, None]
    spot = np.exp(-((np.arange(28) - 7 * at - 3) ** 2) / 20)
    return Example(
        row=10 + at,
        truth="cat",
        prediction=CLASSES[at % 3],
        confidence=0.97 - 0.1 * at,
        method="integrated gradients",
        unit="probability",
        map=tuple(map(tuple, (spot[:, None] * (spot - 0.4)).tolist())),
        image=base64.b64encode(thumbnail(shade, 96)).decode(),
    )


def _row(at: int) -> Example:
    return Example(
        row=at,
        truth=210.0 + at,
        prediction=190.5,
        method="shapley",
        unit="value",
        base=200.0,
        contributions=(
            Contribution(name="area", value=71.0, amount=-20.0 + 9 * at),
            Contribution(name="district", value="Neukölln am Ende der Strasse", amount=8.0),
            Contribution(name="rooms", amount=2.5),
        ),
    )
