"""The processes of one launch that fit together, in torchrun's words (torch.distributed.run).

A launch is one process that reports. Where its experiment asks for several GPUs or nodes, that
process is rank 0, and starts the others of its machine: the same program with ``RANK``,
``LOCAL_RANK``, ``WORLD_SIZE`` and so on. On a cluster each node has a pod, whose own process
starts the others there; which node it is says ``JOB_COMPLETION_INDEX``, and where the first is,
``MASTER_ADDR`` and ``MASTER_PORT``. On one machine all nodes are processes of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from torch import distributed

from modelyard.contract import Exit, Variable
from modelyard.train.ranks import Ranks
from modelyard.trial.assignment import NODE
from modelyard.trial.watching import HOPELESS_SECONDS, MEETING_SECONDS, Watch

SILENCE = timedelta(minutes=30)
"""How long one waits for the others in the middle: rank 0 measures alone meanwhile. So long, too,
rank 0 may be busy before it finds out by gloo that another has failed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process stands among those of its launch.

    Args:
        rank: among all.
        world: how many there are.
        local: number on this machine.
        locals: how many there are on this machine.
        address: of rank 0's machine; None where that is this one.
        port: where rank 0 listens; 0 lets it choose.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    locals: int = 1
    address: str | None = None
    port: int = 0

    @property
    def ranks(self) -> Ranks:
        """As the fit sees it."""
        return Ranks(rank=self.rank, world=self.world)


def place_of(environ: Mapping[str, str], *, nodes: int, gpus: int) -> Place:
    """Find a process' place.

    Args:
        environ: environment variables by name.
        nodes: of the launch.
        gpus: of each node, as the experiment says; those that are here count.
    """
    if "RANK" in environ:
        return Place(
            rank=int(environ["RANK"]),
            world=int(environ["WORLD_SIZE"]),
            local=int(environ["LOCAL_RANK"]),
            locals=int(environ["LOCAL_WORLD_SIZE"]),
            address=environ["MASTER_ADDR"],
            port=int(environ["MASTER_PORT"]),
        )
    here = max(1, min(gpus, torch.cuda.device_count()))
    if NODE not in environ:
        return Place(world=nodes * here, locals=nodes * here)
    node = int(environ[NODE])
    return Place(
        rank=node * here,
        world=nodes * here,
        locals=here,
        address=environ["MASTER_ADDR"] if node else None,
        port=int(environ["MASTER_PORT"]),
    )


@contextmanager
def together(place: Place, scratch: Path, epoch: int) -> Iterator[Ranks]:
    """Start the other processes of this machine and meet all of the launch.

    They are not parted from at the end, which takes all of them where one is lost: the program
    ends with this (``program.leave``), and the others of this machine with it.

    Args:
        place: of this process.
        scratch: folder for those that are started.
        epoch: that the launch goes on from; 0 for a fresh one.

    Raises:
        RankFailed: in place of a lost peer, where that is known to have failed by itself.
        PeerLost: a peer is gone for another reason, or never came.
    """
    if place.world == 1:
        yield place.ranks
        return
    store = _store(place) if place.rank == 0 else None
    port = place.port if store is None else store.port
    devices = torch.cuda.device_count()
    nccl = devices >= place.locals  # it takes one process a GPU
    watch = Watch(
        _start(place, port, scratch) if place.local == 0 else {},
        epoch=epoch,
        # gloo tells who is lost once rank 0, which may be busy, waits for it.
        patience_seconds=HOPELESS_SECONDS if nccl else SILENCE.total_seconds(),
    )
    try:
        if devices:
            torch.cuda.set_device(place.local % devices)
        watch.meet(partial(_join, place, store, "cpu:gloo,cuda:nccl" if nccl else "gloo"))
        yield place.ranks
    except Exception as error:
        if (cause := watch.cause(error)) is not error:
            raise cause from error
        raise
    finally:
        watch.end()


def _join(place: Place, store: distributed.TCPStore | None, backend: str) -> None:  # type: ignore[name-defined]
    """Meet the other ranks; the store is rank 0's own, which the others look for."""
    distributed.init_process_group(
        backend,
        store=_store(place) if store is None else store,
        rank=place.rank,
        world_size=place.world,
        timeout=SILENCE,
    )


def _store(place: Place) -> distributed.TCPStore:  # type: ignore[name-defined]
    """Where ranks find each other: made by rank 0, reached by the others once it is there."""
    return distributed.TCPStore(  # type: ignore[attr-defined]
        place.address or "127.0.0.1",
        place.port,
        place.world,
        is_master=place.rank == 0,
        timeout=timedelta(seconds=MEETING_SECONDS),
        wait_for_workers=False,
    )


def watch_parent() -> None:
    """End this process when the one that started it does, however that ends."""
    if "RANK" in os.environ:
        threading.Thread(target=_until_alone, name="parent", daemon=True).start()


def _until_alone() -> None:
    # Nothing is ever written: this returns at the pipe's end. Not through sys.stdin, whose lock
    # would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(Exit.STOPPED)


def _start(place: Place, port: int, scratch: Path) -> dict[int, subprocess.Popen[bytes]]:
    """The other processes of this machine, by rank. They end with their standard input."""
    started = {}
    for local in range(1, place.locals):
        rank = place.rank + local
        variables = {
            "RANK": str(rank),
            "WORLD_SIZE": str(place.world),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(place.locals),
            "GROUP_RANK": str(place.rank // place.locals),
            "MASTER_ADDR": place.address or "127.0.0.1",
            "MASTER_PORT": str(port),
            Variable.SCRATCH.value: str(scratch / f"rank-{rank}"),
        }
        started[rank] = subprocess.Popen(
            (sys.executable, "-P", "-m", "modelyard.trial"),
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
        )
    return started
