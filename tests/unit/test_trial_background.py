"""Checkpoints that are stored beside the training."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modelyard.errors import ModelyardError
from modelyard.trial import background
from modelyard.trial.background import BackgroundCheckpoints

SECONDS = 120.0


class Slow:
    """``Checkpoints`` whose first commit takes until it is told; all are remembered."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.stored: list[tuple[int, bytes]] = []
        self._error = error

    def commit(self, epoch: int, folder: Path, best: int | None) -> str:
        assert best == 1
        self.begun.set()
        assert self.go_on.wait(SECONDS)
        if self._error is not None:
            raise self._error
        self.stored.append((epoch, (folder / "state").read_bytes()))
        return f"s3://bucket/{epoch}"


def checkpoint(fit: Path, epoch: int) -> Path:
    folder = fit / f"{epoch:06d}"
    folder.mkdir(parents=True)
    (folder / "state").write_bytes(b"%d" % epoch)
    return folder


def test_of_those_that_wait_the_newest_is_stored(tmp_path: Path) -> None:
    """Training goes on while one is sent; what was overtaken meanwhile is never sent."""
    slow, said = Slow(), []
    keeper = BackgroundCheckpoints(
        slow,  # type: ignore[arg-type]
        tmp_path / "leaving",
        lambda epoch, uri: said.append((epoch, uri)),
    )
    keeper.commit(1, checkpoint(tmp_path / "fit", 1), best=1)
    assert slow.begun.wait(SECONDS)
    for epoch in (2, 3, 4):
        keeper.commit(epoch, checkpoint(tmp_path / "fit", epoch), best=1)
    assert said == []
    slow.go_on.set()
    keeper.finish()
    assert slow.stored == [(1, b"1"), (4, b"4")]
    assert said == [(1, "s3://bucket/1"), (4, "s3://bucket/4")]
    assert list((tmp_path / "leaving").iterdir()) == []
    keeper.commit(5, checkpoint(tmp_path / "fit", 5), best=1)
    keeper.finish()
    assert slow.stored[-1] == (5, b"5")


@pytest.mark.parametrize(("share", "again"), [(1e9, True), (1e-9, False)])
def test_a_checkpoint_is_wanted_once_the_one_before_is_stored_and_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, again: bool
) -> None:
    """Storing them takes no more than a share of the time, however short the epochs are."""
    monkeypatch.setattr(background, "SHARE", share)
    slow = Slow()
    keeper = BackgroundCheckpoints(
        slow,  # type: ignore[arg-type]
        tmp_path / "leaving",
        lambda _epoch, _uri: None,
    )
    assert keeper.wants()
    keeper.commit(1, checkpoint(tmp_path / "fit", 1), best=1)
    assert not keeper.wants()
    slow.go_on.set()
    keeper.finish()
    assert keeper.wants() is again


@pytest.mark.parametrize("at", ["finish", "commit"])
def test_a_failure_is_heard_of(tmp_path: Path, at: str) -> None:
    """The fitting thread is told at the next checkpoint, or at the end."""
    slow = Slow(ModelyardError("the bucket is full"))
    keeper = BackgroundCheckpoints(
        slow,  # type: ignore[arg-type]
        tmp_path / "leaving",
        lambda _epoch, _uri: None,
    )
    keeper.commit(1, checkpoint(tmp_path / "fit", 1), best=1)
    slow.go_on.set()

    def until_heard() -> None:
        for epoch in range(2, 100_000):
            keeper.commit(epoch, checkpoint(tmp_path / "fit", epoch), best=1)

    with pytest.raises(ModelyardError, match="the bucket is full"):
        keeper.finish() if at == "finish" else until_heard()
