"""A version in the registry: the model, what it takes, where it comes from, who serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.api import VersionView
from modelyard.contract import TrialResult
from modelyard.data.card import DataCard
from modelyard.journal.rows import SweepRow, TrialRow
from modelyard.registry.aliases import Decision
from modelyard.registry.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to be registered.

    Args:
        sweep: its sweep; experiment, name, tags and the id of the parent run are read.
        winner: the trial it was made from; None where there was no sweep of trials.
        model: local folder of the packed model (``store.fetch`` of the train result's model).
        snapshot: local folder of the data snapshot; example rows come from its test split.
        card: the snapshot's card.
        data_digest: the snapshot's digest.
        evaluation: accepted result of the stage evaluate: metrics, and ``gates``, ``champion``
            in its outcome.
        champion: the ``inputs.champion`` that evaluate was given, None when it had none.
    """

    sweep: SweepRow
    winner: TrialRow | None
    model: Path
    snapshot: Path
    card: DataCard
    data_digest: str
    evaluation: TrialResult
    champion: str | None = None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The version, and why it is what it is."""

    version: VersionView
    decision: Decision


def register(tracking: Tracking, candidate: Candidate) -> Registered:
    """Log the model, make its version and move the aliases. Repeating it changes nothing."""
    raise NotImplementedError


def champion_model(tracking: Tracking, name: str, alias: str = "champion") -> str | None:
    """URI (``file://…``) of the champion's packed model, fetchable by ``store``; None without."""
    raise NotImplementedError


def versions(tracking: Tracking, name: str) -> list[VersionView]:
    """All versions of a model, newest first; empty for an unknown name."""
    raise NotImplementedError


def version_folder(tracking: Tracking, name: str, version: int) -> Path:
    """Folder of the version's packed model, with ``example.json`` beside it for deploy."""
    raise NotImplementedError


def rollback(tracking: Tracking, name: str, alias: str = "champion") -> VersionView:
    """Swap previous and champion; returns the version that is to serve now.

    Raises:
        InputError: no such model, or no previous version.
    """
    raise NotImplementedError


def lineage(candidate: Candidate) -> Mapping[str, Any]:
    """Tags that say where a version comes from."""
    raise NotImplementedError
