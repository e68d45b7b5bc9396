"""Pictures of why a model predicts as it does."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from modelyard.evaluate.explanation import Contribution, Example
from modelyard.report.material import Material
from modelyard.report.style import BLUE, DIVERGING, ORANGE, finished

MOST = 15
"""Bars of the importance; the most important ones."""

EXAMPLES, BARS = 4, 6
"""Single predictions that are shown, and bars of each."""


def importance(material: Material) -> go.Figure | None:
    """What the metric loses without each column, word or patch; None where it wasn't looked at."""
    found = material.explanation
    if found is None or not (found.importance or found.patches):
        return None
    metric = found.metric.replace("_", " ")
    if found.patches:
        return _patches(np.array(found.patches), f"{metric}<br>worse by")
    top = found.importance[:MOST]
    figure = go.Figure(
        go.Bar(
            x=[one.drop for one in top],
            y=[one.name for one in top],
            orientation="h",
            marker={"color": BLUE},
            error_x={"array": [one.spread or 0 for one in top], "thickness": 1.2},
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title=f"how much worse {metric} gets without it")
    return finished(figure, height=max(240, 120 + 28 * len(top)), legend=False)


def examples(material: Material) -> go.Figure | None:
    """Single predictions with what each part of the input added; None without some."""
    found = material.explanation.examples[:EXAMPLES] if material.explanation else ()
    if not found:
        return None
    return _maps(found) if found[0].map else _bars(found)


def _patches(drops: np.ndarray, label: str) -> go.Figure:
    figure = go.Figure(
        go.Heatmap(
            z=drops,
            colorscale=DIVERGING,
            zmid=0,
            colorbar={"title": {"text": label}},
            hovertemplate="%{z:.4g}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    figure.update_xaxes(visible=False, constrain="domain")
    return finished(figure, height=400, legend=False).update_layout(width=520)


def _maps(found: tuple[Example, ...]) -> go.Figure:
    """The image above, what its parts added below, in colours of the same reach."""
    figure = make_subplots(
        rows=2,
        cols=len(found),
        subplot_titles=[_told(example) for example in found],
        vertical_spacing=0.05,
        horizontal_spacing=0.04,
    )
    reach = max((abs(cell) for one in found for row in one.map or () for cell in row), default=1)
    for number, example in enumerate(found, start=1):
        assert example.map is not None
        figure.add_trace(
            go.Image(source=f"data:image/png;base64,{example.image}", hoverinfo="skip"),
            row=1,
            col=number,
        )
        figure.add_trace(
            go.Heatmap(
                z=[list(row) for row in example.map],
                colorscale=DIVERGING,
                zmin=-reach,
                zmax=reach,
                showscale=number == len(found),
                colorbar={"title": {"text": example.unit}, "len": 0.5, "y": 0.22},
                hovertemplate="%{z:.3g}<extra></extra>",
            ),
            row=2,
            col=number,
        )
        below = f"x{len(found) + number}"
        figure.update_yaxes(autorange="reversed", scaleanchor=below, row=2, col=number)
    finished(figure, height=480, legend=False)
    figure.update_xaxes(visible=False, constrain="domain")
    return figure.update_yaxes(visible=False, constrain="domain").update_layout(margin={"t": 70})


def _bars(found: tuple[Example, ...]) -> go.Figure:
    columns = min(2, len(found))
    figure = make_subplots(
        rows=math.ceil(len(found) / columns),
        cols=columns,
        subplot_titles=[_told(example) for example in found],
        horizontal_spacing=0.3,
        vertical_spacing=0.25,
    )
    for number, example in enumerate(found):
        top = example.contributions[:BARS]
        figure.add_trace(
            go.Bar(
                x=[one.amount for one in top],
                y=[_part(one) for one in top],
                orientation="h",
                # For it or against it: the bars' sides say so too, without the colours.
                marker={"color": [BLUE if one.amount >= 0 else ORANGE for one in top]},
                hovertemplate="%{y}: %{x:+.4g}<extra></extra>",
            ),
            row=number // columns + 1,
            col=number % columns + 1,
        )
    finished(figure, height=60 + 260 * math.ceil(len(found) / columns), legend=False)
    figure.update_yaxes(autorange="reversed", type="category", tickfont={"size": 12})
    figure.update_xaxes(
        title_text=f"adds to the {_unit(found[0])}", zeroline=True, zerolinecolor="#888"
    )
    return figure.update_layout(margin={"t": 70})


def _told(example: Example) -> str:
    said, truth = _shown(example.prediction), _shown(example.truth)
    sure = "" if example.confidence is None else f" ({example.confidence:.0%})"
    return f"row {example.row}: {said}{sure}<br>true: {truth}"


def _part(one: Contribution) -> str:
    return one.name if one.value is None else f"{one.name} = {_shown(one.value)}"


def _unit(example: Example) -> str:
    return "prediction" if example.unit == "value" else f"{example.unit} of the prediction"


def _shown(value: float | str) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else value
    return text if len(text) <= 24 else f"{text[:23]}…"
