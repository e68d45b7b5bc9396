"""A real cluster for tests: the one of KUBECONFIG, in namespaces of the tests' own.

Launches reach this machine by ``MODELYARD_TEST_HOST``, or by the address of the cluster's node
where that node is this machine.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from modelyard.k8s.executor import KubernetesExecutor
from modelyard.k8s.settings import KubernetesSettings
from tests.contract.executor_suite import Bench
from tests.support.intake import running_intake

GONE_SECONDS = 120


class Tokens:
    """Issues tokens, and remembers them by sweep."""

    def __init__(self) -> None:
        self.issued: dict[str, str] = {}

    async def issue(self, sweep: str) -> str:
        """See ``TokenIssuer.issue``."""
        self.issued[sweep] = secrets.token_urlsafe(16)
        return self.issued[sweep]


def needed(variable: str) -> str:
    """A variable that names a part of the test bed; the test is skipped without."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    return value


def core() -> client.CoreV1Api:
    """The cluster's core API, for what a test does with its own hands."""
    needed("KUBECONFIG")
    config.load_kube_config()
    return client.CoreV1Api()


def host_address() -> str:
    """The address by which pods reach this machine; the test is skipped where there is none."""
    if host := os.environ.get("MODELYARD_TEST_HOST"):
        return host
    for node in core().list_node().items:
        for address in node.status.addresses or []:
            if address.type == "InternalIP" and _is_ours(address.address):
                return str(address.address)
    pytest.skip("MODELYARD_TEST_HOST is not set, and no node of the cluster is this machine")


@contextmanager
def namespace(stem: str = "modelyard-test") -> Iterator[str]:
    """A namespace that nobody else has, deleted at the end with all that is in it."""
    api, name = core(), f"{stem}-{secrets.token_hex(3)}"
    api.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    try:
        yield name
    finally:
        api.delete_namespace(name)


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder of this machine that pods on its node may write to when they mount it."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-", dir="/var/tmp"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mounted(folder: Path) -> dict[str, Any]:
    """The volume that shows a folder of this machine to a pod, under the same path."""
    return {"name": "store", "mount_path": str(folder), "hostPath": {"path": str(folder)}}


@contextmanager
def cluster_bench(namespace: str, **settings: Any) -> Iterator[Bench]:
    """A Kubernetes executor with its loop, an intake that pods reach, and a store they share."""
    image, host = needed("MODELYARD_TEST_IMAGE_TRIAL"), host_address()
    with running_intake(host) as intake, shared_folder() as folder, asyncio.Runner() as runner:
        wanted = KubernetesSettings(
            namespace=namespace, image=image, volumes=(mounted(folder),), **settings
        )
        executor = KubernetesExecutor(wanted, tokens=Tokens())
        yield Bench(runner=runner, executor=executor, intake=intake, store=folder.as_uri())
        runner.run(executor.close())


def _is_ours(address: str) -> bool:
    """Whether one can listen there."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
