"""Muon for a network's hidden matrices, AdamW for the rest, as one optimiser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from torch import nn, optim

from modelyard.errors import InputError


class MuonWithAdamW(optim.Optimizer):
    """Steps both with one learning rate and weight decay.

    Muon (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks") makes each
    update of a matrix orthogonal. As its author recommends, embeddings, the output layer, and all
    that is no matrix (biases, gains, filters of convolutions) go to AdamW. Updates are scaled as
    in Liu et al. 2025, "Muon is scalable for LLM training", section 2.2, so that the learning
    rate and weight decay of AdamW suit both.

    Args:
        module: its parameters are optimised.
        learning_rate: of the first step.
        momentum: Muon's; AdamW keeps its own.
        weight_decay: decoupled, of both.

    Raises:
        InputError: the network has no hidden matrix.
    """

    def __init__(
        self, module: nn.Module, *, learning_rate: float, momentum: float, weight_decay: float
    ) -> None:
        hidden = hidden_matrices(module)
        if not hidden:
            raise InputError(
                "train.optimizer: muon is for hidden matrices, and this network has none; valid "
                "are adam, adamw, sgd and rmsprop"
            )
        taken = {id(weight) for weight in hidden}
        rest = [weight for weight in module.parameters() if id(weight) not in taken]
        self._parts: tuple[optim.Optimizer, optim.Optimizer] = (
            optim.Muon(
                hidden,
                lr=learning_rate,
                weight_decay=weight_decay,
                momentum=momentum,
                adjust_lr_fn="match_rms_adamw",
            ),
            optim.AdamW(rest, lr=learning_rate, weight_decay=weight_decay, fused=True),
        )
        super().__init__([*hidden, *rest], {"lr": learning_rate, "weight_decay": weight_decay})
        # The parts' own groups: whoever changes a rate here changes it there.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step both parts.

        Raises:
            ValueError: with a closure, which would be called twice.
        """
        if closure is not None:
            raise ValueError("a closure would be called by each of the two parts")
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Both parts' as one, their parameters numbered through."""
        states: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        start = 0
        for part in self._parts:
            found = part.state_dict()
            states |= {start + number: state for number, state in found["state"].items()}
            groups += [
                {**group, "params": [start + number for number in group["params"]]}
                for group in found["param_groups"]
            ]
            start += _count(part)
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        start, groups = 0, list(state_dict["param_groups"])
        for part in self._parts:
            own, groups = groups[: len(part.param_groups)], groups[len(part.param_groups) :]
            end = start + _count(part)
            part.load_state_dict(
                {
                    "state": {
                        n - start: s for n, s in state_dict["state"].items() if start <= n < end
                    },
                    "param_groups": [
                        {**group, "params": [number - start for number in group["params"]]}
                        for group in own
                    ],
                }
            )
            start = end
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        self.state = defaultdict(dict)


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """The 2-D weights between a network's inputs and its output layer.

    Embeddings are tables of vectors and no maps, and so may be what a network holds under a name
    of its own: torch calls its maps ``weight``, ``weight_ih_l0``, ``in_proj_weight`` …. The
    output layer is the last matrix.
    """
    tables = {
        id(part.weight)
        for part in module.modules()
        if isinstance(part, nn.Embedding | nn.EmbeddingBag)
    }
    named = [(name, w) for name, w in module.named_parameters() if w.ndim == 2]
    matrices = [(name, w) for name, w in named if id(w) not in tables]
    return [w for name, w in matrices[:-1] if "weight" in name.rpartition(".")[2]]


def _count(part: optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in part.param_groups)
