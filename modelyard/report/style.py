"""How every figure looks: one font, quiet axes, colours that the colour-blind can tell apart."""

from __future__ import annotations

import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
"""Okabe and Ito 2008, "Color Universal Design", without its yellow, which white swallows."""

BLUE, ORANGE, GREY = COLOURS[0], COLOURS[1], "#8a8f98"

SEQUENTIAL, DIVERGING = "Cividis", "RdBu"
"""Nuñez, Anderton and Renslow 2018: cividis looks the same to the colour-blind."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
TEXT, GRID = "#23272e", "#e6e8eb"
HEIGHT = 420

MOST_CURVES = 8
"""Curves of one diagram, as many as there are colours."""


def finished(figure: go.Figure, *, height: int = HEIGHT, legend: bool = True) -> go.Figure:
    """A figure in the house's style.

    Args:
        figure: with its traces, its title left to the page.
        height: in pixels.
        legend: whether its traces are named; above the diagram then.
    """
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 64, "r": 24, "t": 64 if legend else 48, "b": 56},
        font={"family": FONT, "size": 13, "color": TEXT},
        colorway=COLOURS,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 0.995, "yanchor": "top", "yref": "container"},
        hoverlabel={"font": {"family": FONT}},
    )
    axes = {"gridcolor": GRID, "zeroline": False, "automargin": True, "title_font": {"size": 13}}
    figure.update_xaxes(**axes)
    figure.update_yaxes(**axes)
    figure.update_annotations(font={"size": 13, "color": TEXT})
    return figure


def shade(colour: str, opacity: float) -> str:
    """A hexadecimal colour as one that lets things through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
