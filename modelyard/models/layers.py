"""Pieces that several networks are made of."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
"""Activation by its name in the experiment file."""


def dropout(share: float) -> nn.Module:
    """Dropout, or nothing at all where the share is 0, so that no random number is drawn."""
    return nn.Dropout(share) if share > 0 else nn.Identity()
