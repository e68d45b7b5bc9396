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
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from modelyard.contract import Exit, Variable
from modelyard.errors import ModelyardError
from modelyard.train.errors import PeerLost
from modelyard.train.ranks import Ranks, is_lost_peer
from modelyard.trial.assignment import NODE

MEETING = timedelta(minutes=15)
"""How long ranks wait for each other at the start: a pod may have to be scheduled first."""
SILENCE = timedelta(minutes=30)
"""How long one waits for the others in the middle: rank 0 measures alone meanwhile."""
LAST_WORDS_SECONDS = 10.0
"""How long rank 0 waits for the exit code of a peer that it has lost."""

_OWN = frozenset({Exit.BUG, Exit.CONFIGURATION, Exit.OUT_OF_MEMORY, Exit.DIVERGED})


class RankFailed(ModelyardError):
    """Another process of the launch ended with an error of its own, which is in the log.

    Args:
        rank: of that process.
        code: its exit code.
    """

    def __init__(self, rank: int, code: Exit) -> None:
        self.code = code
        super().__init__(
            f"rank {rank} of this trial ended with exit code {int(code)} "
            f"({code.name.lower().replace('_', ' ')}); the trial's log has its last words"
        )


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
def together(place: Place, scratch: Path) -> Iterator[Ranks]:
    """Start the other processes of this machine and meet all of the launch.

    Args:
        place: of this process.
        scratch: folder for those that are started.

    Raises:
        RankFailed: in place of a lost peer, where that is known to have failed by itself.
        PeerLost: a peer is gone for another reason.
    """
    if place.world == 1:
        yield place.ranks
        return
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        place.address or "127.0.0.1",
        place.port,
        place.world,
        is_master=place.rank == 0,
        timeout=MEETING,
        wait_for_workers=False,
    )
    started = _start(place, place.port or store.port, scratch) if place.local == 0 else {}
    try:
        backend, devices = "gloo", torch.cuda.device_count()
        if devices:
            torch.cuda.set_device(place.local % devices)
        if devices >= place.locals:  # NCCL takes one process a GPU
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.world, timeout=SILENCE
        )
        yield place.ranks
    except Exception as error:
        if (failed := _failed(started, error)) is not None:
            raise failed from error
        if is_lost_peer(error):
            raise PeerLost(0) from error
        raise
    finally:
        _end(started)
        if distributed.is_initialized():
            distributed.destroy_process_group()


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


def _failed(started: Mapping[int, subprocess.Popen[bytes]], error: Exception) -> RankFailed | None:
    """The process of this machine whose own failure an error may come from."""
    lost = isinstance(error, PeerLost) or is_lost_peer(error)
    until = time.monotonic() + LAST_WORDS_SECONDS
    for rank, process in started.items():
        if lost and process.poll() is None:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
        if process.returncode in _OWN:
            return RankFailed(rank, Exit(process.returncode))
    return None


def _end(started: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Those that go on have nothing more to do: theirs is rank 0's result."""
    for process in started.values():
        assert process.stdin is not None
        process.stdin.close()
    for process in started.values():
        process.wait()
