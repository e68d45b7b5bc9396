"""Checkpoints of a network's fit: everything that the next step depends on, without pickle.

    state.json             epoch, history, monitor, schedule, scaler, what the fit is
    tensors.safetensors    model/…      the module's weights and buffers
                           average/…    their moving average, where there is one
                           best/…       those of the best epoch
                           optimizer/…  ``<number of the parameter>.<name>``
                           random/…     states of torch's generators
                           hooks/…      ``<number of the hook>.<name>``

A fit resumed from it goes on bit for bit, on the CPU, as one that was never interrupted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
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
GROUPS = ("model", "best", "optimizer", "random", "hooks", "average")
FORMAT = 2

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
        schedule: ``Rates.to_json``.
        scaler: ``Precision.to_json``.
        model, best, optimizer, random, hooks, average: tensors by name; ``best`` is empty when
            nothing but the last epoch is kept.
    """

    epoch: int
    identity: dict[str, Any]
    history: tuple[dict[str, float], ...]
    monitor: dict[str, Any]
    schedule: dict[str, Any]
    scaler: dict[str, Any]
    model: Tensors
    best: Tensors
    optimizer: Tensors
    random: Tensors
    hooks: Tensors
    average: Tensors


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
            "schedule": checkpoint.schedule,
            "scaler": checkpoint.scaler,
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
        if state["format"] != FORMAT:
            raise ValueError(f"its format is {state['format']}, this version's {FORMAT}")
        found = Checkpoint(
            epoch=int(state["epoch"]),
            identity=state["identity"],
            history=tuple(state["history"]),
            monitor=state["monitor"],
            schedule=state["schedule"],
            scaler=state["scaler"],
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


def with_ranks(tensors: Sequence[Tensors]) -> Tensors:
    """One group of the tensors of all ranks: those of rank 0 by their names, others' marked."""
    return {
        f"{_rank_mark(rank)}{name}": tensor
        for rank, own in enumerate(tensors)
        for name, tensor in own.items()
    }


def of_rank(tensors: Tensors, rank: int) -> Tensors:
    """The inverse of ``with_ranks``, for one of them."""
    mark = _rank_mark(rank)
    found = {k.removeprefix(mark): v for k, v in tensors.items() if k.startswith(mark)}
    return {k: v for k, v in found.items() if not k.startswith("rank-")}


def _rank_mark(rank: int) -> str:
    return f"rank-{rank}." if rank else ""


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
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        weight = weights[int(number)]
        restored = tensor
        if tensor.shape == weight.shape:
            # In the weight's own order in memory (channels last, say), as it was made at first.
            restored = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(number), {})[name] = restored
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def random_tensors(generators: Mapping[str, torch.Generator]) -> Tensors:
    """States of the generators: dropout draws from the global ones.

    Args:
        generators: the fit's own, by name.
    """
    states = {name: generator.get_state() for name, generator in generators.items()}
    states["global"] = torch.get_rng_state()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random(generators: Mapping[str, torch.Generator], tensors: Tensors) -> None:
    """The inverse of ``random_tensors``."""
    torch.set_rng_state(tensors["global"])
    for name, generator in generators.items():
        generator.set_state(tensors[name])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
