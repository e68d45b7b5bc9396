"""The numbers that a trial keeps, from which its pictures are drawn: small, without torch.

A folder with two files:

    numbers.json   ``Numbers``: names, norms, tables
    numbers.npz    arrays, float32 unless said otherwise:

        histogram.<i>.edges    (epochs, bins + 1) of ``Numbers.histograms[i]``
        histogram.<i>.counts   (epochs, bins) int32
        images                 (m, C, H, W) at most 4 examples of the validation split, as the
                               network saw them (preprocessed)
        images.true            (m,) int32 true classes, or float32 true values
        activation.<i>         (m, c, h, w) float16 of ``Numbers.activations[i]``, at most 8
                               channels and 32 pixels a side
        regression.true        (n,) at most 1000 rows of the validation split, a regression's
        regression.predicted   (n,) in the target's own unit

What wasn't measured is absent: an empty tuple, None, no array. Histograms of a tensor with more
than 8192 elements count at most that many, evenly spaced. Learning curves aren't here: they are
the trial's metrics, which the server has.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict, Field

from modelyard.contract import Wire
from modelyard.errors import ModelyardError

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

FILE, ARRAYS = "numbers.json", "numbers.npz"

EPOCHS = 10
"""Most epochs of histograms."""

BINS = 40
"""Bins of a histogram."""

IMAGES, CHANNELS, ROWS = 4, 8, 1000
"""Most example images, channels of a layer's map, rows of a regression."""


class Units(Wire):
    """One layer's activations: how many units, and how many of them are dead or saturated."""

    layer: str
    units: int = Field(ge=0)
    idle: int = Field(ge=0)


class Gradients(Wire):
    """The gradient's flow, of one sampled batch an epoch.

    Args:
        layers: names of the weights' modules, in forward order.
        epochs: ascending, from 1.
        norms: L2 norm of each layer's weight's gradient, after clipping; a row for each epoch.
        weights: that of the weight itself, alike.
        losses: the batch's loss, one for each epoch.
    """

    layers: tuple[str, ...]
    epochs: tuple[int, ...]
    norms: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    losses: tuple[float, ...]


class Histogram(Wire):
    """Which tensor, and after which epochs; its edges and counts are arrays."""

    layer: str
    part: Literal["weight", "bias"]
    epochs: tuple[int, ...]


class Activation(Wire):
    """Which layer's maps; ``channels`` are the numbers of those that are kept."""

    layer: str
    channels: tuple[int, ...]


class Confusion(Wire):
    """Counts of the validation split: rows are true classes, columns predicted ones."""

    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class Reliability(Wire):
    """One bin of confidence (the largest probability) on the validation split.

    Args:
        low, high: its bounds.
        rows: how many fall into it, at least 1.
        confidence: their mean confidence.
        accuracy: share of them that is right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class Numbers(Wire):
    """See the module. ``parameters`` counts what was learnt: weights, or a forest's nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: Literal[1] = 1
    parameters: int | None = None
    units: tuple[Units, ...] = ()
    gradients: Gradients | None = None
    histograms: tuple[Histogram, ...] = ()
    activations: tuple[Activation, ...] = ()
    confusion: Confusion | None = None
    reliability: tuple[Reliability, ...] = ()


class NumbersUnreadable(ModelyardError):
    """A folder holds no numbers, or damaged ones."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """All that a trial kept: what ``write`` writes and ``read`` reads."""

    numbers: Numbers
    arrays: Mapping[str, Array] = field(default_factory=dict)

    def histogram(self, index: int) -> tuple[Array, Array]:
        """Edges (epochs, bins + 1) and counts (epochs, bins) of ``numbers.histograms[index]``."""
        return self.arrays[f"histogram.{index}.edges"], self.arrays[f"histogram.{index}.counts"]

    def activation(self, index: int) -> Array:
        """Maps (images, channels, height, width) of ``numbers.activations[index]``."""
        return self.arrays[f"activation.{index}"]


def write(kept: Kept, folder: Path) -> None:
    """Write the two files into a folder, which is made.

    Raises:
        OSError: it can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(kept.numbers.model_dump_json(), encoding="utf-8")
    packed = io.BytesIO()
    np.savez_compressed(packed, **kept.arrays)  # type: ignore[arg-type]
    (folder / ARRAYS).write_bytes(packed.getvalue())


def read(folder: Path) -> Kept:
    """What ``write`` wrote.

    Raises:
        NumbersUnreadable: a file is missing, damaged, or of a later format.
    """
    try:
        numbers = Numbers.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
        # From memory: of a damaged file numpy would leave the handle open.
        packed = io.BytesIO((folder / ARRAYS).read_bytes())
        with np.load(packed, allow_pickle=False) as arrays:
            return Kept(numbers=numbers, arrays=dict(arrays))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise NumbersUnreadable(f"the numbers in {folder} can't be read: {error}") from error
