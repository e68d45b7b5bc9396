"""Who hears of changes, and how soon."""

from __future__ import annotations

import asyncio
from pathlib import Path

from modelyard.contract import Phase
from modelyard.server.changes import Changes
from tests.unit.serverkit import add_launch, add_sweep, batch, open_journal, step


class Listener:
    """Keeps what it hears, and waits for more."""

    def __init__(self, changes: Changes) -> None:
        self.heard: list[str] = []
        self._rung = asyncio.Event()
        changes.listen(self._hear)

    def _hear(self, sweep: str) -> None:
        self.heard.append(sweep)
        self._rung.set()

    async def hears(self) -> None:
        """Until something is heard."""
        async with asyncio.timeout(60):
            await self._rung.wait()
        self._rung.clear()


def test_what_has_time_is_heard_together() -> None:
    """Listeners hear of many changes a moment later, one time, and again of what comes after."""

    async def scenario() -> None:
        changes = Changes(asyncio.get_running_loop())
        listener = Listener(changes)
        heard = []
        for _ in range(2):
            for _ in range(3):
                changes.mentioned("a")
            await listener.hears()
            heard.append(list(listener.heard))

        assert heard == [["a"], ["a", "a"]]
        assert changes.count("a") == 6

    asyncio.run(scenario())


def test_a_controller_hears_at_once_of_what_it_may_act_on(tmp_path: Path) -> None:
    """Metrics go to it at once; that a launch begins a phase, a moment later."""

    async def scenario() -> None:
        changes = Changes(asyncio.get_running_loop())
        listener = Listener(changes)
        journal = open_journal(tmp_path, changes)
        slow, quick = (add_sweep(journal, sweep=name) for name in ("slow0000", "quick000"))
        said = ((slow, batch(Phase(name="loading"))), (quick, batch(step(1))))
        journal.append([(add_launch(journal, sweep.id), one) for sweep, one in said])
        while len(listener.heard) < 2:
            await listener.hears()
        journal.close()

        assert listener.heard == [quick.id, slow.id]

    asyncio.run(scenario())
