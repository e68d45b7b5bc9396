"""A picture of a trial's folds: what each of its fits came to, and how far they lie apart."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from modelyard.report.material import Material
from modelyard.report.style import BLUE, GREY, finished


def folds(material: Material) -> go.Figure | None:
    """Objective and loss of each fit, with their mean; None for a trial of one fit."""
    measured = {
        name: material.curve(f"validation_{name}")
        for name in dict.fromkeys((material.metric, "loss"))
    }
    shown = {name: points for name, points in measured.items() if points[0]}
    if not material.fits or not shown:
        return None
    figure = make_subplots(
        cols=len(shown), subplot_titles=[name.replace("_", " ") for name in shown]
    )
    for number, (steps, values) in enumerate(shown.values(), start=1):
        dots = go.Scatter(
            x=[material.fits[step - 1] for step in steps],
            y=values,
            mode="markers",
            marker={"size": 10, "color": BLUE},
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
        )
        figure.add_trace(dots, row=1, col=number)
        mean = {"color": GREY, "dash": "dash"}
        figure.add_hline(y=float(np.mean(values)), line=mean, row=1, col=number)
    figure.update_xaxes(type="category")
    return finished(figure, height=360, legend=False)
