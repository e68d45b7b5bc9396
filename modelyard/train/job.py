"""What a fit is given and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.code.importing import Code
from modelyard.contract import Scalar
from modelyard.data.card import DataCard
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.experiment.model import Experiment
from modelyard.models import packed
from modelyard.models.estimator import Estimator
from modelyard.models.pretrained import Pretrained
from modelyard.train.observers.observed import Observed
from modelyard.train.ranks import ALONE, Ranks


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """One fit.

    Args:
        snapshot: the data; fitted on ``train``, measured on ``validation``.
        experiment: the file, whole.
        family: resolved name of the family, never ``auto``.
        parameters: sampled values: of the family's parameters, else of keys of ``train``.
        seed: of weights, dropout and the order of batches.
        epochs: full length; the schedule's horizon.
        scratch: folder for checkpoints on their way to the reporter; made if it isn't there.
        resume: local folder of a checkpoint of the same fit; None starts fresh.
        code: unpacked, where the family is the user's own code.
        ranks: the processes that fit it together; this one.
        weights: on this machine, where the experiment names some to start from.
    """

    snapshot: Snapshot
    experiment: Experiment
    family: str
    parameters: Mapping[str, Scalar]
    seed: int
    epochs: int
    scratch: Path
    resume: Path | None = None
    code: Code | None = None
    ranks: Ranks = ALONE
    weights: Pretrained | None = None


@dataclass(frozen=True, kw_only=True)
class FitOutcome:
    """A fitted model and what it is worth.

    Args:
        family: its family.
        parameters: the family's, all of them, as the model was built with.
        metrics: of the validation split, plain names, of the checkpoint that the model is.
        step: epoch of that checkpoint; None for a classical family.
        card, preprocessor, estimator, code: what ``pack`` writes.
        observed: its health, and the numbers that it keeps.
    """

    family: str
    parameters: dict[str, Scalar]
    metrics: dict[str, float]
    step: int | None
    card: DataCard
    preprocessor: Preprocessor
    estimator: Estimator
    observed: Observed
    code: Code | None = None

    def pack(self, folder: Path) -> None:
        """Write the model into a folder, see ``models.packed``."""
        packed.pack(
            folder,
            family=self.family,
            parameters=self.parameters,
            preprocessor=self.preprocessor,
            card=self.card,
            estimator=self.estimator,
            code=self.code,
        )
