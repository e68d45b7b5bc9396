"""The module of a fit, as it is before the first step."""

from __future__ import annotations

import math

import torch
from torch import nn

from modelyard.errors import InputError
from modelyard.models.network import build_module
from modelyard.models.own_network import check_output
from modelyard.train.plan import NetworkPlan
from modelyard.train.tensors import Split


def build(plan: NetworkPlan, data: Split, sizes: list[int]) -> nn.Module:
    """The module on the device of the data, its weights drawn from the plan's seed.

    Args:
        plan: of the fit.
        data: training split.
        sizes: of an epoch's batches over all ranks.

    Raises:
        InputError: it can't be built, its answers have the wrong shape, or a batch of it is too
            small.
    """
    torch.manual_seed(plan.seed)
    module = build_module(
        plan.family, plan.parameters, plan.shape, plan.train.dropout, plan.code
    ).to(data.target.device)
    if plan.start is not None:
        plan.start.fill(module)
    if plan.code is not None:
        check_output(plan.family, module, data.first(2), plan.shape.outputs)
    own = [size // plan.ranks.world for size in sizes]
    _refuse_single_rows(module, own, math.prod(plan.shape.inputs[1:]))
    if plan.ranks.world > 1 and plan.ranks.leads and _normalises_batches(module):
        print(
            f"Batch normalisation: each of {plan.ranks.world} processes normalises its own "
            f"{plan.train.batch_size} rows of a batch; the model keeps the first one's statistics."
        )
    if plan.train.channels_last and len(plan.shape.inputs) == 3:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _refuse_single_rows(module: nn.Module, sizes: list[int], pixels: int) -> None:
    """One row of features has no spread to normalise by; one image has, over its pixels.

    Pooling leaves an image of several pixels at least two, so only one that has a single pixel
    from the start comes to a map without spread.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d) if pixels == 1 else (nn.BatchNorm1d,)
    if 1 in sizes and any(isinstance(part, kinds) for part in module.modules()):
        raise InputError(
            "a batch of 1 row can't be normalised: raise train.batch_size (and the rows to learn "
            "from) above 1, or write norm: none under model.parameters"
        )


def _normalises_batches(module: nn.Module) -> bool:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return any(isinstance(part, kinds) for part in module.modules())
