"""What commands that ask no server print with ``--json``."""

from __future__ import annotations

from typing import Any

from modelyard.contract import Wire


class CheckView(Wire):
    """An experiment without mistakes, and what a run of it would be.

    Args:
        file: the experiment file.
        experiment: the whole document, defaults and searched space filled in.
        data: the data card.
        family: that is trained.
        why: this family, and what of its search follows the data.
        trials: that reach an end; a grid may have fewer cells than ``budget.trials``.
        notes: sentences that the user should see.
        code: digest of the user's own code; None where the file names none.
    """

    file: str
    experiment: dict[str, Any]
    data: dict[str, Any]
    family: str
    why: str = ""
    trials: int
    notes: tuple[str, ...] = ()
    code: str | None = None


class NewView(Wire):
    """A new experiment file.

    Args:
        file: that was written.
        schema_file: the JSON Schema that editors complete it with.
        code: the file of own code that was written with it, None without such.
        data: the data card.
        next: the command to type next.
    """

    file: str
    schema_file: str
    code: str | None = None
    data: dict[str, Any]
    next: str


class DataView(Wire):
    """A published set that lies in its folder.

    Args:
        name: of the set.
        folder: that it is read from.
        downloaded: files that came over the network.
        there: files that were there already.
        unchecked: downloaded files for which nobody publishes a checksum.
    """

    name: str
    folder: str
    downloaded: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


class PredictView(Wire):
    """Predictions for the rows of a file, in their order.

    Args:
        predictions: each ``{"prediction": …, "confidence": …}``.
    """

    model: str
    version: int
    predictions: tuple[dict[str, Any], ...]


class ServiceView(Wire):
    """One running service of a home; ``started`` when this very command started it."""

    name: str
    title: str
    address: str
    started: bool


class UpView(Wire):
    """What runs after ``modelyard up``, and the deployments that it made."""

    services: tuple[ServiceView, ...]
    deployments: tuple[str, ...]


class DownView(Wire):
    """The services that ``modelyard down`` ended."""

    ended: tuple[str, ...]


class PluginView(Wire):
    """An installed plugin.

    Args:
        group: models, datasets, metrics, gates, samplers, distances or hooks.
        name: as an experiment names it.
        distribution: that brings it.
        version: of the distribution.
        state: ``ready``, ``broken`` (its import raised), ``breaks contract`` or ``clash`` (its
            name is built in, or another distribution's too).
        reason: why it can't be used, with its traceback; empty when it is ready.
    """

    group: str
    name: str
    distribution: str
    version: str
    state: str
    reason: str = ""


class ReportView(Wire):
    """A report that was written.

    Args:
        page: the HTML file.
        pictures: PNG files; none without a Chromium.
        problems: what couldn't be drawn or read, in whole sentences.
    """

    page: str
    pictures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
