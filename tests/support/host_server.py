"""Our server on this machine, whose launches are Jobs of the cluster of KUBECONFIG.

It stands as in a cluster: Postgres, S3 and MLflow beside it, a key, and no more rights in one
namespace than the Role for a team's gives. Pods reach it by this machine's address.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from modelyard.client import REMOTE_PATIENCE_SECONDS, Client
from modelyard.local import services
from modelyard.settings import Paths
from tests.support import minio
from tests.support.cluster import host_address, namespace, needed
from tests.support.installation import kubectl
from tests.support.mlflow_store import mlflow_server
from tests.support.ports import reserved_port

ACCOUNT, BARE = "modelyard", "bare"
ROOT = Path(__file__).parents[2]
ROLE = ROOT / "k8s" / "install" / "team" / "role.yaml"
START_SECONDS = 120.0
PROGRAM = "tests.support.watched_server"


@dataclass(frozen=True, kw_only=True)
class HostServer:
    """A running server.

    Args:
        address: where this machine and pods reach it.
        namespace: where its launches run.
        database: SQLAlchemy URL of journal and study.
        account: under which it asks the cluster.
        kubeconfig: of that account.
        bare_token: of another account with the same rights.
        changes: file to which it writes when it was told of a launch's phase; see
            ``watched_server``.
        process: itself.
    """

    address: str
    api_key: str = field(repr=False)
    namespace: str
    database: str
    account: str = ACCOUNT
    kubeconfig: Path
    bare_token: str = field(repr=False)
    changes: Path
    process: psutil.Process

    def client(self) -> Client:
        """A client of it; the caller closes it."""
        return Client(
            self.address,
            patience_seconds=REMOTE_PATIENCE_SECONDS,
            api_key=SecretStr(self.api_key),
            remote=True,
        )

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind in its namespace, as JSON."""
        got = kubectl("-n", self.namespace, "get", kind, "-l", selector, "-o", "json")
        return list(json.loads(got)["items"])


@contextmanager
def host_server(folder: Path, database: str, **kubernetes: object) -> Iterator[HostServer]:
    """A server in a namespace of its own, until the block ends.

    Args:
        folder: for all that it keeps.
        database: SQLAlchemy URL of a Postgres.
        kubernetes: fields of ``KubernetesSettings``, to be written as JSON.
    """
    host, image = host_address(), needed("MODELYARD_TEST_IMAGE_TRIAL")
    with (
        namespace() as room,
        minio.running(folder / "minio", host=host) as store,
        mlflow_server(folder / "mlflow") as tracking,
    ):
        token, bare = _accounts(room)
        kubeconfig = _kubeconfig(folder / "kubeconfig", room, token)
        address, key = f"http://{host}:{reserved_port(host)}", secrets.token_hex(16)
        changes = folder / "changes"
        wanted = {"namespace": room, "image": image, **kubernetes}
        environment = {
            **{name: value for name, value in os.environ.items() if "MODELYARD" not in name},
            **store.environment,
            "PYTHONPATH": str(ROOT),
            **{f"MODELYARD_KUBERNETES_{name.upper()}": _text(v) for name, v in wanted.items()},
            "KUBECONFIG": str(kubeconfig),
            "MODELYARD_HOME": str(folder / "home"),
            "MODELYARD_HOST": host,
            "MODELYARD_ADDRESS": address,
            "MODELYARD_API_KEY": key,
            "MODELYARD_EXECUTOR": "kubernetes",
            "MODELYARD_DATABASE": database,
            "MODELYARD_STORE": f"{store.make_bucket('modelyard')}/test",
            "MODELYARD_TRACKING": tracking,
            "MODELYARD_TEST_CHANGES": str(changes),
        }
        paths = Paths(folder / "home")
        service = services.start(
            "server",
            [sys.executable, "-m", PROGRAM, "--port", address.rpartition(":")[2]],
            env=environment,
            address=address,
            run=None,
            paths=paths,
        )
        try:
            services.wait_ready(f"{address}/readyz", START_SECONDS, service=service)
            yield HostServer(
                address=address,
                api_key=key,
                namespace=room,
                database=database,
                kubeconfig=kubeconfig,
                bare_token=bare,
                changes=changes,
                process=psutil.Process(service.process),
            )
        finally:
            services.stop_all(paths, grace_seconds=5)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _accounts(room: str) -> list[str]:
    """The tokens of two service accounts that may do in the namespace what our server may."""
    role, _ = ROLE.read_text().split("\n---\n")
    kubectl("-n", room, "create", "-f", "-", text=role)
    for name in (ACCOUNT, BARE):
        kubectl("-n", room, "create", "serviceaccount", name)
        whom = f"--serviceaccount={room}:{name}"
        kubectl("-n", room, "create", "rolebinding", name, f"--role={ACCOUNT}", whom)
    made = ("create", "token", "--duration=2h")
    return [kubectl("-n", room, *made, name).strip() for name in (ACCOUNT, BARE)]


def _kubeconfig(file: Path, room: str, token: str) -> Path:
    """The tests' own configuration, with another user."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"] = [{"name": ACCOUNT, "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": ACCOUNT, "namespace": room}
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file
