"""The fit of ``bench.fits`` with Lightning: the network, data and settings of ``fit_peers``."""

from __future__ import annotations

import copy
import logging
import warnings
from typing import Any

import lightning
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.fit_peers import LEAST_ACCURACY, Digits, network
from bench.fits import BATCH, EPOCHS, Clock, Seconds


class Lit(lightning.LightningModule):
    """The default cnn, its metrics of both splits, and its best weights in memory.

    Args:
        data: gives the network its shape and the schedule its length.
    """

    def __init__(self, data: Digits) -> None:
        super().__init__()
        self.model = network(data)
        self.best = -1.0
        self.best_state: dict[str, torch.Tensor] = {}
        self._steps = EPOCHS * data.steps

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """The loss, which Lightning steps on."""
        return self._told("train", *batch)

    def validation_step(self, batch: Any, _: int) -> None:
        """The metrics alone."""
        self._told("validation", *batch)

    def _told(self, split: str, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        logits = self.model(features)
        loss = functional.cross_entropy(logits, target)
        right = (logits.argmax(1) == target).float().mean()
        values = {f"{split}_loss": loss, f"{split}_accuracy": right}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(target))
        return loss

    def on_validation_epoch_end(self) -> None:
        """Keep the weights if they are the best so far."""
        accuracy = float(self.trainer.callback_metrics["validation_accuracy"])
        if accuracy > self.best:
            self.best, self.best_state = accuracy, copy.deepcopy(self.model.state_dict())

    def on_fit_end(self) -> None:
        """Take the best weights."""
        self.model.load_state_dict(self.best_state)

    def configure_optimizers(self) -> Any:
        """Those of the loop by hand."""
        optimizer = torch.optim.AdamW(self.parameters(), 1e-3, weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def with_lightning(data: Digits) -> Seconds:
    """Seconds of ``Trainer.fit``, with all that can be switched off: logger, progress bar,
    summary, sanity check and checkpoint files."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lit = Lit(data)
    loaded = DataLoader(TensorDataset(data.x, data.y), batch_size=BATCH, shuffle=True)
    held_out = DataLoader(TensorDataset(data.x_val, data.y_val), batch_size=len(data.x_val))
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it would have one set for larger data
        clock = Clock()
        trainer.fit(lit, loaded, held_out)
        seconds = clock.read()
    assert lit.best > LEAST_ACCURACY
    return seconds
