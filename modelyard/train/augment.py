"""Random changes to a batch of images, on the device, all rows at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from modelyard.errors import InputError
from modelyard.experiment.training import Augment
from modelyard.train.losses import Loss


@dataclass(frozen=True, slots=True)
class Mixed:
    """Which rows were mixed with which: row i is ``share`` of itself, the rest of ``other[i]``.

    Args:
        share: scalar on the device, at least 0.5.
        other: (n,) numbers of rows.
    """

    share: torch.Tensor
    other: torch.Tensor

    def loss(self, loss_of: Loss, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss against both rows' targets, each by its share."""
        return self.share * loss_of(raw, target) + (1 - self.share) * loss_of(
            raw, target[self.other]
        )


class Augmentation:
    """Changes batches; its random numbers are its own, so that a checkpoint can hold their state.

    Blank is 0, which the preprocessor makes the mean of each channel.

    Args:
        wanted: of the file.
        shape: of one image, (C, H, W).
        device: of the batches.
        seed: of the random numbers.

    Raises:
        InputError: the data isn't images, or a size doesn't fit them.
    """

    def __init__(
        self, wanted: Augment, shape: tuple[int, ...], device: torch.device, seed: int
    ) -> None:
        _refuse_misfits(wanted, shape)
        self._wanted = wanted
        self.generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, Mixed | None]:
        """A changed copy of a batch (n, C, H, W), and how its rows were mixed."""
        if self._wanted.flip:
            images = self._flip(images)
        if self._wanted.crop:
            images = self._crop(images, self._wanted.crop)
        if self._wanted.cutout:
            images = self._cutout(images, self._wanted.cutout)
        if self._wanted.mixup:
            return self._mix(images, self._wanted.mixup)
        return images, None

    def _flip(self, images: torch.Tensor) -> torch.Tensor:
        turned = self._integers(2, len(images)).to(torch.bool)
        return torch.where(turned[:, None, None, None], images.flip(3), images)

    def _crop(self, images: torch.Tensor, margin: int) -> torch.Tensor:
        """Shifted images: a blank margin all around, then a window of the old size.

        He et al. 2016, "Deep residual learning", section 4.2, with a margin of 4.
        """
        count, _, height, width = images.shape
        padded = functional.pad(images, (margin,) * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        down, right = (self._integers(2 * margin + 1, count) for _ in range(2))
        rows = torch.arange(count, device=images.device)
        return windows[rows, :, down, right]

    def _cutout(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Blank a square whose centre lies anywhere: DeVries and Taylor 2017, "Cutout"."""
        count, _, height, width = images.shape
        keep = [self._outside(count, length, side).to(images.device) for length in (height, width)]
        return images * (keep[0][:, None, :, None] | keep[1][:, None, None, :])

    def _outside(self, count: int, length: int, side: int) -> torch.Tensor:
        """(count, length) whether a pixel lies outside of the square, along one axis."""
        start = self._integers(length, count)[:, None] - side // 2
        pixels = torch.arange(length, device=start.device)[None, :]
        return (pixels < start) | (pixels >= start + side)

    def _mix(self, images: torch.Tensor, alpha: float) -> tuple[torch.Tensor, Mixed]:
        """Zhang et al. 2018, "mixup", one share for the batch, as in the authors' own program.

        The larger share goes to the row itself, so that it keeps its own class.
        """
        shape = torch.full((2,), alpha, device=images.device)
        # Two Gamma variables make a Beta; torch.distributions takes no generator.
        first, second = torch._standard_gamma(shape, generator=self.generator).clamp_min(1e-30)
        share = first / (first + second)
        share = torch.maximum(share, 1 - share)
        other = torch.randperm(len(images), generator=self.generator, device=images.device)
        return share * images + (1 - share) * images[other], Mixed(share, other)

    def _integers(self, above: int, count: int) -> torch.Tensor:
        return torch.randint(
            above, (count,), generator=self.generator, device=self.generator.device
        )


def _refuse_misfits(wanted: Augment, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise InputError("train.augment is for images, and these are none: leave it out")
    shortest = min(shape[1:])
    for name, size in (("crop", wanted.crop), ("cutout", wanted.cutout)):
        if size >= shortest:
            raise InputError(
                f"train.augment.{name}: {size} pixels would take in whole images, which are "
                f"{shape[1]} × {shape[2]}; it has to be below {shortest}"
            )
