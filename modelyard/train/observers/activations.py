"""Activations of the kept network: units that are dead or saturated, and maps of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from modelyard.health.numbers import CHANNELS, IMAGES, Activation, Array, Units
from modelyard.train.hooks import FitView, Hook
from modelyard.train.observers.histograms import evenly

SAMPLE = 512
"""Rows of the validation split that units are judged by: a unit that fires for one example in a
hundred is silent on all of them once in 170 times."""

STILL = 1e-3
"""A unit whose answers differ by less than this share of the layer's largest answers all examples
alike."""

ENDS, STUCK = 0.01, 0.95
"""A bounded unit is at its end within this share of its range, and saturated where it is there for
this share of the examples."""

LAYERS, SIDE = 8, 32
"""Most layers whose maps are kept, evenly spaced, and the side above which a map is averaged."""

KINDS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Softplus, nn.Hardswish, nn.Tanh, nn.Sigmoid, nn.RNNBase,
    nn.TransformerEncoderLayer,
)  # fmt: skip
"""Modules whose outputs are units. A function called in a network's own code can't be seen."""

RANGES: dict[type[nn.Module], tuple[float, float]] = {nn.Tanh: (-1, 1), nn.Sigmoid: (0, 1)}
"""Bounds of those that have them on both sides."""


CONVOLUTIONS = (nn.Conv1d, nn.ConvTranspose1d)
BY_LAST_AXIS = (nn.Linear, nn.RNNBase, nn.Embedding)
"""What gives (n, channels, positions), and what gives (n, positions, units)."""

See: TypeAlias = Callable[[str, nn.Module, torch.Tensor, int], None]


class ActivationSample(Hook):
    """Looks at the kept network once, at the end, on the validation split's first rows."""

    only_looks = True

    def __init__(self) -> None:
        self.units: tuple[Units, ...] = ()
        self.activations: tuple[Activation, ...] = ()
        self.arrays: dict[str, Array] = {}

    def end(self, fit: FitView) -> None:
        """Send the sample through the network; each layer is judged as it answers."""
        units: list[Units] = []
        maps: list[_Maps] = []
        rows = fit.validation.first(SAMPLE)

        def see(name: str, part: nn.Module, out: torch.Tensor, axis: int) -> None:
            units.append(_units(name, part, out, axis))
            if rows.ndim == out.ndim == 4:
                maps.append(_Maps.of(name, out))

        fit.module.eval()
        with torch.inference_mode(), _seen(fit.module, see):
            fit.module(rows)
        self.units = tuple(units)
        if rows.ndim == 4:
            self._keep_maps(fit, maps)

    def _keep_maps(self, fit: FitView, maps: list[_Maps]) -> None:
        picked = [maps[index] for index in evenly(len(maps), LAYERS)] if maps else []
        for number, one in enumerate(picked):
            self.arrays[f"activation.{number}"] = one.small.cpu().numpy()
            self.activations += (Activation(layer=one.layer, channels=tuple(one.channels)),)
        split = fit.validation
        kind = "int32" if fit.task == "classification" else "float32"
        self.arrays["images"] = split.first(IMAGES).float().cpu().numpy()
        self.arrays["images.true"] = split.truth[:IMAGES].astype(kind)


@dataclass(frozen=True, kw_only=True)
class _Maps:
    """What is kept of a layer's maps (n, C, H, W): a few images, a few channels, small."""

    layer: str
    channels: list[int]
    small: torch.Tensor

    @classmethod
    def of(cls, layer: str, out: torch.Tensor) -> _Maps:
        channels = evenly(out.shape[1], CHANNELS)
        return cls(layer=layer, channels=channels, small=_shrunk(out[:IMAGES, channels]).half())


class _Axis:
    """Which axis of (n, a, b) holds the units.

    The last one holds tokens' units; behind a convolution over positions the units are its
    channels, in the middle, until a layer that works on the last axis follows.
    """

    def __init__(self, module: nn.Module) -> None:
        self._channels: int | None = None
        parts = list(module.modules())
        if any(isinstance(part, CONVOLUTIONS) for part in parts):
            looked_at = [part for part in parts if isinstance(part, (*CONVOLUTIONS, *BY_LAST_AXIS))]
            self.handles = [part.register_forward_hook(self._follow) for part in looked_at]
        else:
            self.handles = []

    def of(self, values: torch.Tensor) -> int:
        """The axis of some activation's values."""
        if values.ndim == 3:
            return 1 if values.shape[1] == self._channels else 2
        return 1 if values.ndim > 3 else -1

    def _follow(self, part: nn.Module, _given: Any, _out: Any) -> None:
        self._channels = part.out_channels if isinstance(part, CONVOLUTIONS) else None


@contextmanager
def _seen(module: nn.Module, see: See) -> Iterator[None]:
    """Within it every output of an activation is handed on: its name, module, values, and the
    axis that its units are along."""
    calls: dict[str, int] = {}
    axis = _Axis(module)

    def hook(name: str, part: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
        def called(_part: nn.Module, _given: Any, out: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            said = name if calls[name] == 1 else f"{name}:{calls[name]}"
            values = _values(out)
            if isinstance(part, nn.TransformerEncoderLayer):
                values = part.activation(values)  # a function, which has no hook of its own
            if isinstance(values, torch.Tensor) and values.ndim > 1:
                see(said, part, values, axis.of(values))

        return called

    parts = [(n, m) for n, m in module.named_modules() if isinstance(m, KINDS)]
    handles = [_watched(part).register_forward_hook(hook(name, part)) for name, part in parts]
    try:
        yield
    finally:
        for handle in (*handles, *axis.handles):
            handle.remove()


def _watched(part: nn.Module) -> nn.Module:
    """What a module's units come out of: of a transformer's layer the wide half in its middle."""
    return part.linear1 if isinstance(part, nn.TransformerEncoderLayer) else part


def _values(out: Any) -> Any:
    """The units' values in what a module gave: recurrent ones give their last state too, and of
    texts of several lengths all words in a row."""
    if isinstance(out, PackedSequence):
        return out.data
    return _values(out[0]) if isinstance(out, tuple) else out


def _units(name: str, module: nn.Module, out: torch.Tensor, axis: int) -> Units:
    """How many units a layer has, and how many tell nothing apart.

    Args:
        out: (n, …) with the units along ``axis``.
    """
    # Over the examples first: that is one pass through memory as it lies, without a copy.
    low = _by_unit(torch.amin, out.amin(0), axis).float()
    high = _by_unit(torch.amax, out.amax(0), axis).float()
    idle = (high - low) <= STILL * torch.maximum(-low, high).max()
    units = out.shape[axis]
    if type(module) in RANGES:
        lowest, highest = RANGES[type(module)]
        margin = ENDS * (highest - lowest)
        at_end = (out < lowest + margin) | (out > highest - margin)
        seen = out.numel() // units
        idle = idle | (_by_unit(torch.sum, at_end.sum(0), axis) / seen >= STUCK)
    return Units(layer=name, units=units, idle=int(idle.sum()))


def _by_unit(reduce: Callable[..., torch.Tensor], values: torch.Tensor, axis: int) -> torch.Tensor:
    """(units,) from what is known of each position.

    Args:
        values: (…), without the examples' axis.
        axis: of the units, where the examples' is counted.
    """
    unit = axis % (values.ndim + 1) - 1
    others = [other for other in range(values.ndim) if other != unit]
    return reduce(values, others) if others else values


def _shrunk(maps: torch.Tensor) -> torch.Tensor:
    """Maps (m, c, h, w) whose sides are at most ``SIDE``."""
    sides = (min(maps.shape[2], SIDE), min(maps.shape[3], SIDE))
    return functional.adaptive_avg_pool2d(maps.float(), sides)
