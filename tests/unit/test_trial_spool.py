"""The spool: what waits for the intake, in order and bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelyard.contract import Body, Event, Log, Metrics, Progress
from modelyard.trial.spool import Spool


def event(sequence: int, body: Body | None = None) -> Event:
    """An event with some body."""
    return Event(sequence=sequence, at=1.0, body=body or Metrics(step=sequence, values={}))


def log(sequence: int, size: int = 100) -> Event:
    """A log event of about ``size`` bytes."""
    return event(sequence, Log(lines=("x" * size,)))


def progress(sequence: int) -> Event:
    """A progress event."""
    return event(sequence, Progress(epoch=1, epochs=2, fraction=0.5))


def sequences(spool: Spool) -> list[int]:
    """Sequence numbers of everything that waits, as the texts themselves have them."""
    return [json.loads(text)["sequence"] for _, text in spool.head(10**9)]


def test_events_beyond_memory_come_back_from_disk_in_order(tmp_path: Path) -> None:
    """What doesn't fit into memory waits in the file, and leaves in the order it came."""
    spool = Spool(tmp_path / "spool", memory_bytes=300)
    for number in range(1, 21):
        spool.append(event(number))

    assert (tmp_path / "spool").stat().st_size > 0
    assert sequences(spool) == list(range(1, 21))


def test_head_is_bounded_but_never_empty(tmp_path: Path) -> None:
    """A batch stays below its limit; an event that is longer alone goes alone."""
    spool = Spool(tmp_path / "spool")
    spool.append(log(1, size=5000))
    spool.append(event(2))

    assert [number for number, _ in spool.head(1000)] == [1]


def test_acknowledged_events_are_forgotten_and_the_file_emptied(tmp_path: Path) -> None:
    """Events up to the acknowledged number are gone; with the last of them the disk is free."""
    spool = Spool(tmp_path / "spool", memory_bytes=0)
    for number in range(1, 6):
        spool.append(event(number))

    spool.acknowledge(3)
    remaining = sequences(spool)
    spool.acknowledge(5)

    assert remaining == [4, 5]
    assert (len(spool), (tmp_path / "spool").stat().st_size) == (0, 0)


def test_full_spool_drops_log_lines_then_progress_and_counts(tmp_path: Path) -> None:
    """Log lines go before progress, older before newer; metrics stay, over the limit if need be."""
    spool = Spool(tmp_path / "spool", memory_bytes=200, limit_bytes=600)
    spool.append(progress(1))
    spool.append(log(2))
    spool.append(log(3))
    for number in range(4, 12):
        spool.append(event(number))

    assert sequences(spool) == list(range(4, 12))
    assert spool.dropped == 3


def test_offered_events_are_no_longer_dropped(tmp_path: Path) -> None:
    """What was handed out for posting may be stored already, so it isn't counted as dropped."""
    spool = Spool(tmp_path / "spool", limit_bytes=400)
    spool.append(log(1))
    spool.head(10**6)
    for number in range(2, 10):
        spool.append(event(number))

    assert sequences(spool)[0] == 1
    assert spool.dropped == 0


def test_file_doesn_t_grow_while_the_intake_is_away(tmp_path: Path) -> None:
    """Holes of dropped events are closed: the file stays within a few times the limit."""
    spool = Spool(tmp_path / "spool", memory_bytes=0, limit_bytes=2000)
    spool.append(event(1))
    for number in range(2, 500):
        spool.append(log(number))

    assert (tmp_path / "spool").stat().st_size < 4 * 2000
    assert sequences(spool)[0] == 1
    assert sequences(spool)[-1] == 499


def test_full_disk_costs_log_lines_only() -> None:
    """Where nothing can be written, log lines are dropped and counted, metrics stay in memory."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full is Linux's")
    spool = Spool(full, memory_bytes=0)
    spool.append(log(1))
    spool.append(event(2))

    assert sequences(spool) == [2]
    assert spool.dropped == 1
