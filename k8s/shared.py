"""What the launches of a sweep share on a cluster: the Secret with its token, and the Service."""

from __future__ import annotations

import asyncio

from modelyard.errors import ClusterRefused
from modelyard.executor import TokenIssuer
from modelyard.k8s.api import Kind, KubernetesApi
from modelyard.k8s.client import models
from modelyard.k8s.entry import Entry
from modelyard.k8s.labels import shared_name
from modelyard.k8s.manifests import secret_of, service_of

TAKEN = 409
"""There is an object of this name."""


class Shared:
    """Makes what a sweep's launches share, once for each namespace, and deletes it in the end.

    Belongs to one event loop.

    Args:
        tokens: makes the token that the launches of a sweep share.
    """

    def __init__(self, tokens: TokenIssuer) -> None:
        self._tokens = tokens
        self._issuing = asyncio.Lock()
        self._issued: set[tuple[str, str]] = set()

    async def provide(self, api: KubernetesApi, entry: Entry) -> None:
        """See to it that a launch's pods find their token, and its nodes each other.

        Raises:
            ClusterRefused, ClusterUnreachable: something can't be created.
        """
        await self._have_secret(api, entry.key.sweep, entry.namespace)
        spec = None if entry.manifest is None else entry.manifest.spec
        if spec is not None and spec.completion_mode is not None:
            await _created(api, "services", service_of(entry.key.sweep, entry.namespace))

    async def retire(self, api: KubernetesApi, sweep: str, namespaces: tuple[str, ...]) -> None:
        """Delete what the launches of an ended sweep shared. Raises as ``provide``."""
        # A sweep that goes on meanwhile waits, and then makes a Secret of its own.
        async with self._issuing:
            for namespace in namespaces:
                self._issued.discard((sweep, namespace))
                await api.delete("secrets", namespace, shared_name(sweep))
                await api.delete("services", namespace, shared_name(sweep))

    async def _have_secret(self, api: KubernetesApi, sweep: str, namespace: str) -> None:
        if (sweep, namespace) in self._issued:
            return
        name = shared_name(sweep)
        async with self._issuing:
            if (sweep, namespace) in self._issued:
                return
            if await api.get("secrets", namespace, name) is None:
                secret = secret_of(sweep, namespace, await self._tokens.issue(sweep))
                if not await _created(api, "secrets", secret):
                    # One that came meanwhile holds a token that is void by now.
                    await api.delete("secrets", namespace, name)
                    await api.create("secrets", secret)
            self._issued.add((sweep, namespace))


async def _created(
    api: KubernetesApi, kind: Kind, manifest: models.V1Secret | models.V1Service
) -> bool:
    """Create an object; False where there is one of its name."""
    try:
        await api.create(kind, manifest)
    except ClusterRefused as error:
        if error.status != TAKEN:
            raise
        return False
    return True
