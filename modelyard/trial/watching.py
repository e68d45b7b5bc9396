"""Whether the processes that this one has started for its launch still live.

A wait inside torch ends with neither a signal nor the news that who is waited for has died: gloo's
rendezvous waits for its time to be over, and NCCL for good. So ranks meet in a thread of its own,
and each process has another one that waits for its end. Once they have met, gloo says by itself
that a rank is gone, as soon as it is asked for something.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NoReturn

from modelyard.contract import Exit
from modelyard.errors import ModelyardError
from modelyard.train.errors import PeerLost
from modelyard.train.ranks import is_lost_peer

MEETING_SECONDS = 900.0
"""How long ranks wait for each other at the start: a pod may have to be scheduled first."""
LAST_WORDS_SECONDS = 10.0
"""How long rank 0 waits for the exit code of a peer that it has lost, and for the end of one that
it ends."""
HOPELESS_SECONDS = 60.0
"""How long after a peer's end this process may take to find out, and to save what it remembers,
where what it waits for may never tell it: with NCCL. Who is only busy then (it measures alone, or
uploads) is ended too, so that others have to be given more."""
NAP_SECONDS = 0.1
"""A main thread that waits looks up this often: a signal that comes just before its wait begins
doesn't end it."""

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


class Watch:
    """Over the other processes of this machine. Belongs to the main thread, but for its own.

    Args:
        processes: by rank; they end with their standard input.
        epoch: the newest one with a checkpoint, where the next launch goes on.
        leave: ends this process at once with an exit code.
        patience_seconds: how long this process may live after a peer has failed; see
            ``HOPELESS_SECONDS``.
    """

    def __init__(
        self,
        processes: Mapping[int, subprocess.Popen[bytes]],
        *,
        epoch: int,
        leave: Callable[[int], NoReturn] = os._exit,
        patience_seconds: float = HOPELESS_SECONDS,
    ) -> None:
        self._processes = processes
        self._epoch = epoch
        self._leave = leave
        self._patience = patience_seconds
        self._over = threading.Event()
        self._heard: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for rank in processes:
            threading.Thread(target=self._until_end, args=(rank,), daemon=True).start()

    def meet(self, join: Callable[[], None], seconds: float = MEETING_SECONDS) -> None:
        """Meet the other ranks. A signal's handler runs meanwhile.

        Args:
            join: returns once all are there; is left to itself where one is not to come.
            seconds: longest wait.

        Raises:
            RankFailed, PeerLost: a process of this machine has ended; or none has, but not all
                ranks came in time.
            Exception: whatever ``join`` raises.
        """
        threading.Thread(target=self._join, args=(join,), name="meeting", daemon=True).start()
        if (found := self._word(seconds)) is not None:
            raise found

    def cause(self, error: Exception) -> Exception:
        """What an error of the fit comes from: of a lost peer, its own failure where it had one."""
        if not isinstance(error, PeerLost) and not is_lost_peer(error):
            return error
        until = time.monotonic() + LAST_WORDS_SECONDS
        for rank, process in self._processes.items():
            try:
                code = process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
            if code in _OWN:
                return RankFailed(rank, Exit(code))
        return error if isinstance(error, PeerLost) else PeerLost(self._epoch)

    def end(self) -> None:
        """End those that go on: theirs is this process' result. Who doesn't in time is killed."""
        self._over.set()
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        until = time.monotonic() + LAST_WORDS_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _word(self, seconds: float) -> BaseException | None:
        """What is heard first: None of ranks that have met."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                return self._heard.get(timeout=min(rest, NAP_SECONDS))
        return PeerLost(self._epoch)

    def _join(self, join: Callable[[], None]) -> None:
        try:
            join()
        except BaseException as error:
            self._heard.put(error)
        else:
            self._heard.put(None)

    def _until_end(self, rank: int) -> None:
        code = self._processes[rank].wait()
        failed = RankFailed(rank, Exit(code)) if code in _OWN else None
        self._heard.put(failed or PeerLost(self._epoch))
        if code != 0 and not self._over.wait(self._patience):
            print(failed or f"rank {rank} of this trial is lost", file=sys.stderr, flush=True)
            self._leave(failed.code if failed else Exit.STOPPED)
