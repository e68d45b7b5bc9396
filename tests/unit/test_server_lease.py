"""Holding the journal: a server with patience waits for another one's end, one without doesn't."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelyard.errors import LeaseLost, ModelyardError
from modelyard.server.changes import Changes
from modelyard.server.ending import Ending
from modelyard.server.lease import leased
from tests.unit.serverkit import DEADLINE_SECONDS, open_journal, until


def test_who_waits_takes_the_lease_once_it_is_let_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says once whom it waits for, and holds the journal at once after the other's end."""

    async def scenario() -> None:
        changes = Changes(asyncio.get_running_loop())
        held = open_journal(tmp_path, changes)
        waiting = type(held)(held._database, lease_seconds=60, changes=changes)
        lost: list[LeaseLost] = []

        async def hold() -> int:
            async with leased(
                waiting,
                "http://127.0.0.1:2",
                lease_seconds=60,
                lost=lost.append,
                patience_seconds=DEADLINE_SECONDS,
            ) as epoch:
                return epoch

        task = asyncio.create_task(hold())
        await until(lambda: "Waiting for its end" in caplog.text)
        held.release()

        assert await task == 2
        assert caplog.text.count("Waiting for its end") == 1
        assert lost == []

    asyncio.run(scenario())


def test_without_patience_it_is_refused(tmp_path: Path) -> None:
    """Two servers of one machine: the second says at once where the first is."""

    async def scenario() -> None:
        changes = Changes(asyncio.get_running_loop())
        held = open_journal(tmp_path, changes)
        other = type(held)(held._database, lease_seconds=60, changes=changes)
        with pytest.raises(ModelyardError, match="holds the journal"):
            async with leased(other, "http://x", lease_seconds=60, lost=lambda _: None):
                raise AssertionError("held twice")
        held.close()

    asyncio.run(scenario())


def test_a_server_that_still_waits_can_be_ended() -> None:
    """Asked to end before it holds the journal, it doesn't wait on."""

    async def scenario() -> None:
        ending = Ending()
        asyncio.get_running_loop().call_soon(ending.ask, "SIGTERM was received")

        assert await ending.unless(asyncio.sleep(3600, "held")) is None
        assert await Ending().unless(asyncio.sleep(0, "held")) == "held"

    asyncio.run(scenario())
