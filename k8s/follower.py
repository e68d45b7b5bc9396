"""Follow one kind of object in one namespace: list, then watch, for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from modelyard.errors import ClusterRefused, ClusterUnreachable
from modelyard.k8s.answers import Gone, Json
from modelyard.k8s.api import Kind, KubernetesApi

LOG = logging.getLogger(__name__)

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 10.0


class Sink(Protocol):
    """Who is told."""

    def listing(self) -> int:
        """A list is about to be asked for; what is returned comes back with it."""

    def listed(self, items: Sequence[Json], mark: int) -> None:
        """Everything there is: what isn't in it is gone, unless it is younger than the mark."""

    def seen(self, item: Json) -> None:
        """One object was added or changed."""

    def gone(self, item: Json) -> None:
        """One object was deleted; this is how it was last."""


async def follow(api: KubernetesApi, kind: Kind, namespace: str, selector: str, sink: Sink) -> None:
    """Tell a sink of every object and each of its changes, until cancelled.

    A watch that ends cleanly is gone on with where it was; after one that is cut, or whose
    version the API server no longer keeps, everything is listed again.

    Args:
        selector: label selector.
    """
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            mark = sink.listing()
            items, version = await api.list(kind, namespace, labelSelector=selector)
            sink.listed(items, mark)
            delay = FIRST_DELAY_SECONDS
            while True:
                version = await _watch(api, kind, namespace, version, selector, sink)
        except Gone:
            LOG.info("the watch of %s in %s is too old; listing again", kind, namespace)
        except ClusterUnreachable as error:
            LOG.warning("%s Listing again.", error)
        except ClusterRefused as error:
            LOG.error("%s in %s can't be watched: %s", kind, namespace, error)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)


async def _watch(
    api: KubernetesApi, kind: Kind, namespace: str, version: str, selector: str, sink: Sink
) -> str:
    """Pass on the events of one watch; returns the version at which it ended."""
    events = api.watch(kind, namespace, version, labelSelector=selector)
    async with aclosing(events):
        async for event in events:
            item = event["object"]
            version = item["metadata"]["resourceVersion"]
            if event["type"] in ("ADDED", "MODIFIED"):
                sink.seen(item)
            elif event["type"] == "DELETED":
                sink.gone(item)
    return version
