"""The way to the server of a cluster: at its address, or through a port that the kubeconfig
forwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.client import Client
from modelyard.errors import InputError
from modelyard.settings import Settings


@contextmanager
def cluster(settings: Settings) -> Iterator[Client]:
    """A client of the cluster's server, which has answered once.

    Raises:
        InputError: neither address nor kubeconfig is there.
        ServerUnreachable: it doesn't answer.
    """
    if settings.server is None:
        raise InputError(
            "no cluster is known: set MODELYARD_SERVER to the address of its Modelyard server, "
            "and MODELYARD_API_KEY to its key"
        )
    with Client.connect(settings) as client:
        client.health()
        yield client
