"""Fine-tuning: where a network starts, what stays frozen for how long, how fast each layer learns.

The rates fall from the head towards the input, and layers thaw after the head has settled, as in
Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification" (which thaws
one layer at a time, and divides by 2.6 from layer to layer: a ``rate_factor`` of 0.38).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from modelyard.errors import InputError
from modelyard.experiment.weights import Weights
from modelyard.models.pretrained import Pretrained
from modelyard.models.starting import HEAD, read_tensors, require_fit, start_from
from modelyard.train.hooks import FitView, Hook

FACTOR = "rate_factor"
"""Key of a parameter group: its learning rate over the schedule's."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fit starts from.

    Args:
        section: of the experiment.
        weights: on this machine.
        new_head: the classes are others than those that the weights know.
    """

    section: Weights
    weights: Pretrained
    new_head: bool

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be resumed."""
        how = self.section.model_dump(mode="json", exclude={"source"})
        return {"blake3": self.weights.blake3, **how}

    def check(self, module: nn.Module) -> None:
        """Look whether a module can be given the weights.

        Args:
            module: as of ``network.blank_module``.

        Raises:
            InputError: they don't fit; every mismatch.
        """
        tensors = read_tensors(self.weights.file, self.weights.source)
        require_fit(module.state_dict(), tensors, self.weights.source, new_head=self.new_head)

    def fill(self, module: nn.Module) -> None:
        """Give a fresh module the weights; print what stays fresh.

        Raises:
            InputError: they don't fit; every mismatch.
        """
        source = self.weights.source
        tensors = read_tensors(self.weights.file, source)
        fresh = start_from(module, tensors, source, new_head=self.new_head)
        if fresh:
            print(
                f"The output layer ({', '.join(fresh)}) is new: {source} is for other classes than "
                "this data has."
            )

    def hooks(self) -> tuple[Hook, ...]:
        """What takes part in the fit."""
        return (Freezing(self.section.unfreeze_after),) if self.section.freeze else ()


class Freezing(Hook):
    """All but the head stays as it is, its running means too, for some epochs or for good.

    Args:
        epochs: how many; None for all.
    """

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs
        self._frozen: list[nn.Parameter] = []
        self._handles: list[RemovableHandle] = []

    def start(self, fit: FitView) -> None:
        """Freeze, unless the fit goes on from where it had thawed already.

        Raises:
            InputError: the module has no head, so that nothing would learn.
        """
        head = getattr(fit.module, HEAD, None)
        if not isinstance(head, nn.Module):
            raise InputError(
                f"model.weights.freeze: the network has no part named {HEAD}, which alone would "
                "learn"
            )
        if self._epochs is not None and fit.epoch >= self._epochs:
            return
        kept = {id(weight) for weight in head.parameters()}
        self._frozen = [w for w in fit.module.parameters() if id(w) not in kept]
        for weight in self._frozen:
            weight.requires_grad_(False)
        for name, part in fit.module.named_children():
            if name != HEAD:
                # Dropout and running means belong to learning, which an epoch's start turns on.
                self._handles += [p.register_forward_pre_hook(_still) for p in part.modules()]

    def epoch(self, fit: FitView, values: Mapping[str, float]) -> None:
        """Thaw once the epochs are over."""
        del values
        if self._frozen and self._epochs is not None and fit.epoch >= self._epochs:
            for weight in self._frozen:
                weight.requires_grad_(True)
            for handle in self._handles:
                handle.remove()
            self._frozen, self._handles = [], []


def _still(module: nn.Module, inputs: object) -> None:
    del inputs
    module.training = False


def spread_rates(optimizer: torch.optim.Optimizer, module: nn.Module, factor: float) -> None:
    """Let each layer learn more slowly than the one behind it; the last has the full rate.

    Args:
        optimizer: of the module's weights; its groups are split by layer.
        module: whose parts, in the order that they were made, are its layers.
        factor: from a layer's rate to that of the layer before it; 1 changes nothing.

    Raises:
        InputError: an optimiser that has its own groups.
    """
    if factor == 1:
        return
    if len(optimizer.param_groups) != 1:
        raise InputError(
            "model.weights.rate_factor: muon has one rate for all layers; valid are adam, adamw, "
            "sgd and rmsprop"
        )
    layers = list(_layers(module))
    (group,) = optimizer.param_groups
    optimizer.param_groups[:] = [
        {**group, "params": layer, FACTOR: factor ** (len(layers) - 1 - number)}
        for number, layer in enumerate(layers)
    ]


def _layers(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Weights of each layer, from the input on; those that lie in no part come first."""
    taken: set[int] = set()
    loose = list(module.parameters(recurse=False))
    rows = (nn.Sequential, nn.ModuleList)
    parts = [
        inner
        for part in module.children()
        for inner in (part.children() if isinstance(part, rows) else [part])
    ]
    for weights in (loose, *(list(part.parameters()) for part in parts)):
        new = [weight for weight in weights if id(weight) not in taken]
        taken |= {id(weight) for weight in new}
        if new:
            yield new
