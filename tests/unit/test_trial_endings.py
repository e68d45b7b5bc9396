"""How a launch ends: SIGTERM and the intake's word, exceptions and their exit codes."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from modelyard.contract import Exit, Failure, LaunchKey, Stop, TrialResult
from modelyard.errors import (
    DigestMismatch,
    Fenced,
    InputError,
    ModelyardError,
    ServerRefused,
    ServerUnreachable,
)
from modelyard.store.disk import writing
from modelyard.train.errors import Diverged, Stopped
from modelyard.trial.failures import exit_code, failure_of
from modelyard.trial.stopping import Stopping
from modelyard.trial.termination import Termination, write_termination


class Left(BaseException):
    """Stands for the end of the process."""


def leave(code: int) -> NoReturn:
    """Ends the "process"."""
    raise Left(code)


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    """One that has taken over SIGTERM, undone afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    stopping = Stopping(leave)
    stopping.install()
    yield stopping
    signal.signal(signal.SIGTERM, before)


def sigterm() -> None:
    """What an executor sends."""
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("stopping")
def test_sigterm_while_loading_ends_at_once_with_75() -> None:
    """Before a fit there is nothing to save."""
    with pytest.raises(Left, match="75"):
        sigterm()


def test_sigterm_in_a_fit_only_asks(stopping: Stopping) -> None:
    """A fit is asked, and goes on until it looks."""
    stopping.cooperate()
    assert not stopping.asked
    sigterm()

    assert stopping.asked
    assert stopping.reason == "SIGTERM"


def test_a_fit_that_ended_without_looking_is_left_then(stopping: Stopping) -> None:
    """A stop that came too late for the fit counts all the same: never exit code 0."""
    stopping.cooperate()
    sigterm()

    with pytest.raises(Left, match="75"):
        stopping.finish()


def test_while_the_result_is_posted_only_sigterm_counts(stopping: Stopping) -> None:
    """The intake's word is past then: it decides by accepting the result, or not."""
    stopping.finish()
    stopping.ask(Stop.PRUNED)

    with pytest.raises(Left, match="75"):
        sigterm()


def test_the_intakes_stop_keeps_its_reason(stopping: Stopping) -> None:
    """Who asked first is remembered."""
    stopping.cooperate()
    stopping.ask(Stop.PRUNED)
    sigterm()

    assert stopping.reason == "pruned"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Stopped(3), Exit.STOPPED),
        (ServerUnreachable("away"), Exit.STOPPED),
        (Fenced("newer"), Exit.FENCED),
        (
            Diverged(step=5, epoch=1, learning_rate=1e6, loss=float("nan")),
            Exit.DIVERGED,
        ),
        (MemoryError(), Exit.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), Exit.OUT_OF_MEMORY),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            Exit.OUT_OF_MEMORY,
        ),
        (OSError(12, "Cannot allocate memory"), Exit.OUT_OF_MEMORY),
        (InputError("no such column"), Exit.CONFIGURATION),
        (ServerRefused(401, "no token"), Exit.CONFIGURATION),
        (DigestMismatch("snapshot changed"), Exit.CONFIGURATION),
        (KeyError("x"), Exit.BUG),
        (SystemExit(0), Exit.BUG),
        (OSError(errno.EIO, "Input/output error"), Exit.BUG),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_each_ending_has_its_code(error: BaseException, code: Exit) -> None:
    """An exception becomes the exit code that the contract has for it."""
    assert exit_code(error) is code


def test_torchs_own_allocator_counts_as_memory() -> None:
    """What torch really raises when the machine can't give what is asked for."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)

    assert exit_code(caught.value) is Exit.OUT_OF_MEMORY


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_a_matter_of_configuration(tmp_path: Path, code: int) -> None:
    """Every trial would fail alike, so none is charged; wrapped in our words or not."""
    error = OSError(code, os.strerror(code))
    with pytest.raises(ModelyardError) as wrapped, writing(tmp_path):
        raise error

    assert exit_code(error) is Exit.CONFIGURATION
    assert exit_code(wrapped.value) is Exit.CONFIGURATION


def test_a_bug_carries_its_traceback() -> None:
    """The failure says what and where; a divergence says at which step."""
    try:
        {}["column"]
    except KeyError as error:
        bug = failure_of(error)
    diverged = failure_of(Diverged(step=5, epoch=1, learning_rate=1e6, loss=float("nan")))

    assert bug.summary == "KeyError: 'column'"
    assert "test_a_bug_carries_its_traceback" in bug.detail
    assert diverged.step == 5


def test_the_last_message_is_small_and_names_its_launch(tmp_path: Path) -> None:
    """Scalars of the result and nothing more, under 4 KiB, fenced by the launch."""
    key, file = LaunchKey(sweep="abcdefgh", task="3", number=2), tmp_path / "termination"
    result = TrialResult(
        metrics={"accuracy": 0.5}, step=4, model="file:///m", outcome={"card": "x" * 9000}
    )

    write_termination(file, key, result)
    message = Termination.model_validate_json(file.read_bytes())

    assert message == Termination(
        launch="abcdefgh-3-2", metrics={"accuracy": 0.5}, step=4, model="file:///m"
    )


def test_too_long_a_last_message_is_refused(tmp_path: Path) -> None:
    """What Kubernetes would cut in the middle is not written."""
    key = LaunchKey(sweep="abcdefgh", task="3", number=2)
    result = TrialResult(metrics={f"metric_{n}": 0.123456789 for n in range(200)})

    with pytest.raises(ValueError, match="4096 is the limit"):
        write_termination(tmp_path / "termination", key, result)
    assert not (tmp_path / "termination").exists()


def test_the_last_message_of_a_failure_is_its_summary(tmp_path: Path) -> None:
    """Why there is no result, even if the intake was away."""
    key, file = LaunchKey(sweep="abcdefgh", task="3", number=2), tmp_path / "termination"
    failure = Failure(exit=Exit.BUG, summary="KeyError: 'x'", detail="long")

    write_termination(file, key, failure)

    assert Termination.model_validate_json(file.read_bytes()).failure == "KeyError: 'x'"
