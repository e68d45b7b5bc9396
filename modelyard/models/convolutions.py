"""Pieces that networks for images are made of."""

from __future__ import annotations

import math

from torch import nn

GROUPS = 8
"""Most groups of a group norm; fewer where the filters can't be shared out evenly. Wu and He (2018,
"Group Normalization") find 32 groups of wide layers, and 16 channels a group, to do alike."""


def normed(name: str, filters: int) -> nn.Module:
    """A normalisation of (n, filters, H, W).

    Args:
        name: one of ``networks.NORMS``: over the batch, over groups of filters of each image by
            itself, which small batches don't disturb, or none.
        filters: how many there are.
    """
    if name == "batch":
        return nn.BatchNorm2d(filters)
    return nn.GroupNorm(math.gcd(GROUPS, filters), filters) if name == "group" else nn.Identity()


def convolved(
    before: int, after: int, kernel: int, *, norm: str, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the image's size, or divides it by the stride, and its norm.

    Args:
        before, after: filters.
        kernel: side of a filter in pixels, odd.
        norm: one of ``networks.NORMS``.
        stride: pixels from one place of the filter to the next.
    """
    # A bias ahead of a norm would be subtracted again with the mean.
    convolution = nn.Conv2d(
        before, after, kernel, stride=stride, padding=kernel // 2, bias=norm == "none"
    )
    return convolution, normed(norm, after)
