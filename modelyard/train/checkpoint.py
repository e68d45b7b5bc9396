"""Checkpoints of a network's fit: everything that the next step depends on, without pickle.

    state.json             epoch, history, monitor, what the fit is
    tensors.safetensors    model/…      the module's weights and buffers
                           best/…       those of the best epoch
                           optimizer/…  ``<number of the parameter>.<name>``
                           random/…     states of torch's generators
                           hooks/…      ``<number of the hook>.<name>``

A fit resumed from it goes on bit for bit, on the CPU, as one that was never interrupted. The
learning rate needs no state: it is a function of the step.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from modelyard.models.estimator import Array
from modelyard.train.errors import CheckpointFailed, CheckpointUnusable

STATE = "state.json"
TENSORS = "tensors.safetensors"
GROUPS = ("model", "best", "optimizer", "random", "hooks")
FORMAT = 1

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A fit between two epochs.

    Args:
        epoch: the last finished one, from 1.
        identity: what the fit is (family, parameters, seed, …); equal on both sides or the
            checkpoint is refused.
        history: metrics of each finished epoch, first to last.
        monitor: ``Monitor.to_json``.
        model, best, optimizer, random, hooks: tensors by name; ``best`` is empty when nothing
            but the last epoch is kept.
    """

    epoch: int
    identity: dict[str, Any]
    history: tuple[dict[str, float], ...]
    monitor: dict[str, Any]
    model: Tensors
    best: Tensors
    optimizer: Tensors
    random: Tensors
    hooks: Tensors


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint to ``folder``, which appears whole or not at all.

    Raises:
        CheckpointFailed: it can't be written, on a full disk say; nothing else was touched.
    """
    part = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        # Not save_file: it doesn't say a full disk as an OSError.
        (part / TENSORS).write_bytes(safetensors.numpy.save(_gathered(checkpoint)))
        state = {
            "format": FORMAT,
            "epoch": checkpoint.epoch,
            "identity": checkpoint.identity,
            "history": checkpoint.history,
            "monitor": checkpoint.monitor,
        }
        (part / STATE).write_text(json.dumps(state), encoding="utf-8")
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise CheckpointFailed(checkpoint.epoch, folder, error) from error


def _gathered(checkpoint: Checkpoint) -> dict[str, Array]:
    """All tensors under one roof; numpy's writer takes half the time of torch's."""
    return {
        f"{group}/{name}": tensor.detach().cpu().contiguous().numpy()
        for group in GROUPS
        for name, tensor in getattr(checkpoint, group).items()
    }


def _parted(tensors: Tensors) -> dict[str, Tensors]:
    """The inverse of ``_gathered``."""
    groups: dict[str, Tensors] = {group: {} for group in GROUPS}
    for key, tensor in tensors.items():
        group, name = key.split("/", 1)
        groups[group][name] = tensor
    return groups


def read(folder: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint in a folder, on the CPU.

    Args:
        folder: that ``write`` made, or a copy of it.
        identity: of the fit that is to go on.

    Raises:
        CheckpointUnusable: it is damaged, or of another fit.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        found = Checkpoint(
            epoch=int(state["epoch"]),
            identity=state["identity"],
            history=tuple(state["history"]),
            monitor=state["monitor"],
            **_parted(safetensors.torch.load_file(folder / TENSORS)),
        )
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointUnusable(folder, f"{type(error).__name__}: {error}") from error
    wanted = json.loads(json.dumps(dict(identity)))
    for key in {**found.identity, **wanted}:
        if found.identity.get(key) != wanted.get(key):
            raise CheckpointUnusable(
                folder,
                f"it is of another fit: its {key} is {found.identity.get(key)!r}, "
                f"this one's {wanted.get(key)!r}",
            )
    return found


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimiser's state, flat."""
    return {
        f"{number}.{name}": value
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """The inverse of ``optimizer_tensors``; hyperparameters stay as they are."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_tensors(shuffle: torch.Generator) -> Tensors:
    """States of the generators: dropout draws from the global ones, batches from ``shuffle``."""
    states = {"global": torch.get_rng_state(), "shuffle": shuffle.get_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(shuffle: torch.Generator, tensors: Tensors) -> None:
    """The inverse of ``random_tensors``."""
    torch.set_rng_state(tensors["global"])
    shuffle.set_state(tensors["shuffle"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
