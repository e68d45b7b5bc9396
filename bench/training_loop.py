"""Our training loop beside one written by hand: same network, data, optimiser and metrics.

Both train on one thread, turn and turn about, so that a busy machine is busy for both; what is
compared is CPU time, which on an idle machine is the wall time. The hand-written loop is the
best that one would write: data in one tensor, fused AdamW, cosine schedule, loss and accuracy of
both splits each epoch, best weights kept. Neither writes checkpoints.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from modelyard.data.prepare import prepare
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.experiment.model import Data, Experiment, Model
from modelyard.experiment.training import Train
from modelyard.models.cnn import Cnn
from modelyard.models.families import FAMILIES
from modelyard.store.store import store_for
from modelyard.train.fit import FitJob, fit
from modelyard.train.reporting import PhaseName, Standing

if TYPE_CHECKING:
    from bench.table import Row

EPOCHS, BATCH, SEED = 10, 64, 7
GOAL = 0.98
DATA = Data(source="sklearn:digits")


class Silent:
    """A reporter that only notes when training began."""

    began = 0.0

    def phase(self, _name: PhaseName, steps: bool) -> None:
        """Start the clock at the first step."""
        if steps:
            self.began = time.process_time()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take no notice."""

    def progress(self, standing: Standing) -> None:
        """Take no notice."""

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """Take no notice."""

    def should_stop(self) -> bool:
        """Never."""
        return False


def ours(snapshot: Snapshot, scratch: Path) -> tuple[float, float]:
    """Seconds of the training phase of ``fit``, and the best validation accuracy."""
    experiment = Experiment(
        name="bench",
        data=DATA,
        model=Model(family="cnn"),
        train=Train(epochs=EPOCHS, batch_size=BATCH, checkpoint_every=EPOCHS + 1),
    )
    report = Silent()
    found = fit(
        FitJob(
            snapshot=snapshot,
            experiment=experiment,
            family="cnn",
            parameters={},
            seed=SEED,
            epochs=EPOCHS,
            scratch=scratch,
        ),
        report,
    )
    return time.process_time() - report.began, found.metrics["accuracy"]


def by_hand(snapshot: Snapshot, *, loader: bool = False) -> tuple[float, float]:
    """Seconds of a plain PyTorch loop over the same, and its best validation accuracy.

    Args:
        loader: batches come from a ``DataLoader`` over a ``TensorDataset``, in the loop's own
            process, as in most examples; else they are index selects.
    """
    preprocessor = Preprocessor.fit(snapshot.rows("train"), snapshot.card)
    x, x_val = (
        torch.from_numpy(preprocessor.transform(snapshot.rows(split)))
        for split in ("train", "validation")
    )
    y, y_val = (torch.tensor(snapshot.target(split)) for split in ("train", "validation"))
    torch.manual_seed(SEED)
    parameters: dict[str, Any] = {**FAMILIES["cnn"].complete({}), "dropout": 0.0}
    model = Cnn(shape=tuple(x.shape[1:]), outputs=10, **parameters)
    began = time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    loaded = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    best, best_state = -1.0, {}
    for _ in range(EPOCHS):
        model.train()
        total, right = 0.0, 0
        for features, target in loaded if loader else _selected(x, y):
            logits = model(features)
            loss = functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(target)
            right += int((logits.argmax(1) == target).sum())
        model.eval()
        with torch.inference_mode():
            logits = model(x_val)
            functional.cross_entropy(logits, y_val).item()
            accuracy = float((logits.argmax(1) == y_val).float().mean())
        if accuracy > best:
            best, best_state = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return time.process_time() - began, best


def _selected(x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = torch.randperm(len(x))
    for start in range(0, len(x), BATCH):
        batch = order[start : start + BATCH]
        yield x[batch], y[batch]


def measure(repeats: int = 9) -> tuple[float, float, float, float]:
    """How our loop's speed compares.

    Args:
        repeats: of each loop, in turns, after one of each to warm up.

    Returns:
        Median of speed ours / by hand (above 1 is faster), then the median seconds of our loop,
        of that by hand, and of that with a DataLoader.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = store_for(folder.as_uri())
        made = prepare(DATA, seed=SEED, base=folder, store=store, store_base=folder.as_uri())
        snapshot = open_snapshot(store.fetch(made.uri))
        turns = []
        for _ in range(repeats + 1):
            loops = (
                ours(snapshot, folder / "scratch"),
                by_hand(snapshot),
                by_hand(snapshot, loader=True),
            )
            assert min(a for _, a in loops) > 0.9, "a loop that learns nothing is no peer"
            turns.append([seconds for seconds, _ in loops])
    mine, theirs, loading = (statistics.median(each) for each in zip(*turns[1:], strict=True))
    ratio = statistics.median(hand / own for own, hand, _ in turns[1:])
    return ratio, mine, theirs, loading


def rows() -> list[Row]:
    """The figures of this module."""
    from bench.table import Row  # not found when this file is run by itself

    ratio, mine, theirs, loading = measure()
    return [
        Row(
            what="speed of the training loop against one by hand",
            ours=f"{ratio:.3f} ({mine:.2f} s)",
            goal=f"≥ {GOAL}",
            met=ratio >= GOAL,
            peers=(
                ("by hand", f"1 ({theirs:.2f} s)"),
                ("by hand with a DataLoader", f"{theirs / loading:.3f} ({loading:.2f} s)"),
            ),
            note=f"the default cnn on scikit-learn's digits, {EPOCHS} epochs of {BATCH}, one "
            "thread, metrics of both splits, best weights kept; CPU time, median of 9 turns",
        )
    ]


if __name__ == "__main__":
    print(" ".join(f"{value:.3f}" for value in measure()))
