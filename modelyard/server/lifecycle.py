"""The server from its start to its end: lease, parts, address, and an orderly way out."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from threading import Thread
from typing import Any

from modelyard.errors import InputError, ModelyardError
from modelyard.journal.database import Database
from modelyard.journal.migrate import migrate
from modelyard.journal.postgres import STATEMENT_SECONDS
from modelyard.local import services
from modelyard.server import auth, service_file
from modelyard.server.app import create_app
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.flowwatch import FlowWatch
from modelyard.server.health import look_at_store
from modelyard.server.lease import leased
from modelyard.server.live import LiveJournal
from modelyard.server.parts import build
from modelyard.server.retiring import Retirement
from modelyard.server.settling import settle
from modelyard.server.web import Web, listen, local_address
from modelyard.settings import Settings
from modelyard.sweep.patience import patiently

LOG = logging.getLogger(__name__)

LEASES_WAITED = 3
"""A server on Postgres waits for so many leases: another one may just be ending elsewhere, or have
stopped in the middle of a write, which Postgres ends after a while. On SQLite it shares its machine
with the other, and says so at once."""

LAST_WORDS_SECONDS = 0.5
"""How long the recorder may go on at the end; the next server writes what is left."""


async def serve(settings: Settings, *, port: int | None, run: str | None) -> None:
    """Be the server of a home until told to end by a signal, a client or its run's end.

    Args:
        settings: of the installation.
        port: to listen on; None takes the next free from 4300.
        run: the run that this server lives and dies with.

    Raises:
        InputError: the home can't be written, the port is taken, the bucket of the artifacts can't
            be used, or the settings don't go together.
        LeaseLost: another server took the journal over.
        ModelyardError: another server holds the home, or a store can't be opened.
    """
    auth.key_of(settings)
    services.prepare_home(settings.paths)
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.ask, f"{number.name} was received")
    with listen(port, settings.host) as listener:
        address = local_address(listener)
        async with AsyncExitStack() as stack:
            core = await ending.unless(_hold(stack, settings, address, run, ending))
            if core is None:
                return
            web = Web(create_app(core), listener)
            await web.start()
            stack.push_async_callback(web.stop)
            stack.callback(core.changes.close)
            await _work(stack, core)
            service_file.write(settings.paths, address=address, run=core.run)
            stack.callback(service_file.remove, settings.paths)
            LOG.info("ready at %s", address)
            await ending.wait()
    if ending.error is not None:
        raise ending.error
    LOG.info("ended")


async def _hold(
    stack: AsyncExitStack, settings: Settings, address: str, run: str | None, ending: Ending
) -> Core:
    """Migrate, take the lease, and build the parts around the journal."""
    await _look_at_store(settings)
    paths = settings.paths
    started_for = service_file.own(paths)
    changes = Changes(asyncio.get_running_loop())
    url = settings.journal_url
    if settings.database is None:
        await asyncio.to_thread(migrate, url)
    else:
        await patiently(migrate, url)  # it may be starting just as we are
    journal = LiveJournal(Database(url), lease_seconds=settings.lease_seconds, changes=changes)
    epoch = await stack.enter_async_context(
        leased(
            journal,
            settings.address or address,
            lease_seconds=settings.lease_seconds,
            lost=ending.fail,
            patience_seconds=_patience_seconds(settings),
        )
    )
    return build(
        settings,
        journal=journal,
        changes=changes,
        epoch=epoch,
        address=address,
        run=run or (started_for.run if started_for is not None else None),
        ending=ending,
    )


def _patience_seconds(settings: Settings) -> float:
    if settings.database is None:
        return 0.0
    return LEASES_WAITED * max(settings.lease_seconds, STATEMENT_SECONDS)


async def _look_at_store(settings: Settings) -> None:
    """What can't be right is an error now, and not in the middle of a sweep."""
    try:
        await asyncio.to_thread(look_at_store, settings)
    except InputError:
        raise
    except ModelyardError as error:  # it may be starting just as we are
        LOG.error("%s Until it is, nothing can be run; /readyz tells.", error)


async def _work(stack: AsyncExitStack, core: Core) -> None:
    """Start what works behind the routes; the stack ends it in the reverse order.

    Trials are stopped while the intake still takes their last words.
    """
    core.intake.start()
    stack.callback(core.intake.stop)
    stack.callback(core.stream.close)
    stack.callback(core.artifacts.close)
    # Imports MLflow in its thread, now that the port answers. It looks by itself every two
    # seconds; woken by each event it would take the interpreter from those who wait for them.
    core.recorder.start()
    stack.push_async_callback(asyncio.to_thread, core.recorder.stop, LAST_WORDS_SECONDS)
    stack.push_async_callback(core.prefect.close)
    flows = FlowWatch(core.journal, core.supervisor, core.prefect)
    retirement = Retirement(core.journal, core.stages)
    core.stages.start()
    Thread(
        target=settle, args=(core.stages.load, core.recorder.load), name="settle", daemon=True
    ).start()
    stack.push_async_callback(core.stages.close)
    stack.push_async_callback(core.supervisor.close)
    await core.supervisor.resume()
    for watch in (core.owners.watch(), flows.watch(), core.submitter.watch(), retirement.watch()):
        await stack.enter_async_context(_running(watch, core.shutdown))


@asynccontextmanager
async def _running(
    work: Coroutine[Any, Any, None], shutdown: Callable[[str], None]
) -> AsyncIterator[None]:
    """Do something beside the block, for as long as it runs.

    Its death is the server's: a server that no longer looks after owners would keep their trials
    for ever, and the next run starts another one.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: _mourn(done, shutdown))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _mourn(watch: asyncio.Task[None], shutdown: Callable[[str], None]) -> None:
    if not watch.cancelled() and (error := watch.exception()) is not None:
        shutdown(f"{watch.get_coro()} died of {error!r}")
