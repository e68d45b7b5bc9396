"""The intake: trials post batches, one thread commits them, many in one transaction."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard.contract import Batch, LaunchKey, Reply
from modelyard.errors import LeaseLost, ModelyardError
from modelyard.server.live import LiveJournal
from modelyard.server.load import Load
from modelyard.server.measures import Measures

LOG = logging.getLogger(__name__)

GROUP_LIMIT = 256
"""Most batches in one transaction: bounds how long the first of them waits for the last."""


@dataclass(frozen=True, kw_only=True)
class _Posted:
    """A batch on its way to the journal, and where its answer is awaited."""

    key: LaunchKey
    batch: Batch
    answer: asyncio.Future[int]


class Intake:
    """Takes batches in the event loop and commits them in a thread of its own.

    While one transaction runs the next group gathers, so that the number of commits follows the
    database's speed and not the number of trials.

    Args:
        journal: written by this thread.
        measures: counts events, batches and the time of commits.
        lost: called once, from the thread, when the lease was lost.
    """

    def __init__(
        self, journal: LiveJournal, measures: Measures, lost: Callable[[LeaseLost], None]
    ) -> None:
        self._journal = journal
        self._measures = measures
        self._lost = lost
        self._load = Load()
        self._failing = False
        self._queue: queue.SimpleQueue[_Posted | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="intake", daemon=True)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what was posted, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    async def post(self, key: LaunchKey, batch: Batch) -> Reply:
        """Store a batch for good.

        Raises:
            Fenced: the launch has no say any more.
            ModelyardError: the journal can't be written now; the trial posts again.
        """
        interval = self._load.posted(key, time.monotonic())
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put(_Posted(key=key, batch=batch, answer=answer))
        accepted = await answer
        return Reply(accepted=accepted, stop=self._journal.stop_of(key), interval_seconds=interval)

    def _write(self) -> None:
        while (group := self._gather()) is not None:
            self._commit(group)

    def _gather(self) -> list[_Posted] | None:
        """What waits now, at least one; None at the end."""
        group: list[_Posted] = []
        while len(group) < GROUP_LIMIT:
            try:
                posted = self._queue.get(block=not group)
            except queue.Empty:
                break
            if posted is None:
                if not group:
                    return None
                self._queue.put(None)  # first what came before the end
                break
            group.append(posted)
        return group

    def _commit(self, group: list[_Posted]) -> None:
        try:
            with self._measures.commit_seconds.time():
                answers = self._journal.append([(one.key, one.batch) for one in group])
        except LeaseLost as error:
            self._lost(error)
            self._answer(group, [error] * len(group))
        except ModelyardError as error:
            if not self._failing:
                LOG.warning("batches are not stored for now, and posted again: %s", error)
            self._failing = True
            self._answer(group, [error] * len(group))
        except Exception as error:
            LOG.exception("a group of %d batches was not stored", len(group))
            self._answer(group, [error] * len(group))
        else:
            if self._failing:
                LOG.info("batches are stored again")
            self._failing = False
            self._answer(group, answers)

    def _answer(self, group: list[_Posted], answers: Sequence[int | Exception]) -> None:
        for posted, answer in zip(group, answers, strict=True):
            refused = isinstance(answer, Exception)
            self._measures.batches.labels(answer="refused" if refused else "stored").inc()
            self._measures.events.inc(0 if refused else len(posted.batch.events))
        loop = group[0].answer.get_loop()
        loop.call_soon_threadsafe(_deliver, list(zip(group, answers, strict=True)))


def _deliver(answered: list[tuple[_Posted, int | Exception]]) -> None:
    for posted, answer in answered:
        if posted.answer.done():  # the poster hung up
            continue
        if isinstance(answer, Exception):
            posted.answer.set_exception(answer)
        else:
            posted.answer.set_result(answer)
