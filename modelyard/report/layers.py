"""Pictures of a network from within: its weights, and what its layers see in example images."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from modelyard.health.numbers import Array, Histogram, Kept
from modelyard.report.material import Material
from modelyard.report.style import BLUE, GREY, SEQUENTIAL, finished, shade

Item = TypeVar("Item")

MOST_LAYERS = 8
"""Layers of one picture; of a deeper network the first, the last, and some between them."""

MAPS = 3
"""Layers whose activation maps are shown."""


def weights(material: Material) -> go.Figure | None:
    """Histograms of weights and biases by layer, the first kept epoch behind the last one."""
    kept = material.kept
    if kept is None or not kept.numbers.histograms:
        return None
    known = {(one.layer, str(one.part)): at for at, one in enumerate(kept.numbers.histograms)}
    layers = _spread(list(dict.fromkeys(layer for layer, _ in known)), MOST_LAYERS)
    figure = make_subplots(
        rows=len(layers),
        cols=2,
        row_titles=layers,
        column_titles=["weights", "biases"],
        vertical_spacing=min(0.06, 0.3 / len(layers)),
        horizontal_spacing=0.08,
    )
    named: set[str] = set()
    for row, layer in enumerate(layers, start=1):
        for column, part in enumerate(("weight", "bias"), start=1):
            at = known.get((layer, part))
            if at is None:
                figure.update_xaxes(visible=False, row=row, col=column)
                figure.update_yaxes(visible=False, row=row, col=column)
                continue
            for trace in _outlines(kept, at, kept.numbers.histograms[at]):
                trace.update(showlegend=trace.name not in named)
                named.add(trace.name)
                figure.add_trace(trace, row=row, col=column)
    finished(figure, height=130 + 120 * len(layers))
    figure.update_yaxes(showticklabels=False, showgrid=False)
    # The names of the rows stand upright beside them, where long ones run into each other.
    for note in figure.layout.annotations:
        if note.textangle == 90:
            note.update(textangle=0, xanchor="left", font={"size": 11})
    return figure.update_layout(margin={"r": 150})


def activations(material: Material) -> go.Figure | None:
    """What some layers make of example images: an image a row, a channel a column."""
    kept = material.kept
    if kept is None or not kept.numbers.activations or "images" not in kept.arrays:
        return None
    chosen = _spread(list(range(len(kept.numbers.activations))), MAPS)
    images = kept.arrays["images"]
    figure = make_subplots(
        rows=len(chosen),
        cols=2,
        column_widths=[1 / 9, 8 / 9],
        row_titles=[kept.numbers.activations[at].layer for at in chosen],
        column_titles=["input", "channels, each from its darkest to its brightest"],
        vertical_spacing=0.03,
        horizontal_spacing=0.02,
    )
    inputs = _mosaic(images.mean(axis=1, keepdims=True))
    for row, at in enumerate(chosen, start=1):
        figure.add_trace(_picture(inputs, "Greys_r"), row=row, col=1)
        figure.add_trace(_picture(_mosaic(kept.activation(at)), SEQUENTIAL), row=row, col=2)
    finished(figure, height=90 + 102 * len(images) * len(chosen), legend=False)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed")
    return figure.update_layout(margin={"r": 60})


def _outlines(kept: Kept, at: int, histogram: Histogram) -> list[go.Scatter]:
    """The first and the last kept epoch as stepped areas, each of area 1."""
    edges, counts = kept.histogram(at)
    shown = [0, len(histogram.epochs) - 1] if len(histogram.epochs) > 1 else [0]
    traces = []
    for place, colour in zip(shown, (GREY, BLUE) if len(shown) > 1 else (BLUE,), strict=True):
        widths = np.diff(edges[place])
        density = counts[place] / np.maximum(counts[place].sum() * widths, 1e-30)
        traces.append(
            go.Scatter(
                x=edges[place],
                y=np.append(density, density[-1:]),
                name=f"epoch {histogram.epochs[place]}",
                mode="lines",
                line={"shape": "hv", "color": colour, "width": 1.5},
                fill="tozeroy",
                fillcolor=shade(colour if colour != GREY else "#8a8f98", 0.25),
            )
        )
    return traces


def _mosaic(maps: Array) -> Array:
    """(m, c, h, w) maps as one picture, images down and channels across, each from 0 to 1."""
    maps = maps.astype(np.float64)  # kept in half precision, where the floor of the span is 0
    low = maps.min(axis=(2, 3), keepdims=True)
    span = np.maximum(maps.max(axis=(2, 3), keepdims=True) - low, 1e-12)
    scaled = (maps - low) / span
    gap = max(1, maps.shape[2] // 12)
    framed = np.pad(scaled, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    rows = [np.concatenate(list(one), axis=1) for one in framed]
    result: Array = np.concatenate(rows, axis=0)
    return result


def _picture(cells: Array, colours: str) -> go.Heatmap:
    return go.Heatmap(
        z=cells, colorscale=colours, showscale=False, hoverinfo="skip", zmin=0, zmax=1
    )


def _spread(items: list[Item], most: int) -> list[Item]:
    """At most so many items: the first, the last, and some between them."""
    if len(items) <= most:
        return items
    return [items[at] for at in np.linspace(0, len(items) - 1, most).round().astype(int)]
