"""Processes of one launch that watch each other: nobody waits for one that has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

import pytest
import torch

from modelyard.contract import Exit
from modelyard.errors import InputError
from modelyard.train.errors import PeerLost
from modelyard.trial import peers, watching
from modelyard.trial.peers import SILENCE, Place, together
from modelyard.trial.watching import HOPELESS_SECONDS, RankFailed, Watch

ENDLESS = "import sys; sys.stdin.read()"


def process(code: str) -> subprocess.Popen[bytes]:
    """Another rank: a Python that does what it is told."""
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)


@contextmanager
def watched(code: str, **rest: Any) -> Iterator[Watch]:
    """The watch over a rank 1, which ends with it."""
    watch = Watch({1: process(code)}, epoch=7, **rest)
    try:
        yield watch
    finally:
        watch.end()


def for_ever() -> None:
    """A wait that nothing ends, as that of torch for a rank."""
    threading.Event().wait()


@pytest.mark.parametrize("code", [Exit.BUG, Exit.CONFIGURATION, Exit.OUT_OF_MEMORY])
def test_a_rank_that_fails_before_the_meeting_ends_it(code: Exit) -> None:
    """Rank 0 waits no longer, and ends with the very code."""
    with watched(f"raise SystemExit({int(code)})") as watch:
        with pytest.raises(RankFailed, match="rank 1") as told:
            watch.meet(for_ever)
        assert told.value.code is code


def test_a_rank_that_is_killed_before_the_meeting_ends_it() -> None:
    """As a lost peer, at the epoch that the launch went on from."""
    with watched("import os; os.kill(os.getpid(), 9)") as watch:
        with pytest.raises(PeerLost) as told:
            watch.meet(for_ever)
        assert told.value.epoch == 7


def test_ranks_that_never_come_are_not_waited_for_without_end() -> None:
    """The meeting has its time."""
    with watched(ENDLESS) as watch, pytest.raises(PeerLost):
        watch.meet(for_ever, seconds=0.01)


def test_a_meeting_ends_with_its_own_error() -> None:
    """Such as an address that nobody has."""
    with watched(ENDLESS) as watch, pytest.raises(ZeroDivisionError):
        watch.meet(lambda: print(1 // 0))


def test_a_signal_is_heard_while_ranks_meet() -> None:
    """Its handler ends the wait, whatever torch waits for."""

    def heard(_signal: int, _frame: FrameType | None) -> None:
        raise InterruptedError

    def join() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        for_ever()

    before = signal.signal(signal.SIGUSR1, heard)
    try:
        with watched(ENDLESS) as watch, pytest.raises(InterruptedError):
            watch.meet(join)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_process_that_waits_for_a_lost_rank_without_end_is_ended() -> None:
    """With the code of the rank that failed: its own wait can't be interrupted."""
    left: SimpleQueue[int] = SimpleQueue()
    with watched("raise SystemExit(77)", leave=left.put, patience_seconds=0.0):
        assert left.get(timeout=60) == Exit.OUT_OF_MEMORY


def test_an_error_is_told_by_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a lost peer the failure that it had itself; one of one's own stays what it is."""
    monkeypatch.setattr(watching, "LAST_WORDS_SECONDS", 120.0)
    own = InputError("no such column")
    with watched("raise SystemExit(76)") as watch:
        failed = watch.cause(RuntimeError("[gloo/pair.cc:553] Connection closed by peer"))
        assert isinstance(failed, RankFailed)
        assert watch.cause(own) is own
    with watched("raise SystemExit(75)") as watch:
        lost = watch.cause(RuntimeError("[gloo/pair.cc:553] Connection closed by peer"))
        assert isinstance(lost, PeerLost)
        assert lost.epoch == 7


def test_a_rank_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launch's end doesn't wait for it: its work is done."""
    monkeypatch.setattr(watching, "LAST_WORDS_SECONDS", 0.05)
    stuck = process("import time; time.sleep(600)")
    Watch({1: stuck}, epoch=7).end()
    assert stuck.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("gpus", "seconds"), [(0, SILENCE.total_seconds()), (1, HOPELESS_SECONDS)], ids=["gloo", "nccl"]
)
def test_rank_0_may_be_busy_where_gloo_tells_it_of_a_lost_rank(
    gpus: int, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It measures and uploads alone, with what it remembers: only NCCL's silence ends it soon."""
    given: list[float] = []

    class Apart(Watch):
        """Whose ranks never meet."""

        def __init__(self, *args: Any, patience_seconds: float, **rest: Any) -> None:
            given.append(patience_seconds)
            super().__init__(*args, patience_seconds=patience_seconds, **rest)

        def meet(self, *_given: Any, **_rest: Any) -> None:
            raise InterruptedError

    monkeypatch.setattr(peers, "Watch", Apart)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _device: None)
    with pytest.raises(InterruptedError), together(Place(world=2), tmp_path, epoch=0):
        pass
    assert given == [seconds]
