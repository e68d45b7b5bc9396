"""Sweeps as they are asked for: checked, given an id, and written down."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from modelyard.api import SweepRequest
from modelyard.contract import Document
from modelyard.errors import ExperimentError
from modelyard.evaluate.catalogue import METRICS
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.load import experiment_from
from modelyard.experiment.model import Experiment
from modelyard.journal.rows import SweepRow
from modelyard.models.families import FAMILIES

if TYPE_CHECKING:
    from modelyard.server.core import Core


def make_sweep(core: Core, request: SweepRequest) -> SweepRow:
    """A new sweep, or the one of the request's flow run.

    Raises:
        ExperimentError: the experiment has mistakes.
    """
    experiment = experiment_from(request.experiment)
    check_experiment(experiment)
    store = core.settings.store_base
    document = Document(experiment=experiment.to_document(), store=store)
    whole = request.model_copy(update={"experiment": document.experiment})
    return core.journal.create_sweep(new_id(), whole, document)


def check_experiment(experiment: Experiment) -> None:
    """All that can be told without a look at the data, which the prepare stage takes.

    Raises:
        ExperimentError: every mistake that was found.
    """
    family = experiment.model.family
    known = Catalogue(
        families=FAMILIES, metrics=METRICS, chosen=family if family in FAMILIES else None
    )
    mistakes = check(experiment, known)
    if mistakes:
        raise ExperimentError("experiment", mistakes)


def new_id() -> str:
    """A random sweep id: eight letters and digits."""
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(8))
