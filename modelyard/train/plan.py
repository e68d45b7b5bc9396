"""What a network's fit is, before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.code.importing import Code
from modelyard.contract import Scalar
from modelyard.experiment.training import Train
from modelyard.models.family import Task
from modelyard.models.network import Shape
from modelyard.train.finetuning import Start
from modelyard.train.ranks import ALONE, Ranks


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """What a network's fit is.

    Args:
        family, parameters, shape: what the module is built from.
        task: what it learns.
        train: of the recipe.
        metric: the objective's first; decides which epoch is best.
        epochs: full length.
        seed: of weights, dropout and the order of batches.
        snapshot: digest of the data.
        scratch: folder for checkpoints on their way to the reporter.
        measured: names of further metrics that are wanted; a plugin's is computed only then.
        code: where the module comes from, when it is the user's own.
        ranks: the processes that fit it together; this one.
        start: the weights that it starts from; None for random ones.
    """

    family: str
    parameters: dict[str, Scalar]
    shape: Shape
    task: Task
    train: Train
    metric: str
    epochs: int
    seed: int
    snapshot: str
    scratch: Path
    measured: tuple[str, ...] = ()
    code: Code | None = None
    ranks: Ranks = ALONE
    start: Start | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be resumed."""
        code = {} if self.code is None else {"code": self.code.digest}
        ranks = {} if self.ranks.world == 1 else {"ranks": self.ranks.world}
        return {
            **code,
            **ranks,
            **({} if self.start is None else {"weights": self.start.identity}),
            "family": self.family,
            "parameters": self.parameters,
            "train": self.train.model_dump(mode="json"),
            "metric": self.metric,
            "epochs": self.epochs,
            "seed": self.seed,
            "snapshot": self.snapshot,
        }
