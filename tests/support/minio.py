"""A MinIO of the tests' own: one process, random keys, a free port, a folder that goes with it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.ports import reserved_port

ELSEWHERE = Path("/var/lib/modelyard-cluster/bin/minio")
START_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Minio:
    """A running MinIO."""

    endpoint: str
    access_key: str
    secret_key: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What boto3 and MLflow read."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self, name: str) -> str:
        """Make a bucket; its URI."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let boto3 find it, and nothing else."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


def program() -> Path:
    """The MinIO program; the test is skipped where there is none."""
    found = shutil.which("minio") or (str(ELSEWHERE) if ELSEWHERE.is_file() else None)
    if found is None:
        pytest.skip("there is no minio on the PATH of this machine")
    return Path(found)


@contextmanager
def running(folder: Path, port: int | None = None, host: str = "127.0.0.1") -> Iterator[Minio]:
    """MinIO with its data in a folder, listening on an address of this machine, until the block
    ends."""
    binary = program()
    port = port or reserved_port(host)
    key, secret = f"test{secrets.token_hex(6)}", secrets.token_hex(16)
    minio = Minio(
        endpoint=f"http://{host}:{port}", access_key=key, secret_key=secret, folder=folder
    )
    log = folder.with_name(f"{folder.name}.log")
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "server", folder, "--address", f"{host}:{port}", "--quiet"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "MINIO_ROOT_USER": key,
                "MINIO_ROOT_PASSWORD": secret,
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
            },
            stdout=output,
            stderr=output,
        )
        try:
            _await(minio, process, log)
            yield minio
        finally:
            process.kill()
            process.wait()


def _await(minio: Minio, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{minio.endpoint}/minio/health/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)  # the port isn't open yet, and nothing tells when
    raise RuntimeError(f"MinIO didn't start: {log.read_text()[-2000:]}")
