"""The parts of a server, built around its journal as the settings say."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from modelyard.errors import InputError
from modelyard.executor import Executor
from modelyard.local.executor import LocalExecutor
from modelyard.registry.recorder import Recorder
from modelyard.registry.tracking import Tracking
from modelyard.server.artifacts import Artifacts
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.health import Checks
from modelyard.server.intake import Intake
from modelyard.server.library import Library
from modelyard.server.live import LiveJournal
from modelyard.server.measures import Measures
from modelyard.server.owners import OwnerWatch
from modelyard.server.prefect_rest import Prefect
from modelyard.server.stages import Stages
from modelyard.server.stream import Stream
from modelyard.server.submit import Submitter
from modelyard.server.supervisor import Supervisor
from modelyard.server.tokens import Tokens
from modelyard.settings import Paths, Settings
from modelyard.store.store import store_for

PREFECT_SECONDS = 5.0
"""Longest that Prefect may take for one answer."""


def build(
    settings: Settings,
    *,
    journal: LiveJournal,
    changes: Changes,
    epoch: int,
    address: str,
    run: str | None,
    ending: Ending,
) -> Core:
    """All parts of a server, none of them started.

    Args:
        settings: embedded or of a cluster.
        journal: whose lease this server holds.
        changes: what the journal rings; the stages listen from here on.
        epoch: of the lease.
        address: base URL at which this server listens.
        run: the ``modelyard run`` that started it, None for one that stays.
        ending: how a part ends the server.

    Raises:
        InputError: the settings name no executor that could work.
    """
    paths = settings.paths
    tracking = Tracking(settings.tracking_uri, settings.tracking_artifacts)
    library = Library(tracking, paths, serves=settings.executor == "local")
    measures, tokens = Measures(), Tokens(journal)
    store = store_for(settings.store_base, cache=paths.cache)
    stages = _stages(settings, journal, library, tokens, address)
    supervisor, prefect = Supervisor(journal, stages), _prefect(paths)
    changes.listen(stages.wake)
    return Core(
        settings=settings,
        run=run,
        epoch=epoch,
        journal=journal,
        changes=changes,
        measures=measures,
        tokens=tokens,
        intake=Intake(journal, measures, lost=ending.fail),
        stream=Stream(journal, changes),
        recorder=Recorder(journal, tracking),
        library=library,
        stages=stages,
        supervisor=supervisor,
        store=store,
        artifacts=Artifacts(store, settings.store_base, journal),
        owners=OwnerWatch(
            journal,
            supervisor,
            paths=paths,
            seconds=settings.owner_seconds,
            run=run,
            shutdown=ending.ask,
        ),
        prefect=prefect,
        submitter=Submitter(journal, prefect),
        health=Checks(journal=journal, stages=stages, settings=settings, epoch=epoch).look,
        shutdown=ending.ask,
        hosts=_names(settings),
    )


def _stages(
    settings: Settings, journal: LiveJournal, library: Library, tokens: Tokens, address: str
) -> Stages:
    return Stages(
        journal=journal,
        executor=_executor(settings, tokens),
        library=library,
        settings=settings,
        address=settings.address or address,
    )


def _prefect(paths: Paths) -> Prefect:
    http = httpx.AsyncClient(trust_env=False, timeout=PREFECT_SECONDS)
    return Prefect(paths.service("prefect"), http)


def _executor(settings: Settings, tokens: Tokens) -> Executor:
    if settings.executor == "local":
        return LocalExecutor(paths=settings.paths)
    if settings.address is None:
        raise InputError("set MODELYARD_ADDRESS: the pods of trials must know how to reach us")
    # Late: an installation of one machine need not have the client.
    from modelyard.k8s.executor import KubernetesExecutor
    from modelyard.k8s.settings import KubernetesSettings

    return KubernetesExecutor(KubernetesSettings(), tokens=tokens)


def _names(settings: Settings) -> frozenset[str]:
    """Names by which the server is called, as a Host header holds them."""
    given = {"127.0.0.1", "localhost", "[::1]", settings.host, *settings.hosts}
    if settings.address is not None:
        given.add(urlsplit(settings.address).hostname or "")
    bare = (name.lower() for name in given if name)
    return frozenset(
        f"[{name}]" if name.count(":") > 1 and name[0] != "[" else name for name in bare
    )
