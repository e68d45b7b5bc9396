"""The poster: at once when nothing is in flight, coalescing while one is, honest to the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.contract import Batch, Log, Metrics, Reply, Stop
from modelyard.errors import Fenced, ServerRefused, ServerUnreachable
from modelyard.trial.poster import Poster
from modelyard.trial.spool import Spool

DEADLINE = 120.0


class Line:
    """A line to an intake that is held up, cut and answered by the test."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.answer: Callable[[Batch], Reply] = lambda b: Reply(accepted=b.events[-1].sequence)
        self.held = threading.Event()
        self.held.set()
        self.entered = threading.Semaphore(0)

    def send(self, content: bytes) -> Reply:
        """What ``Intake.post`` does."""
        batch = Batch.model_validate_json(content)
        self.entered.release()
        assert self.held.wait(DEADLINE)
        self.batches.append(batch)
        return self.answer(batch)

    @property
    def sequences(self) -> list[list[int]]:
        """Sequence numbers, batch by batch."""
        return [[event.sequence for event in batch.events] for batch in self.batches]


def metrics(step: int) -> Metrics:
    """An event's body."""
    return Metrics(step=step, values={"loss": 1.0})


@pytest.fixture
def line() -> Line:
    """A line that answers."""
    return Line()


@pytest.fixture
def ends() -> list[object]:
    """What ``on_stop`` and ``on_end`` were called with."""
    return []


@pytest.fixture
def poster(line: Line, ends: list[object], tmp_path: Path) -> Poster:
    """A poster on the line, not started yet."""
    return Poster(
        send=line.send, spool=Spool(tmp_path / "spool"), on_stop=ends.append, on_end=ends.append
    )


def test_what_comes_up_in_flight_goes_with_the_next_batch(line: Line, poster: Poster) -> None:
    """The first event leaves alone; those handed over meanwhile leave together."""
    line.held.clear()
    poster.start()
    poster.post(metrics(1))
    assert line.entered.acquire(timeout=DEADLINE)
    for step in (2, 3, 4):
        poster.post(metrics(step))
    line.held.set()

    assert poster.close(DEADLINE)
    assert line.sequences == [[1], [2, 3, 4]]


def test_lines_that_wait_together_are_one_event(line: Line, poster: Poster) -> None:
    """Printed lines keep their place among the events, but not an event each."""
    for text in ("a", "b"):
        poster.log(text)
    poster.post(metrics(1))
    poster.log("c")
    poster.start()

    assert poster.close(DEADLINE)
    assert [event.body for event in line.batches[0].events] == [
        Log(lines=("a", "b")),
        metrics(1),
        Log(lines=("c",)),
    ]


def test_a_lost_batch_is_sent_again_with_the_same_numbers(line: Line, poster: Poster) -> None:
    """While the intake is away nothing is lost, and nothing gets a new number."""
    answers = iter([ServerUnreachable("away"), ServerUnreachable("away")])

    def answer(batch: Batch) -> Reply:
        for error in answers:
            raise error
        return Reply(accepted=batch.events[-1].sequence)

    line.answer = answer
    poster.post(metrics(1))
    poster.start()

    assert poster.close(DEADLINE)
    assert line.sequences == [[1], [1], [1]]


def test_what_the_intake_did_not_accept_is_sent_again(line: Line, poster: Poster) -> None:
    """A reply that accepts part of a batch leaves the rest waiting."""
    line.answer = lambda batch: Reply(accepted=batch.events[0].sequence)
    for step in (1, 2, 3):
        poster.post(metrics(step))
    poster.start()

    assert poster.close(DEADLINE)
    assert line.sequences == [[1, 2, 3], [2, 3], [3]]


def test_close_says_when_something_was_not_acknowledged(line: Line, poster: Poster) -> None:
    """With the intake away till the deadline, close answers False."""

    def away(_: Batch) -> Reply:
        raise ServerUnreachable("away")

    line.answer = away
    poster.start()
    poster.post(metrics(1))

    assert poster.close(0.1) is False


def test_the_asked_interval_is_kept_until_close(line: Line, poster: Poster) -> None:
    """After a reply that asks for an hour nothing more is posted, until the end is."""
    line.answer = lambda b: Reply(accepted=b.events[-1].sequence, interval_seconds=3600.0)
    poster.start()
    poster.post(metrics(1))
    assert line.entered.acquire(timeout=DEADLINE)
    poster.post(metrics(2))
    poster.post(metrics(3))

    assert poster.close(DEADLINE)
    assert line.sequences == [[1], [2, 3]]


def test_a_stop_in_the_reply_is_passed_on(line: Line, poster: Poster, ends: list[object]) -> None:
    """The reply's stop reaches the launch, and posting goes on for its last words."""
    line.answer = lambda b: Reply(accepted=b.events[-1].sequence, stop=Stop.PRUNED)
    poster.post(metrics(1))
    poster.start()

    assert poster.close(DEADLINE)
    assert ends == [Stop.PRUNED]


@pytest.mark.parametrize("error", [Fenced("newer launch"), ServerRefused(401, "no token")])
def test_a_refusal_ends_posting(
    error: Fenced | ServerRefused, line: Line, poster: Poster, ends: list[object]
) -> None:
    """A fenced or refused launch is told so once, and nothing more is sent."""

    def refuse(_: Batch) -> Reply:
        raise error

    line.answer = refuse
    poster.post(metrics(1))
    poster.start()

    assert poster.close(DEADLINE) is False
    assert ends == [error]
    assert line.sequences == [[1]]
