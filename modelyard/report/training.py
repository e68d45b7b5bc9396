"""Pictures of a fit: its history, the gradient's way through the layers, both as an animation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from modelyard.health.numbers import Gradients
from modelyard.report.material import SPLITS, Material
from modelyard.report.style import BLUE, COLOURS, GREY, SEQUENTIAL, finished

EXTRAS = ("learning_rate", "gradient_norm", "examples_per_second")
"""Reported metrics that have a panel of their own, besides loss and objective."""

PANELS = 4
FRAMES = 60
"""Most frames of an animation; of a longer fit every so many epochs has one."""

Curves: TypeAlias = Sequence[tuple[str, tuple[list[int], list[float]]]]
"""By split, steps and values."""

DASHES = {"train": "dot", "validation": "solid"}


def history(material: Material) -> go.Figure | None:
    """Loss, objective and what else was reported, over the epochs; None where there are none."""
    panels = _panels(material)
    if not panels:
        return None
    columns = min(2, len(panels))
    figure = make_subplots(
        rows=math.ceil(len(panels) / columns),
        cols=columns,
        subplot_titles=[_label(name) for name in panels],
        vertical_spacing=0.16,
        horizontal_spacing=0.1,
    )
    for number, name in enumerate(panels):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        for split, trace in _curves(material, name):
            trace.update(legendgroup=split, showlegend=number == 0 and split in SPLITS)
            figure.add_trace(trace, **place)
        figure.update_xaxes(title="epoch", **place)
        if name == "learning_rate":
            figure.update_yaxes(exponentformat="power", **place)
        if material.step is not None:
            figure.add_vline(x=material.step, line={"color": GREY, "dash": "dash"}, **place)
    height = 380 if len(panels) <= columns else 640
    return finished(figure, height=height)


def gradient_flow(material: Material) -> go.Figure | None:
    """The gradient's norm at each layer over the epochs; None where it wasn't kept."""
    kept = material.kept.numbers.gradients if material.kept else None
    if not kept:
        return None
    norms = np.array(kept.norms, float).T
    logs = np.log10(np.where(norms > 0, norms, np.nan))
    figure = go.Figure(
        go.Heatmap(
            z=logs,
            x=[str(epoch) for epoch in kept.epochs],
            y=list(kept.layers),
            customdata=norms,
            colorscale=SEQUENTIAL,
            colorbar={"title": {"text": "gradient norm"}, **_powers(logs)},
            hovertemplate="%{y}, epoch %{x}: %{customdata:.3g}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(title="epoch", showgrid=False)
    return finished(figure, height=max(300, 120 + 26 * len(kept.layers)), legend=False)


def animation(material: Material) -> go.Figure | None:
    """The fit as it went: the curves growing, beside the gradient at each layer.

    Frames of one figure, at most ``FRAMES``; None where nothing was reported over epochs.
    """
    name = next(iter(_panels(material)), None)
    if name is None:
        return None
    curves = [(split, material.curve(key)) for split, key in _keys(material, name)]
    flow = material.kept.numbers.gradients if material.kept else None
    figure = make_subplots(
        cols=2 if flow else 1,
        subplot_titles=[_label(name), *(["gradient norm by layer"] if flow else [])],
        # Room for the layers' names between the two: some 7 pixels a letter of some 900.
        horizontal_spacing=min(0.5, 0.1 + 0.008 * max(map(len, flow.layers))) if flow else None,
    )
    for number, (split, _) in enumerate(curves):
        line = {"color": COLOURS[number], "dash": DASHES.get(split, "solid")}
        figure.add_trace(go.Scatter(name=split, mode="lines", line=line), row=1, col=1)
    if flow:
        bars = go.Bar(orientation="h", marker={"color": BLUE}, showlegend=False)
        figure.add_trace(bars, row=1, col=2)
    epochs = _thinned(sorted({step for _, (steps, _) in curves for step in steps}))
    figure.frames = [_frame(epoch, curves, flow) for epoch in epochs]
    # The last frame is what a picture that doesn't move shows.
    for trace, last in zip(figure.data, figure.frames[-1].data, strict=True):
        trace.update(last)
    _fix_axes(figure, curves, flow)
    figure.update_layout(updatemenus=[_play()], sliders=[_slider(epochs)])
    finished(figure, height=500)
    return figure.update_layout(margin={"b": 130})


def _panels(material: Material) -> list[str]:
    """Plain names of what has a curve of at least two epochs, loss and objective first."""
    if material.fits:
        return []  # one point a fit, and no fit follows from the one before
    wanted = dict.fromkeys(("loss", material.metric, *EXTRAS))
    found = [
        name
        for name in wanted
        if any(len(material.curve(key)[0]) > 1 for _, key in _keys(material, name))
    ]
    return found[:PANELS]


def _keys(material: Material, name: str) -> list[tuple[str, str]]:
    """Splits with the reported names of one metric; the name itself where it has no split."""
    known = material.reported
    split = [(one, f"{one}_{name}") for one in SPLITS if f"{one}_{name}" in known]
    return split or ([(name, name)] if name in known else [])


def _curves(material: Material, name: str) -> list[tuple[str, go.Scatter]]:
    found = []
    for split, key in _keys(material, name):
        steps, values = material.curve(key)
        number = SPLITS.index(split) if split in SPLITS else 2
        found.append(
            (
                split,
                go.Scatter(
                    x=steps,
                    y=values,
                    name=split,
                    mode="lines+markers" if len(steps) < 40 else "lines",
                    marker={"size": 5},
                    line={"color": COLOURS[number], "dash": DASHES.get(split, "solid")},
                ),
            )
        )
    return found


def _label(name: str) -> str:
    return name.replace("_", " ")


def _powers(logs: NDArray[np.float64]) -> dict[str, object]:
    """Ticks of a colour bar: whole powers of ten, or plain numbers where there are too few."""
    known = logs[np.isfinite(logs)]
    if not len(known):
        return {"tickvals": [], "ticktext": []}
    low, high = math.ceil(known.min()), math.floor(known.max())
    if high - low < 2:
        ticks = np.linspace(known.min(), known.max(), 5).tolist()
        return {"tickvals": ticks, "ticktext": [f"{10**tick:.2g}" for tick in ticks]}
    powers = list(range(low, high + 1, max(1, (high - low) // 6)))
    return {"tickvals": powers, "ticktext": [f"10<sup>{power}</sup>" for power in powers]}


def _thinned(epochs: list[int]) -> list[int]:
    if len(epochs) <= FRAMES:
        return epochs
    places = np.linspace(0, len(epochs) - 1, FRAMES).round().astype(int)
    return [epochs[place] for place in places]


def _frame(epoch: int, curves: Curves, flow: Gradients | None) -> go.Frame:
    """The curves up to an epoch, and the newest gradient that was kept by then."""
    data: list[object] = []
    for _, (steps, values) in curves:
        shown = sum(step <= epoch for step in steps)
        data.append(go.Scatter(x=steps[:shown], y=values[:shown]))
    if flow:
        known = [at for at, one in enumerate(flow.epochs) if one <= epoch]
        norms = flow.norms[known[-1]] if known else (None,) * len(flow.layers)
        data.append(go.Bar(x=list(norms), y=list(flow.layers)))
    return go.Frame(data=data, name=str(epoch))


def _fix_axes(figure: go.Figure, curves: Curves, flow: Gradients | None) -> None:
    """Axes that stand still while the frames go by."""
    steps = [step for _, (ends, _) in curves for step in ends]
    values = [one for _, (_, ends) in curves for one in ends if math.isfinite(one)]
    pad = 0.05 * (max(values, default=1.0) - min(values, default=0.0)) or 1.0
    high, low = max(values, default=1.0) + pad, min(values, default=0.0) - pad
    figure.update_xaxes(title="epoch", range=[min(steps), max(steps)], row=1, col=1)
    figure.update_yaxes(range=[low, high], row=1, col=1)
    norms = [norm for epoch in flow.norms for norm in epoch if norm > 0] if flow else []
    if norms:
        reach = [math.floor(math.log10(min(norms))), math.ceil(math.log10(max(norms)))]
        figure.update_yaxes(autorange="reversed", row=1, col=2)
        figure.update_xaxes(
            type="log",
            range=[reach[0], reach[1] + 0.1],
            exponentformat="power",
            dtick=1,
            row=1,
            col=2,
        )


def _play() -> dict[str, object]:
    options = {"frame": {"duration": 120, "redraw": True}, "fromcurrent": True}
    stop = {"frame": {"duration": 0}, "mode": "immediate"}
    return {
        "type": "buttons",
        "direction": "left",
        "x": 0,
        "y": -0.22,
        "yanchor": "top",
        "buttons": [
            {"label": "▶ play", "method": "animate", "args": [None, options]},
            {"label": "❚❚", "method": "animate", "args": [[None], stop]},
        ],
    }


def _slider(epochs: Sequence[int]) -> dict[str, object]:
    show = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    return {
        "x": 0.2,
        "len": 0.8,
        "y": -0.2,
        "active": len(epochs) - 1,
        "currentvalue": {"prefix": "epoch "},
        "steps": [
            {"label": str(epoch), "method": "animate", "args": [[str(epoch)], show]}
            for epoch in epochs
        ],
    }
