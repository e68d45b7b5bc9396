"""Small snapshots to fit on, and a reporter that keeps what it is told."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.rows import Column, Rows
from modelyard.data.snapshot import Snapshot, open_snapshot, write_snapshot
from modelyard.data.split import Parts
from modelyard.data.texts import Texts
from modelyard.experiment.model import Experiment
from modelyard.models.network import features_tensor
from modelyard.train.fit import FitJob
from modelyard.train.reporting import PhaseName, Standing
from modelyard.train.tensors import Array, Resident, target_tensor

# As in a trial. With more, small operations wait for each other, on a busy machine for ever.
torch.set_num_threads(1)


SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": 16},
    "cnn": {"channels": 4, "hidden": 16},
    "resnet": {"width": 4, "depth": 1},
    "lstm": {"embedding": 8, "hidden": 8},
    "gru": {"embedding": 8, "hidden": 8},
    "transformer": {"heads": 2, "head_width": 4, "layers": 1},
    "random-forest": {"n_estimators": 5},
    "gradient-boosting": {"max_iter": 5},
    "xgboost": {"n_estimators": 5},
    "lightgbm": {"n_estimators": 5},
}
"""Parameters of each family with which it fits in no time."""


def resident(features: Array, truth: Array) -> Resident:
    """A split of classes that lies on the CPU as a whole."""
    return Resident(
        features=features_tensor(features), target=target_tensor(truth, None), truth=truth
    )


class Recorder:
    """A reporter that keeps all it is told; checkpoints are moved into ``folder``.

    Args:
        folder: for checkpoints, named by epoch; None keeps none.
        stop_after: batches after which ``should_stop`` turns true.
        wants: whether a checkpoint that is due is wanted.
    """

    def __init__(
        self, folder: Path | None = None, stop_after: int | None = None, wants: bool = True
    ) -> None:
        self.folder = folder
        self.wants = wants
        self.stop_after = stop_after
        self.asked = 0
        self.phases: list[tuple[str, bool]] = []
        self.curve: dict[int, dict[str, float]] = {}
        self.beats: list[Standing] = []
        self.checkpoints: list[int] = []

    def phase(self, name: PhaseName, steps: bool) -> None:
        """Keep it."""
        self.phases.append((name, steps))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Keep them."""
        self.curve[step] = dict(values)

    def progress(self, standing: Standing) -> None:
        """Keep it."""
        self.beats.append(standing)

    def wants_checkpoint(self) -> bool:
        """As it was told."""
        return self.wants

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """Move it, where there is a place for it."""
        self.checkpoints.append(epoch)
        if self.folder is not None:
            self.folder.mkdir(exist_ok=True)
            shutil.move(folder, self.folder / f"{epoch:06d}")

    def should_stop(self) -> bool:
        """True from the batch after ``stop_after`` on."""
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after


def digits(folder: Path, rows: int = 600, side: int = 8) -> Snapshot:
    """Handwritten digits, 8 × 8 pixels in 16 shades: 60 % training, 20 % each of the others.

    Args:
        side: pixels that are kept of each side, in the upper left corner.
    """
    source = load_digits()
    picked = np.random.default_rng(0).permutation(len(source.target))[:rows]
    card = DataCard(
        kind="image",
        task="classification",
        rows=rows,
        target="digit",
        classes=tuple("0123456789"),
        shape=(side, side, 1),
    )
    images = source.images[picked, :side, :side, None].astype(np.float32)
    return _snapshot(folder, card, Rows(columns={}, images=images), source.target[picked])


def table(folder: Path, *, regression: bool = False, rows: int = 400) -> Snapshot:
    """Two numbers and a category with missing cells; the target depends on all three.

    As a regression its values lie around 1000, far from 0 and from unit spread.
    """
    generator = np.random.default_rng(0)
    numbers = {name: generator.normal(size=rows) for name in ("age", "income")}
    codes = generator.integers(3, size=rows).astype(np.int32)
    signal = numbers["age"] - numbers["income"] + codes
    missing = generator.random(rows) < 0.05
    columns = {
        name: Column(values=np.where(missing, 0, values), missing=missing)
        for name, values in numbers.items()
    }
    columns["region"] = Column(
        values=codes, missing=np.zeros(rows, bool), categories=("east", "north", "west")
    )
    card = DataCard(
        kind="table",
        task="regression" if regression else "classification",
        rows=rows,
        target="value" if regression else "churned",
        classes=() if regression else ("no", "yes"),
        columns=tuple(
            ColumnCard(
                name=name,
                type="number" if column.categories is None else "category",
                missing=int(column.missing.sum()),
                unique=rows if column.categories is None else 3,
            )
            for name, column in columns.items()
        ),
    )
    target = 1000 + 50 * signal if regression else (signal > 1).astype(np.int64)
    return _snapshot(folder, card, Rows(columns=columns), target)


def texts(folder: Path, *, regression: bool = False, rows: int = 120) -> Snapshot:
    """Texts of two to nine words; those with "good" in some place are of one class, the others of
    the other. As a regression, how many words there are. One text is empty."""
    generator = np.random.default_rng(0)
    words = np.array(
        ["a", "film", "with", "an", "end", "that", "was", "told", "slow", "but", "well"]
    )
    said, marks = [], generator.integers(2, size=rows)
    for mark in marks:
        chosen = list(generator.choice(words, size=generator.integers(1, 9)))
        chosen.insert(int(generator.integers(len(chosen) + 1)), ("bad", "good")[mark])
        said.append(" ".join(chosen))
    said[-1] = ""
    card = DataCard(
        kind="text",
        task="regression" if regression else "classification",
        rows=rows,
        columns=(ColumnCard(name="review", type="text", missing=1, unique=rows),),
        target="length" if regression else "liked",
        classes=() if regression else ("no", "yes"),
    )
    target = np.array([float(len(text.split())) for text in said]) if regression else marks
    return _snapshot(folder, card, Rows(columns={}, texts=Texts.of("review", said)), target)


def experiment(snapshot: Snapshot, **sections: Any) -> Experiment:
    """An experiment on a snapshot; its metric suits the task."""
    metric = {"metric": "rmse", "goal": "minimize"} if not snapshot.card.classes else "accuracy"
    objective = metric if isinstance(metric, dict) else {"metric": metric}
    return Experiment.model_validate(
        {"name": "test", "data": {"source": "test"}, "objective": objective, **sections}
    )


def job(
    snapshot: Snapshot, scratch: Path, *, family: str = "mlp", epochs: int = 3, **rest: Any
) -> FitJob:
    """A fit on a snapshot; ``train`` and other sections go to the experiment.

    Args:
        rest: ``parameters``, ``seed`` and ``resume`` of the job, else sections.
    """
    own = {key: rest.pop(key) for key in ("parameters", "seed", "resume") if key in rest}
    return FitJob(
        snapshot=snapshot,
        experiment=experiment(snapshot, **rest),
        family=family,
        epochs=epochs,
        scratch=scratch,
        **{"parameters": {}, "seed": 3, **own},
    )


def _snapshot(folder: Path, card: DataCard, rows: Rows, target: Any) -> Snapshot:
    count = len(rows)
    order = np.arange(count)
    parts = Parts(
        order[: count * 6 // 10], order[count * 6 // 10 : count * 8 // 10], order[count * 8 // 10 :]
    )
    folder.mkdir()
    write_snapshot(folder, card=card, rows=rows, target=target, parts=parts, settings={})
    return open_snapshot(folder)
