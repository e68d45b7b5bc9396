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
        InputError: it is no such file, or a number in it is NaN or infinite.
    """
    try:
        tensors = safetensors.torch.load_file(file)
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"model.weights: {source} is no safetensors file: {error}") from None
    if bad := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise InputError(
            f"model.weights: {source} has numbers that are NaN or infinite in {', '.join(bad)}"
        )
    return tensors


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
        InputError: tensors are missing, too many or of another shape; all of them.
    """
    own = module.state_dict()
    last = _output_layer(own)
    others = any(name in tensors and _classes_differ(own[name], tensors[name]) for name in last)
    fresh = set(last) if new_head or others else set()
    kept = {name: tensor for name, tensor in own.items() if name not in fresh}
    problems = [
        *(f"{name}: only in the model" for name in kept if name not in tensors),
        *(f"{name}: only in the file" for name in tensors if name not in own),
        *(
            f"{name}: {_size(tensor)} in the model, {_size(tensors[name])} in the file"
            for name, tensor in kept.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ),
    ]
    if problems:
        raise InputError(
            f"model.weights: {source} doesn't fit the model in {len(problems)} "
            f"tensor{'s' * (len(problems) > 1)}:\n" + "\n".join(problems)
        )
    module.load_state_dict({**own, **{n: t for n, t in tensors.items() if n not in fresh}})
    return tuple(last) if fresh else ()


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
