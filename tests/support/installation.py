"""One installation of Modelyard on the cluster of KUBECONFIG, made from the plain manifests.

An installation that is there already is brought up to date and stays; one that the tests made is
deleted with its namespace.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from modelyard.client import REMOTE_PATIENCE_SECONDS, Client
from modelyard.k8s.forward import forward
from tests.support.cluster import needed

NAMESPACE = "modelyard"
OVERLAY = Path(__file__).parents[2] / "k8s" / "install" / "minio"
READY_SECONDS = 600
PORTS = {"modelyard": 4300, "mlflow": 5000, "prefect": 4200, "minio": 9000}
SECRETS = {
    "modelyard-api-key": ("api-key",),
    "modelyard-postgres": ("password",),
    "modelyard-s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Where the servers of the installation are reached from here, and with what.

    Args:
        address: of our server; survives its restarts, as do the others.
        api_key: opens our server, and Prefect's (user and password in one).
        tracking: address of MLflow.
        prefect: address of Prefect's server, without ``/api``.
        s3: endpoint of the bucket ``modelyard``.
        s3_keys: its access key and secret.
        overlay: folder that ``kubectl apply -k`` installs.
    """

    address: str
    api_key: str
    tracking: str
    prefect: str
    s3: str
    s3_keys: tuple[str, str]
    overlay: Path
    namespace: str = NAMESPACE

    def client(self) -> Client:
        """A client of our server; the caller closes it."""
        return Client(
            self.address,
            patience_seconds=REMOTE_PATIENCE_SECONDS,
            api_key=SecretStr(self.api_key),
            remote=True,
        )

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 120) -> str:
        """What kubectl prints, asked in the installation's namespace."""
        return kubectl("-n", self.namespace, *arguments, text=text, seconds=seconds)

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, as JSON."""
        found = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))
        return list(found["items"])

    def sql(self, query: str, database: str = NAMESPACE) -> str:
        """What the installation's Postgres answers, a line a row, columns split by ``|``."""
        run = ("psql", "-U", "modelyard", "-d", database, "-v", "ON_ERROR_STOP=1", "-Atc", query)
        return self.kubectl("exec", "postgres-0", "--", *run).strip()

    def wait_ready(self) -> None:
        """Until every server is ready; the test fails with what isn't."""
        wait_ready()


def kubectl(*arguments: str, text: str | None = None, seconds: float = 120) -> str:
    """What kubectl prints; an error holds what it complained of."""
    done = subprocess.run(
        ["kubectl", *arguments], input=text, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The one installation of this session, ready."""
    needed("KUBECONFIG")
    overlay = write_overlay(tmp_path_factory.mktemp("install"))
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    there = bool(kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"))
    try:
        yield from _installed(overlay, again=there)
    finally:
        if not there:
            kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def write_overlay(folder: Path) -> Path:
    """A kustomization as a user writes one: the overlay with MinIO, and where images come from."""
    images = {
        "modelyard-flow": needed("MODELYARD_TEST_IMAGE_FLOW"),
        "modelyard-trial": needed("MODELYARD_TEST_IMAGE_TRIAL"),
        "minio": needed("MODELYARD_TEST_IMAGE_MINIO"),
        "postgres": os.environ.get("MODELYARD_TEST_IMAGE_POSTGRES", "postgres:17"),
    }
    document = {
        "resources": [os.path.relpath(OVERLAY, folder.resolve())],
        "images": [
            dict(zip(("name", "newName", "newTag"), (name, *_split(image)), strict=True))
            for name, image in images.items()
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return folder


def make_secrets(namespace: str = NAMESPACE) -> None:
    """The Secrets that whoever installs makes, unless they are there."""
    for name, keys in SECRETS.items():
        if not kubectl("-n", namespace, "get", "secret", name, "--ignore-not-found"):
            values = [f"--from-literal={key}={secrets.token_hex(20)}" for key in keys]
            kubectl("-n", namespace, "create", "secret", "generic", name, *values)


def _installed(overlay: Path, *, again: bool) -> Iterator[Installation]:
    if not again:
        kubectl("create", "namespace", NAMESPACE)
    make_secrets()
    kubectl("apply", "-k", str(overlay))
    if again:  # an image of the same name may be a newer one
        kubectl("-n", NAMESPACE, "rollout", "restart", "deployment")
    wait_ready()
    with ExitStack() as ways:
        reached = {
            name: f"http://{ways.enter_context(forward(NAMESPACE, name, port))}"
            for name, port in PORTS.items()
        }
        access, secret = (_value("modelyard-s3", key) for key in SECRETS["modelyard-s3"])
        yield Installation(
            address=reached["modelyard"],
            api_key=_value("modelyard-api-key", "api-key"),
            tracking=reached["mlflow"],
            prefect=reached["prefect"],
            s3=reached["minio"],
            s3_keys=(access, secret),
            overlay=overlay,
        )


def wait_ready() -> None:
    """Until every server of the installation is ready; an error holds what isn't."""
    for kind in ("statefulset", "deployment"):
        for name in kubectl("-n", NAMESPACE, "get", kind, "-o", "name").split():
            _rolled_out(name)


def _rolled_out(name: str) -> None:
    waited = f"--timeout={READY_SECONDS}s"
    try:
        kubectl("-n", NAMESPACE, "rollout", "status", name, waited, seconds=READY_SECONDS + 30)
    except AssertionError as error:
        pods = kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide")
        warnings = kubectl("-n", NAMESPACE, "get", "events", "--field-selector=type=Warning")
        raise AssertionError(f"{error}\n{pods}\n{warnings}") from None


def _value(secret: str, key: str) -> str:
    document = json.loads(kubectl("-n", NAMESPACE, "get", "secret", secret, "-o", "json"))
    return base64.b64decode(document["data"][key]).decode()


def _split(image: str) -> tuple[str, str]:
    """Name and tag; a port of the registry is no tag."""
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")
