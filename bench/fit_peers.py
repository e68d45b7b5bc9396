"""The fit of ``bench.fits`` as others write it, by hand in plain PyTorch.

Same network, data, optimiser, schedule and metrics of both splits each epoch, best weights kept.
The loop by hand is the best that one would write: data in one tensor, fused AdamW.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.fits import BATCH, EPOCHS, SEED, Clock, Seconds
from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import Snapshot
from modelyard.models.cnn import Cnn
from modelyard.models.families import FAMILIES

LEAST_ACCURACY = 0.9
"""On the validation split: a loop that learns nothing is no peer."""


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Both splits as tensors: features (n, …), targets (n,)."""

    x: torch.Tensor
    y: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-len(self.x) // BATCH)


def digits(snapshot: Snapshot) -> Digits:
    """The tensors that our fit has, too."""
    preprocessor = Preprocessor.fit(snapshot.rows("train"), snapshot.card)
    x, x_val = (
        torch.from_numpy(preprocessor.transform(snapshot.rows(split)))
        for split in ("train", "validation")
    )
    y, y_val = (torch.tensor(snapshot.target(split)) for split in ("train", "validation"))
    return Digits(x=x, y=y, x_val=x_val, y_val=y_val)


def network(data: Digits) -> nn.Module:
    """The default cnn, fresh."""
    torch.manual_seed(SEED)
    parameters: dict[str, Any] = {**FAMILIES["cnn"].complete({}), "dropout": 0.0}
    return Cnn(shape=tuple(data.x.shape[1:]), outputs=10, **parameters)


def by_hand(data: Digits, *, loader: bool = False, saved: Path | None = None) -> Seconds:
    """Seconds of a plain PyTorch loop.

    Args:
        loader: batches come from a ``DataLoader`` over a ``TensorDataset``, in the loop's own
            process, as in most examples; else they are index selects.
        saved: file that ``torch.save`` writes after every epoch: weights, the best ones,
            optimiser, schedule. None: none.
    """
    model = network(data)
    clock = Clock()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * data.steps)
    loaded = DataLoader(TensorDataset(data.x, data.y), batch_size=BATCH, shuffle=True)
    best, best_state = -1.0, {}
    for _ in range(EPOCHS):
        model.train()
        total, right = 0.0, 0
        for features, target in loaded if loader else _selected(data):
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
            logits = model(data.x_val)
            functional.cross_entropy(logits, data.y_val).item()
            accuracy = float((logits.argmax(1) == data.y_val).float().mean())
        if accuracy > best:
            best, best_state = accuracy, copy.deepcopy(model.state_dict())
        if saved is not None:
            parts = (model.state_dict(), best_state, optimizer.state_dict(), schedule.state_dict())
            torch.save(parts, saved)
    model.load_state_dict(best_state)
    assert best > LEAST_ACCURACY
    return clock.read()


def _selected(data: Digits) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = torch.randperm(len(data.x))
    for start in range(0, len(data.x), BATCH):
        batch = order[start : start + BATCH]
        yield data.x[batch], data.y[batch]
