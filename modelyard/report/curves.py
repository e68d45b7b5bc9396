"""Pictures of how a model ranks: a curve for each class against all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from modelyard.evaluate.predictions import CLASS
from modelyard.report.material import Material
from modelyard.report.style import COLOURS, GREY, MOST_CURVES, finished

POINTS = 400
"""Points of a curve; more can't be seen."""

Array: TypeAlias = NDArray[Any]
Curve: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]


def roc(material: Material) -> go.Figure | None:
    """ROC curves, each class against the others; None for a regression."""

    def curve(truth: Array, score: Array) -> tuple[Array, Array]:
        from sklearn.metrics import roc_curve

        false, true, _ = roc_curve(truth, score)
        return false, true

    figure = _class_curves(material, curve, _area, "area")
    if figure is None:
        return None
    diagonal = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line=diagonal)
    figure.update_xaxes(title_text="false positive rate", range=[-0.01, 1.01])
    figure.update_yaxes(title_text="true positive rate", range=[-0.01, 1.01])
    return figure


def precision_recall(material: Material) -> go.Figure | None:
    """Precision over recall, each class against the others; None for a regression."""

    def curve(truth: Array, score: Array) -> tuple[Array, Array]:
        from sklearn.metrics import precision_recall_curve

        precision, recall, _ = precision_recall_curve(truth, score)
        return recall, precision

    def average(truth: Array, score: Array) -> float:
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(truth, score))

    figure = _class_curves(material, curve, average, "average precision")
    if figure is None:
        return None
    figure.update_xaxes(title_text="recall", range=[-0.01, 1.01])
    figure.update_yaxes(title_text="precision", range=[-0.01, 1.01])
    return figure


def _scores(material: Material) -> dict[str, tuple[Array, Array]]:
    """By class, which rows are of it and its probabilities; of two classes the second alone."""
    table = material.predictions
    if table is None or not material.classes:
        return {}
    names = material.classes if len(material.classes) > 2 else material.classes[1:]
    found = {}
    for name in names:
        truth = (table["truth"] == name).to_numpy()
        if truth.any() and not truth.all():
            found[name] = (truth, table[f"{CLASS}{name}"].to_numpy())
    return found


def _class_curves(
    material: Material, curve: Curve, area: Callable[[Array, Array], float], named: str
) -> go.Figure | None:
    """A curve for each class, at most so many: those with the smallest area."""
    scores = _scores(material)
    if not scores:
        return None
    areas = {name: area(*score) for name, score in scores.items()}
    worst = sorted(areas, key=lambda name: areas[name])[:MOST_CURVES]
    figure = go.Figure()
    for number, name in enumerate(name for name in scores if name in worst):
        x, y = curve(*scores[name])
        kept = np.linspace(0, len(x) - 1, min(len(x), POINTS)).round().astype(int)
        figure.add_trace(
            go.Scatter(
                x=x[kept],
                y=y[kept],
                mode="lines",
                name=f"{name}: {areas[name]:.3f}",
                line={"color": COLOURS[number], "width": 2},
            )
        )
    finished(figure, height=460)
    # Beside the curves, as up to eight names don't stand in a line above them.
    beside = {"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top", "yref": "paper"}
    return figure.update_layout(
        showlegend=True, legend={**beside, "title": {"text": named, "font": {"size": 13}}}
    )


def _area(truth: Array, score: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))
