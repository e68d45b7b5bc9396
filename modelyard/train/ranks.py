"""Several processes that fit one model: data-parallel training over torch.distributed.

Each rank takes its part of every batch; the gradients that DistributedDataParallel averages are
those of the whole batch. Where everything else is equal on all ranks (weights, order of rows,
schedule, metrics that decide), nothing else has to be agreed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from modelyard.errors import ModelyardError

T = TypeVar("T")

_LOST_WORDS = ("gloo", "connection closed by peer", "connection reset", "broken pipe")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Who fits; alone by default. A world of several needs torch's default process group.

    Args:
        rank: of this process, from 0; rank 0 alone measures, saves and reports.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that measures, saves and reports."""
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This rank's part of a batch's rows; parts differ by one row at most."""
        return batch if self.world == 1 else torch.tensor_split(batch, self.world)[self.rank]

    def weight(self, own: int, whole: int) -> float:
        """Factor on the mean loss of ``own`` rows, so that the average over the ranks is that
        of the ``whole`` batch, whose parts may differ by a row."""
        return 1.0 if self.world == 1 else own * self.world / whole

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, in place."""
        if self.world > 1:
            distributed.all_reduce(tensor)
        return tensor

    def from_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes of it, on every rank. Picklable; the others don't call ``make``."""
        if self.world == 1:
            return make()
        held: list[Any] = [make() if self.leads else None]
        distributed.broadcast_object_list(held, src=0)
        return cast(T, held[0])

    def of_all(self, value: T) -> list[T]:
        """The value of each rank, by rank. Picklable; tensors on the CPU."""
        if self.world == 1:
            return [value]
        held: list[Any] = [None] * self.world
        distributed.all_gather_object(held, value)
        return held

    def agree(self, value: T, what: str) -> T:
        """The value, which has to be the same on every rank.

        Args:
            what: it is, for the error.

        Raises:
            ModelyardError: it differs.
        """
        found = self.of_all(value)
        if any(one != value for one in found):
            raise ModelyardError(
                f"the processes of this trial differ in {what}: {', '.join(map(str, found))}; "
                "not all of them could read its newest checkpoint"
            )
        return value

    def joined(
        self, module: nn.Module, *, partly: bool = False
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The module to call in training: its gradients become the average over all ranks.

        Args:
            partly: whether some weights may get no gradient in a step, which costs a look at
                each step's graph.
        """
        if self.world == 1:
            return module
        device = next(module.parameters()).device
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=partly)


ALONE = Ranks()


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error says that another rank is gone."""
    if isinstance(error, distributed.DistError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in _LOST_WORDS)
