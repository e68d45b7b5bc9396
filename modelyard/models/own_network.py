"""Builds the user's own module, and says what is wrong with one that can't be trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import nn

from modelyard.code.errors import OwnCodeError
from modelyard.code.importing import Code, load_class
from modelyard.code.reference import Reference
from modelyard.contract import Scalar
from modelyard.models.text_families import READING


def build_own(
    family: str,
    parameters: Mapping[str, Scalar],
    *,
    inputs: tuple[int, ...],
    outputs: int,
    code: Code,
    vocabulary: int | None = None,
) -> nn.Module:
    """A fresh module; its weights are drawn from torch's global generator.

    Args:
        family: ``file.py:Class``.
        parameters: of its signature.
        inputs: shape of one example: (features,), (C, H, W), or (length,) ids of words.
        outputs: classes, or 1 for a regression.
        code: the unpacked code.
        vocabulary: how many ids there are, for texts.

    Raises:
        OwnCodeError: the class is no ``nn.Module``, or keeps what safetensors can't.
        Exception: whatever the user's code raises.
    """
    reference = Reference.of(family)
    assert reference is not None, family
    made = load_class(code, reference.file, reference.name)
    if not issubclass(made, nn.Module):
        raise OwnCodeError(f"{family} is no torch.nn.Module, which an own model has to be")
    given = dict(parameters)
    if vocabulary is not None:
        # How texts are read concerns the class only where it asks for that by name.
        asked = inspect.signature(made).parameters
        given = {name: v for name, v in given.items() if name in asked or name not in READING}
        given["vocabulary"] = vocabulary
    module = made(inputs=inputs, outputs=outputs, **given)
    if strange := [n for n, v in module.state_dict().items() if not isinstance(v, torch.Tensor)]:
        raise OwnCodeError(
            f"{family} keeps {strange[0]!r} in its state_dict, which is no tensor; a model is kept "
            "as tensors alone"
        )
    return module


def check_output(family: str, module: nn.Module, examples: torch.Tensor, outputs: int) -> None:
    """Let the module see some examples and look at the shape of what it says.

    In evaluation mode, so that neither its statistics nor the random numbers of training change.

    Args:
        examples: (n, …), at least two, on the module's device.
        outputs: that it was built with.

    Raises:
        OwnCodeError: it isn't (n, outputs).
        Exception: whatever the user's code raises.
    """
    training = module.training
    module.eval()
    with torch.random.fork_rng(devices=_devices(examples)), torch.no_grad():
        said = module(examples)
    module.train(training)
    wanted = (len(examples), outputs)
    got = tuple(said.shape) if isinstance(said, torch.Tensor) else type(said).__name__
    if got != wanted:
        raise OwnCodeError(
            f"{family} answers {len(examples)} examples with {got}; it has to be {wanted}: one row "
            "for each, with a number (a logit) for each class, or one number for a regression"
        )


def _devices(examples: torch.Tensor) -> list[torch.device]:
    return [examples.device] if examples.is_cuda else []
