"""Pictures of how good a model is: what it confuses, how sure it may be, how far it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from modelyard.evaluate.sums import BINS, bin_of
from modelyard.report.material import Material
from modelyard.report.style import (
    BLUE,
    GREY,
    ORANGE,
    finished,
    shade,
)

if TYPE_CHECKING:
    import pandas as pd

READABLE_CLASSES = 20
"""Classes up to which a confusion matrix has its counts written in."""

DOTS = 2000
"""Dots of a scatter plot."""


def confusion(material: Material) -> go.Figure | None:
    """Which classes are taken for which: shares of each true class, with the counts."""
    found = _counts(material)
    if found is None:
        return None
    classes, counts = found
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    readable = len(classes) <= READABLE_CLASSES
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=classes,
            y=classes,
            customdata=counts,
            text=[[str(count) if count else "" for count in row] for row in counts.tolist()],
            texttemplate="%{text}" if readable else None,
            colorscale="Blues",
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "share of<br>true class"}, "tickformat": ".0%"},
            hovertemplate="true %{y}, said %{x}: %{customdata} rows (%{z:.1%})<extra></extra>",
        )
    )
    side = min(760, max(380, 170 + 30 * len(classes)))
    figure.update_xaxes(title="predicted", type="category", showgrid=False, constrain="domain")
    figure.update_yaxes(
        title="true", type="category", autorange="reversed", showgrid=False, scaleanchor="x"
    )
    finished(figure, height=side, legend=False)
    # As wide as it is high, with room for the colours beside it.
    return figure.update_layout(width=side + 120)


def calibration(material: Material) -> go.Figure | None:
    """How often the model is right by how sure it says it is, over the rows of each bin."""
    bins = _bins(material)
    if not bins:
        return None
    confidence, accuracy, rows, low, high = (np.array(part) for part in zip(*bins, strict=True))
    diagonal = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dash"},
        name="perfectly calibrated",
    )
    reliability = go.Scatter(
        x=confidence,
        y=accuracy,
        mode="lines+markers",
        marker={"size": 8},
        line={"color": BLUE},
        name="this model",
        customdata=rows,
        hovertemplate="sure %{x:.1%}, right %{y:.1%} of %{customdata} rows<extra></extra>",
    )
    histogram = go.Bar(
        x=(low + high) / 2,
        y=rows,
        width=(high - low) * 0.9,
        marker={"color": shade(BLUE, 0.5)},
        showlegend=False,
    )
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.05
    )
    figure.add_traces([diagonal, reliability, histogram], rows=[1, 1, 2], cols=[1, 1, 1])
    figure.update_yaxes(title="accuracy", range=[0, 1.02], tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title="rows", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title="confidence", range=[0, 1.02], tickformat=".0%", row=2, col=1)
    figure.update_xaxes(range=[0, 1.02], row=1, col=1)
    return finished(figure, height=480)


def residuals(material: Material) -> go.Figure | None:
    """Predictions over true values, and how their errors spread; None for a classification."""
    pair = _values(material)
    if pair is None:
        return None
    truth, said = pair
    error = said - truth
    shown = np.linspace(0, len(truth) - 1, min(len(truth), DOTS)).round().astype(int)
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=["predicted over true", "error: predicted less true"],
        horizontal_spacing=0.12,
    )
    ends = [float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))]
    line = {"color": GREY, "dash": "dash"}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line), row=1, col=1)
    dots = {"color": shade(BLUE, 0.55), "size": 6}
    figure.add_trace(
        go.Scatter(x=truth[shown], y=said[shown], mode="markers", marker=dots), row=1, col=1
    )
    bars = {"color": shade(BLUE, 0.6)}
    figure.add_trace(go.Histogram(x=error, nbinsx=40, marker=bars), row=1, col=2)
    figure.add_vline(x=0, line=line, row=1, col=2)
    figure.update_xaxes(title="true value", row=1, col=1)
    figure.update_yaxes(title="prediction", row=1, col=1)
    figure.update_xaxes(title="error", row=1, col=2)
    figure.update_yaxes(title="rows", row=1, col=2)
    return finished(figure, legend=False)


def per_class(material: Material) -> go.Figure | None:
    """Recall and precision of each class with their bounds; None where there are none."""
    shares: Mapping[str, Mapping[str, Any]] = material.outcome.get("per_class") or {}
    if not shares or len(shares) > 2 * READABLE_CLASSES:
        return None
    figure = go.Figure()
    names = list(shares)
    for number, key in enumerate(("recall", "precision")):
        known = [name for name in names if shares[name].get(f"{key}_bounds")]
        values = np.array([shares[name][key] for name in known])
        low, high = np.array([shares[name][f"{key}_bounds"] for name in known]).reshape(-1, 2).T
        figure.add_trace(
            go.Scatter(
                x=values,
                y=[names.index(name) + 0.3 * number - 0.15 for name in known],
                mode="markers",
                name=key,
                marker={"size": 9, "color": (BLUE, ORANGE)[number]},
                error_x={
                    "symmetric": False,
                    "array": high - values,
                    "arrayminus": values - low,
                    "thickness": 1.5,
                },
                customdata=[[name, shares[name]["support"]] for name in known],
                hovertemplate="%{customdata[0]}: %{x:.1%}, %{customdata[1]} rows<extra></extra>",
            )
        )
    labels = [f"{name} ({shares[name]['support']})" for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=labels, range=[len(names) - 0.4, -0.6]
    )
    figure.update_xaxes(tickformat=".0%", title="share, with 95 % bounds", range=[-0.01, 1.01])
    return finished(figure, height=max(260, 140 + 34 * len(names)))


def _counts(material: Material) -> tuple[list[str], Any] | None:
    """Classes and matrix of the test split, else of the validation split."""
    told = material.outcome.get("confusion")
    if told:
        return list(told["classes"]), np.array(told["matrix"])
    kept = material.kept and material.kept.numbers.confusion
    return (list(kept.classes), np.array(kept.matrix)) if kept else None


def _bins(material: Material) -> list[Sequence[float]]:
    """Mean confidence, accuracy, rows and edges of each bin with rows."""
    table = material.predictions
    if table is not None and "confidence" in table:
        return _binned(table)
    if material.kept is None:
        return []
    return [
        (one.confidence, one.accuracy, one.rows, one.low, one.high)
        for one in material.kept.numbers.reliability
    ]


def _binned(table: pd.DataFrame) -> list[Sequence[float]]:
    confidence = table["confidence"].to_numpy()
    right = (table["truth"] == table["prediction"]).to_numpy()
    bins = bin_of(confidence)
    found: list[Sequence[float]] = []
    for number in range(BINS):
        held = bins == number
        if held.any():
            share = float(right[held].mean())
            edges = (number / BINS, (number + 1) / BINS)
            found.append((float(confidence[held].mean()), share, int(held.sum()), *edges))
    return found


def _values(material: Material) -> tuple[Any, Any] | None:
    """True and predicted values of the test split, else of the validation split."""
    table = material.predictions
    if table is not None and not material.classes:
        return table["truth"].to_numpy(), table["prediction"].to_numpy()
    if material.kept is not None and "regression.true" in material.kept.arrays:
        arrays = material.kept.arrays
        return arrays["regression.true"], arrays["regression.predicted"]
    return None
