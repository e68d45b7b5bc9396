"""What a rollout does, decided from what runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A model server that runs.

    Args:
        service: its name among the services.
        version: of the model.
        port: where it listens.
        process: pid.
        well: whether it answers that it is ready.
    """

    service: str
    version: int
    port: int
    process: int
    well: bool


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The steps, in this order.

    Args:
        clear: instances to end first: they don't answer and would only take requests away.
        keep: the instance that serves already; nothing is started then.
        port: where the new instance listens; None for the next free one.
        take_over: instances that may hold that port while the new one starts.
        retire: instances to end once the wanted version answers.
    """

    clear: tuple[Instance, ...]
    keep: Instance | None
    port: int | None
    take_over: tuple[Instance, ...]
    retire: tuple[Instance, ...]


def plan(instances: Sequence[Instance], *, version: int, port: int | Literal["auto"]) -> Rollout:
    """The rollout after which just one instance of this version serves.

    What serves well stays until the new one answers, whatever its version; with ``auto`` the
    new one takes its port, so that the model's address stays.

    Args:
        instances: of one model, as found.
        version: the one wanted.
        port: where it is to listen.
    """
    well = tuple(i for i in instances if i.well)
    clear = tuple(i for i in instances if not i.well)
    wanted = [i for i in well if i.version == version and port in ("auto", i.port)]
    if wanted:
        keep = wanted[0]
        others = tuple(i for i in well if i is not keep)
        return Rollout(clear=clear, keep=keep, port=keep.port, take_over=(), retire=others)
    chosen = (well[0].port if well else None) if port == "auto" else port
    holders = tuple(i for i in well if i.port == chosen)
    return Rollout(clear=clear, keep=None, port=chosen, take_over=holders, retire=well)
