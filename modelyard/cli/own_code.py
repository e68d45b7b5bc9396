"""The user's own code as the command line sees it: checked beside the experiment file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.code.errors import OwnCodeError
from modelyard.code.folder import Folder
from modelyard.code.gathering import gather
from modelyard.code.reference import Reference
from modelyard.errors import Mistake
from modelyard.experiment.model import Experiment
from modelyard.experiment.written import wanted
from modelyard.models.family import Family
from modelyard.models.own import read_family
from modelyard.settings import Settings


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """What a look at own code came to; all empty where the experiment has none.

    Args:
        family: that its class is; None where it can't be used.
        folder: what travels; None where it can't.
        mistakes: why not.
    """

    family: Family | None = None
    folder: Folder | None = None
    mistakes: tuple[Mistake, ...] = ()


def look_at_code(
    experiment: Experiment, base: Path, raw: Mapping[str, Any], no_code: Sequence[Path]
) -> OwnCode:
    """Reads the class that an experiment names, and what would travel with it. Runs nothing.

    Args:
        experiment: validated, or the sound part of a file.
        base: folder that a relative path starts from.
        raw: the file's keys and values, so that paths are the user's.
        no_code: absolute paths of files that lie there and don't travel as code.
    """
    reference = Reference.of(experiment.model.family)
    if reference is None:
        return OwnCode()
    file = reference.locate(base)
    family = folder = None
    problems: list[OwnCodeError] = []
    try:
        family = read_family(experiment.model.family, file.parent)
    except OwnCodeError as error:
        problems.append(error)
    try:
        if file.is_file():
            image = experiment.resources.image
            folder = gather(file, Settings(), no_code=no_code, image=image)
    except OwnCodeError as error:
        problems.append(error)
    path = wanted(raw, ("model", "family")).dotted
    mistakes = tuple(Mistake.of(error, path, experiment.model.family) for error in problems)
    return OwnCode(family=family, folder=folder, mistakes=mistakes)
