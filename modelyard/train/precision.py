"""Arithmetic of the training steps: fp32, or mixed with bf16 or fp16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from modelyard.errors import InputError

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of ``torch.autocast`` by their name in the experiment file."""


class Precision:
    """How forward and backward passes are computed; weights stay in fp32.

    With fp16 the loss is scaled up before the backward pass, so that small gradients don't
    vanish (Micikevicius et al. 2018, "Mixed precision training", section 3.2). A CPU computes
    fp16 too, though slower than fp32.

    Args:
        name: ``fp32``, ``bf16`` or ``fp16``.
        device: of the network.

    Raises:
        InputError: the GPU doesn't compute in this type.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._device = device.type
        self._type = TYPES.get(name)
        if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
            raise InputError(
                f"train.precision: {torch.cuda.get_device_name(device)} doesn't compute in bf16; "
                "use fp16 or fp32"
            )
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def forward(self) -> AbstractContextManager[Any]:
        """Around the network's forward pass; the loss belongs outside of it, in fp32."""
        if self._type is None:
            return nullcontext()
        return torch.autocast(self._device, dtype=self._type)

    def to_json(self) -> dict[str, float]:
        """The scaler's state for a checkpoint; {} without one."""
        state: dict[str, float] = self.scaler.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of ``to_json``."""
        if state:
            self.scaler.load_state_dict(state)
