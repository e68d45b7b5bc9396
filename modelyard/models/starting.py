"""Puts weights from a file into a fresh module, and says everything that doesn't fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from modelyard.errors import InputError

HEAD = "head"
"""The part of a module that makes its output; own modules that are fine-tuned name theirs so."""


def read_tensors(file: Path, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Args:
        file: to read; no code that it may hold is run.
        source: as messages name it.

    Raises:
        InputError: it is no such file.
    """
    try:
        return safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"model.weights: {source} is no safetensors file: {error}") from None


def start_from(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], source: str, *, new_head: bool
) -> tuple[str, ...]:
    """Give a module the weights of a file.

    Args:
        module: fresh; its weights are replaced.
        tensors: of the file.
        source: as messages name it.
        new_head: the classes are others, so that the output layer stays fresh in any case.

    Returns:
        Names of the tensors that stay fresh: the output layer's, where it is for another number of
        classes.

    Raises:
        InputError: as of ``require_fit``.
    """
    own = module.state_dict()
    fresh = require_fit(own, tensors, source, new_head=new_head)
    module.load_state_dict({**own, **{n: t for n, t in tensors.items() if n not in fresh}})
    return fresh


def require_fit(
    own: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    source: str,
    *,
    new_head: bool,
) -> tuple[str, ...]:
    """Look whether a module can be given the weights of a file; see ``start_from``.

    Args:
        own: state of the module, of which the shapes count alone.

    Raises:
        InputError: tensors are missing, too many, of another shape, or have numbers that are NaN
            or infinite; all of them.
    """
    last = _output_layer(own)
    others = any(name in tensors and _classes_differ(own[name], tensors[name]) for name in last)
    fresh = tuple(last) if new_head or others else ()
    wanted = {name: tensor for name, tensor in own.items() if name not in fresh}
    faults = {
        name: fault
        for name in {**wanted, **tensors}
        if (fault := _fault(own.get(name), tensors.get(name), resized=name in fresh))
    }
    if faults:
        raise InputError(
            f"model.weights: {source} doesn't fit the model in {len(faults)} "
            f"tensor{'s' * (len(faults) > 1)}:\n"
            + "\n".join(f"{name}: {fault}" for name, fault in faults.items())
        )
    return fresh


def _fault(own: torch.Tensor | None, other: torch.Tensor | None, *, resized: bool) -> str:
    """What is wrong with one tensor of the file; empty where it fits.

    Args:
        resized: it may have another shape.
    """
    if other is None:
        return "only in the model"
    faults = ["numbers that are NaN or infinite"] if not other.isfinite().all() else []
    if own is None:
        faults.insert(0, "only in the file")
    elif own.shape != other.shape and not resized:
        faults.insert(0, f"{_size(own)} in the model, {_size(other)} in the file")
    return "; ".join(faults)


def _classes_differ(own: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether an output layer's tensors are alike but for the number of outputs."""
    return own.shape != other.shape and own.shape[1:] == other.shape[1:]


def _output_layer(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the head's last layer's tensors."""
    inside = [name for name in state if name == HEAD or name.startswith(f"{HEAD}.")]
    layer = inside[-1].rpartition(".")[0] if inside else ""
    return [name for name in inside if name.rpartition(".")[0] == layer]


def _size(tensor: torch.Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
