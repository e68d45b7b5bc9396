"""Fills the catalogue that an experiment is checked against, by looking at its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelyard.data.card import DataCard
from modelyard.data.describe import describe
from modelyard.data.source import read
from modelyard.errors import DataError, Mistake
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.model import Data, Experiment, Split
from modelyard.models.families import choose
from modelyard.models.family import Family
from modelyard.models.spaces import suited
from modelyard.plugins.loading import PluginError
from modelyard.sweep.plugged import Plugged, plugged


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the data came to.

    Args:
        catalogue: families, metrics, and what is known of the data.
        card: the data; None where it couldn't be described.
        mistakes: why not.
        of_plugins: what is wrong with the plugins that the experiment names.
    """

    catalogue: Catalogue
    card: DataCard | None
    mistakes: tuple[Mistake, ...] = ()
    of_plugins: tuple[Mistake, ...] = ()


def look(
    experiment: Experiment,
    base: Path,
    *,
    at_data: bool = True,
    own: Family | None = None,
    raw: Mapping[str, Any] | None = None,
) -> Look:
    """Describes an experiment's data and says which family it comes to.

    Args:
        experiment: validated, or the sound part of a file.
        base: folder that a relative ``data.source`` starts from.
        at_data: False when the data section has no source to look at.
        own: the family that the user's own code is, where the experiment names such.
        raw: the file's keys and values, so that paths are the user's.
    """
    known = plugged(experiment, raw)
    if own is not None:
        known = replace(known, families={**known.families, own.name: own})
    looked = _look(experiment, known, base) if at_data else _nothing(experiment, known)
    return replace(looked, of_plugins=known.mistakes)


def _nothing(experiment: Experiment, known: Plugged) -> Look:
    return Look(catalogue=_catalogue(experiment, known, None), card=None)


def _look(experiment: Experiment, known: Plugged, base: Path) -> Look:
    try:
        card = describe(experiment.data, base, seed=experiment.seed)
    except DataError as error:
        return _second_look(experiment, known, base, error)
    except PluginError as error:
        source = experiment.data.source
        mistake = Mistake(path="data.source", message=str(error), value=source)
        return replace(_nothing(experiment, known), mistakes=(mistake,))
    return Look(catalogue=_catalogue(experiment, known, card), card=card)


def _second_look(experiment: Experiment, known: Plugged, base: Path, error: DataError) -> Look:
    """As much as can be told of data that can't be used as the file says."""
    mistake = Mistake.of(error, error.key, error.value)
    try:
        table = read(experiment.data.source, base)
    except DataError:
        return Look(catalogue=_catalogue(experiment, known, None), card=None, mistakes=(mistake,))
    columns = tuple(table.columns)
    try:
        card = describe(_without_unknown(experiment.data, columns), base, seed=experiment.seed)
    except DataError:
        card = None
    catalogue = _catalogue(
        experiment, known, card, columns=columns, own_target=table.target is not None
    )
    return Look(catalogue=catalogue, card=card, mistakes=(mistake,))


def _without_unknown(data: Data, columns: tuple[str, ...]) -> Data:
    """The data section without columns that aren't there, so that the rest can be looked at."""
    kept = tuple(name for name in data.drop if name in columns and name != data.target)
    by = data.split.by
    gone = by is not None and (by.group or by.time) not in columns
    split = Split() if gone else data.split
    return data.model_copy(update={"drop": kept, "split": split})


def _catalogue(
    experiment: Experiment,
    known: Plugged,
    card: DataCard | None,
    *,
    columns: tuple[str, ...] | None = None,
    own_target: bool = False,
) -> Catalogue:
    named, why = experiment.model.family, ""
    chosen = named if named in known.families else None
    if named == "auto" and card is not None:
        chosen, why = choose(card)
    families = known.families
    if chosen is not None and card is not None:
        families = {**families, chosen: suited(families[chosen], card)}
    return Catalogue(
        families=families,
        metrics=known.metrics,
        plugins=known.names,
        columns=columns,
        own_target=own_target,
        kind=card.kind if card else None,
        task=card.task if card else None,
        chosen=chosen,
        why=f"The family is {why}" if why else "",
    )
