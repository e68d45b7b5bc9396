"""The way to the server of a cluster: at its address, or through a port that the kubeconfig
forwards."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import yaml
from pydantic import SecretStr

from modelyard.client import REMOTE_PATIENCE_SECONDS, Client
from modelyard.errors import ClusterRefused, ClusterUnreachable, InputError, ServerUnreachable
from modelyard.settings import Settings

SERVICE, PORT = "modelyard", 4300
"""Of the server, in the namespace of the installation."""

SECRET, KEY = "modelyard-api-key", "api-key"
"""Where the installation keeps its API key."""

SECRET_SECONDS = 10.0
"""How long the cluster's API is asked for it."""


@contextmanager
def cluster(settings: Settings) -> Iterator[Client]:
    """A client of the cluster's server, which has answered once.

    Raises:
        InputError: neither address nor kubeconfig is there, or it leads nowhere.
        ServerUnreachable: it doesn't answer.
    """
    if settings.server is not None:
        with Client.connect(settings) as client:
            client.health()
            yield client
        return
    with _forwarded() as (address, namespace):
        key = settings.api_key or _key_of(namespace)
        with Client(
            address, patience_seconds=REMOTE_PATIENCE_SECONDS, api_key=key, remote=True
        ) as client:
            client.health()
            yield client


@contextmanager
def _forwarded() -> Iterator[tuple[str, str]]:
    """An address on this machine that leads to the server, and the server's namespace."""
    from modelyard.k8s.forward import forward
    from modelyard.k8s.settings import KubernetesSettings

    # It says at each connection that no pod is ready; whoever waits for one has said so before.
    logging.getLogger("modelyard.k8s").addHandler(logging.NullHandler())
    found = KubernetesSettings()
    way = forward(found.namespace, SERVICE, PORT, context=found.context)
    try:
        address = way.__enter__()
    except (InputError, yaml.YAMLError) as error:
        raise InputError(
            "no cluster is known: set MODELYARD_SERVER to the address of its Modelyard server and "
            f"MODELYARD_API_KEY to its key, or KUBECONFIG to a kubeconfig ({error})"
        ) from error
    except ClusterUnreachable as error:
        raise ServerUnreachable(f"the cluster of the kubeconfig doesn't answer: {error}") from error
    except ClusterRefused as error:
        raise InputError(
            f"the cluster of the kubeconfig has no Modelyard server for you: {error}; "
            "MODELYARD_KUBERNETES_NAMESPACE names its namespace"
        ) from error
    try:
        yield f"http://{address}", found.namespace
    finally:
        way.__exit__(None, None, None)


def _key_of(namespace: str) -> SecretStr | None:
    """The API key from its Secret, with the kubeconfig's rights; None where they don't suffice."""
    try:
        return asyncio.run(_read_key(namespace))
    except (ClusterRefused, ClusterUnreachable):
        return None  # the server's own refusal then says where a key comes from


async def _read_key(namespace: str) -> SecretStr | None:
    from modelyard.k8s.api import KubernetesApi
    from modelyard.k8s.settings import KubernetesSettings

    context = KubernetesSettings().context
    api = await KubernetesApi.connect(context, patience_seconds=SECRET_SECONDS)
    try:
        found = await api.get("secrets", namespace, SECRET)
    finally:
        await api.close()
    value = ((found or {}).get("data") or {}).get(KEY)
    return None if value is None else SecretStr(base64.b64decode(value).decode())
