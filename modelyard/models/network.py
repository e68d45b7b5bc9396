"""A fitted network as an estimator: module, target scale, safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from modelyard.code.importing import Code
from modelyard.contract import Scalar
from modelyard.models.cnn import Cnn
from modelyard.models.estimator import WEIGHTS, Array
from modelyard.models.families import family_named
from modelyard.models.family import Family
from modelyard.models.mlp import Mlp
from modelyard.models.own_network import build_own
from modelyard.models.recurrent import Recurrent
from modelyard.models.resnet import ResNet
from modelyard.models.transformer import Transformer
from modelyard.plugins.loading import guarded

MODULES: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "cnn": Cnn,
    "resnet": ResNet,
    "lstm": partial(Recurrent, cell="lstm"),
    "gru": partial(Recurrent, cell="gru"),
    "transformer": Transformer,
}
"""The module of each network family."""

PREDICT_BATCH = 4096
"""Rows that go through the network at once; bounds the memory of its activations."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a regression's target was standardised: (target − mean) / deviation."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, target: Array) -> Scale:
        """The scale of a training target (n,); a constant target keeps its unit."""
        deviation = float(np.std(target))
        return cls(mean=float(np.mean(target)), deviation=deviation if deviation > 0 else 1.0)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a module is built for, besides its parameters.

    Args:
        inputs: shape of one preprocessed example.
        outputs: classes, or 1 for a regression.
        scale: of a regression's target, None for a classification.
        vocabulary: how many ids an example's numbers may be, for texts; None for others.
        categories: features of a table that are ids: their places, and how many ids there are.
    """

    inputs: tuple[int, ...]
    outputs: int
    scale: Scale | None = None
    vocabulary: int | None = None
    categories: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``model.json``."""
        scale = self.scale and {"mean": self.scale.mean, "deviation": self.scale.deviation}
        ids: dict[str, Any] = {}
        if self.vocabulary is not None:
            ids["vocabulary"] = self.vocabulary
        if self.categories:
            ids["categories"] = [list(pair) for pair in self.categories]
        return {"inputs": list(self.inputs), "outputs": self.outputs, "scale": scale, **ids}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shape:
        """The inverse of ``to_json``."""
        scale = value["scale"]
        return cls(
            inputs=tuple(int(side) for side in value["inputs"]),
            outputs=int(value["outputs"]),
            scale=None if scale is None else Scale(**scale),
            vocabulary=value.get("vocabulary"),
            categories=tuple((int(at), int(ids)) for at, ids in value.get("categories", ())),
        )


def build_module(
    family: str,
    parameters: Mapping[str, Scalar],
    shape: Shape,
    dropout: float,
    code: Code | None = None,
) -> nn.Module:
    """A fresh module; its weights are drawn from torch's global generator.

    Args:
        family: a key of ``MODULES``, a plugin's name, or ``file.py:Class``.
        parameters: every parameter of the family.
        shape: what it takes and gives.
        dropout: share of activations dropped in training; an own class has its own.
        code: where the class comes from, for own code.
    """
    if code is not None:
        return build_own(
            family,
            parameters,
            inputs=shape.inputs,
            outputs=shape.outputs,
            code=code,
            vocabulary=shape.vocabulary,
        )
    known = family_named(family)
    own = {name: value for name, value in parameters.items() if name not in known.encoding}
    ids: dict[str, Any] = {} if shape.vocabulary is None else {"vocabulary": shape.vocabulary}
    if shape.categories:
        ids["categories"] = shape.categories
    if family not in MODULES:
        return build_plugged(known, {**own, **ids}, shape)
    return MODULES[family](shape=shape.inputs, outputs=shape.outputs, dropout=dropout, **ids, **own)


def build_plugged(family: Family, parameters: Mapping[str, Scalar], shape: Shape) -> nn.Module:
    """A fresh module of a plugin's family.

    Args:
        family: of a plugin.
        parameters: that the module takes.
        shape: what it takes and gives.

    Raises:
        PluginError: it can't be built, or is no module.
    """
    assert family.build is not None, family.name
    with guarded(f"the model {family.name}", f"be built for {shape.inputs}"):
        module = family.build(inputs=shape.inputs, outputs=shape.outputs, **parameters)
        if not isinstance(module, nn.Module):
            raise TypeError(f"build gives a {type(module).__name__}, not a torch.nn.Module")
    return module


class NetworkEstimator:
    """A fitted network on the device where its weights are.

    Args:
        module: with the weights to predict with; put into evaluation mode.
        shape: what it was built for.
    """

    def __init__(self, module: nn.Module, shape: Shape) -> None:
        self.module = module.eval()
        self.shape = shape

    def predict(self, features: Array) -> Array:
        """See ``Estimator``; batch-wise, so that memory is bounded."""
        device = next(self.module.parameters()).device
        parts = []
        with torch.inference_mode():
            for start in range(0, len(features), PREDICT_BATCH):
                part = features_tensor(features[start : start + PREDICT_BATCH])
                raw = self.module(part.to(device))
                parts.append(outputs_of(raw, self.shape))
        return np.concatenate(parts) if parts else self._nothing()

    def save(self, folder: Path) -> Path:
        """See ``Estimator``."""
        file = folder / WEIGHTS
        # Not save_file: it doesn't say a full disk as an OSError.
        file.write_bytes(safetensors.torch.save(_parted(self.module.state_dict())))
        return file

    def shape_json(self) -> dict[str, Any]:
        """See ``Estimator``."""
        return self.shape.to_json()

    def _nothing(self) -> Array:
        return np.empty((0,) if self.shape.scale else (0, self.shape.outputs))


def features_tensor(features: Array) -> torch.Tensor:
    """Preprocessed examples as a tensor of their own: int32 for ids, float32 for all else."""
    kind = np.int32 if features.dtype.kind in "iu" else np.float32
    # Copied: a snapshot's arrays are read-only maps of files, which torch would write through.
    return torch.from_numpy(np.array(features, kind, order="C"))


def outputs_of(raw: torch.Tensor, shape: Shape) -> Array:
    """A module's raw output as float64: probabilities by softmax, or values in their own unit.

    Args:
        raw: (n, outputs) logits, or (n, 1) standardised values.
        shape: of the module; its scale says which of the two.
    """
    exact = raw.detach().to(torch.float64)
    if shape.scale is None:
        result: Array = torch.softmax(exact, dim=1).cpu().numpy()
        return result
    values: Array = (exact.squeeze(1) * shape.scale.deviation + shape.scale.mean).cpu().numpy()
    return values


def blank_module(
    family: str, parameters: Mapping[str, Scalar], shape: Shape, code: Code | None = None
) -> nn.Module:
    """A module that waits for its weights: Modelyard's own take no memory for them yet.

    Args:
        family, parameters, shape, code: as of ``build_module``.

    Raises:
        Exception: whatever own code raises while it is built.
    """
    if code is None and family in MODULES:
        with torch.device("meta"):
            return build_module(family, parameters, shape, dropout=0.0)
    # What a class of others computes for itself, and keeps in no state_dict, has to be there.
    with torch.random.fork_rng(devices=[]):
        return build_module(family, parameters, shape, dropout=0.0, code=code)


def load_network(
    file: Path,
    family: str,
    parameters: Mapping[str, Scalar],
    shape: Shape,
    code: Code | None = None,
) -> NetworkEstimator:
    """The estimator whose weights were saved to ``file``; on the CPU.

    Args:
        file: safetensors, by the names of the module's state.
        family, parameters: that the network is built with.
        shape: of its inputs and outputs.
        code: that the family is, None for one that comes with us.

    Raises:
        ValueError: the file is no safetensors file, or its tensors don't fit the module.
        Exception: whatever own code raises while it is built.
    """
    module = blank_module(family, parameters, shape, code)
    try:
        weights = safetensors.torch.load_file(file)
        module.load_state_dict(weights, strict=True, assign=code is None and family in MODULES)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{file.name} doesn't hold the weights of this {family}: {error}"
        ) from None
    return NetworkEstimator(module, shape)


def _parted(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, as tied weights do: safetensors keeps each by itself."""
    seen: set[int] = set()
    parted: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        parted[name] = whole.clone() if place in seen else whole
        seen.add(place)
    return parted
