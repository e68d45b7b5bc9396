"""The pictures there are, and drawing all that a model has something for.

A picture that can't be drawn is told with its reason; it ends neither the others nor anything
else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from modelyard.report import curves, folds, judgement, layers, reasons, training
from modelyard.report.material import Material

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One kind of picture.

    Args:
        name: of its files.
        title: in the page.
        reads: one sentence on how to read it.
        draw: the figure; None where the model has nothing for it.
    """

    name: str
    title: str
    reads: str
    draw: Callable[[Material], go.Figure | None]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture that was drawn, or why it wasn't."""

    picture: Picture
    figure: go.Figure | None = None
    problem: str = ""


PICTURES = (
    Picture(
        name="history",
        title="Training history",
        reads="Curves that part show overfitting; the dashed line is the epoch that was kept.",
        draw=training.history,
    ),
    Picture(
        name="folds",
        title="Folds and repeats",
        reads="A dot for each fit; the dashed line is their mean, by which the trial is judged.",
        draw=folds.folds,
    ),
    Picture(
        name="confusion",
        title="Confusion matrix",
        reads="Each row is a true class; what isn't on the diagonal is a mistake.",
        draw=judgement.confusion,
    ),
    Picture(
        name="classes",
        title="Each class",
        reads="Recall and precision with 95 % bounds; in brackets the rows of the class.",
        draw=judgement.per_class,
    ),
    Picture(
        name="roc",
        title="ROC curves",
        reads="Each class against the others, with the area under its curve; the dashed line "
        "is guessing. Of many classes the ones with the smallest areas are shown.",
        draw=curves.roc,
    ),
    Picture(
        name="precision-recall",
        title="Precision and recall",
        reads="What precision is left when more of a class is to be found, with the average "
        "precision; tells more than ROC where a class is rare.",
        draw=curves.precision_recall,
    ),
    Picture(
        name="calibration",
        title="Calibration",
        reads="Below the dashed line the model is surer than it is right. The bars are the rows.",
        draw=judgement.calibration,
    ),
    Picture(
        name="residuals",
        title="Residuals",
        reads="Errors should scatter around 0 without a pattern along the true values.",
        draw=judgement.residuals,
    ),
    Picture(
        name="importance",
        title="What the model looks at",
        reads="How much worse the model gets on the test split without a part of its input.",
        draw=reasons.importance,
    ),
    Picture(
        name="examples",
        title="Single predictions",
        reads="What each part added to the prediction (blue) or took from it; worst mistakes "
        "come first.",
        draw=reasons.examples,
    ),
    Picture(
        name="gradient-flow",
        title="Gradient flow",
        reads="The gradient's norm at each layer, first layer on top: a dark row learns nothing, "
        "a bright one may explode.",
        draw=training.gradient_flow,
    ),
    Picture(
        name="weights",
        title="Weights and biases",
        reads="How each layer's values are spread at the end, over what they were at first.",
        draw=layers.weights,
    ),
    Picture(
        name="activations",
        title="Activation maps",
        reads="What layers make of images of the validation split; a flat map is a dead channel.",
        draw=layers.activations,
    ),
    Picture(
        name="animation",
        title="The training, step by step",
        reads="Press play, or drag the slider through the epochs.",
        draw=training.animation,
    ),
)
"""In the order of the page."""


def draw(material: Material) -> list[Drawn]:
    """Every picture that the model has something for, in order; failed ones with their reason."""
    found = (_try(picture, material) for picture in PICTURES)
    return [drawn for drawn in found if drawn is not None]


def _try(picture: Picture, material: Material) -> Drawn | None:
    try:
        figure = picture.draw(material)
    except Exception as error:
        # Whatever is wrong with some numbers must not cost the other pictures, or the run.
        LOG.warning("the picture %s can't be drawn: %s", picture.name, error, exc_info=True)
        return Drawn(picture=picture, problem=f"{type(error).__name__}: {error}")
    return None if figure is None else Drawn(picture=picture, figure=figure)
