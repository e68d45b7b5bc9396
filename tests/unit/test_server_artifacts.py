"""Who may read and write which artifacts, and files that users upload into a folder store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard.client import Client
from modelyard.contract import LaunchKey, PinnedVersion, Stage, TrialSpec
from modelyard.errors import InputError, ServerRefused
from modelyard.journal.rows import LaunchRow
from modelyard.server.artifacts import Artifacts, StoreMisconfigured, may_read, may_write
from modelyard.settings import Settings
from modelyard.store.folder import FolderStore
from modelyard.store.manifest import digest_file
from modelyard.store.store import join
from tests.support.artifact_server import Served, served

BASE = "s3://bucket/base"
OWN = f"{BASE}/sweeps/aaaaaaaa/3/2"


def launch(stage: Stage = Stage.TRIAL, **inputs: str) -> LaunchRow:
    """Launch 2 of task 3."""
    key = LaunchKey(sweep="aaaaaaaa", task="3", number=2)
    spec = TrialSpec(key=key, stage=stage, document="0" * 64, inputs=inputs)
    return LaunchRow(key=key, spec=spec, created_at=0.0)


@pytest.mark.parametrize("uri", [f"{OWN}/model", f"{OWN}/checkpoints/000001"])
def test_a_launch_writes_below_its_own_folder(uri: str) -> None:
    """Model and checkpoints lie there."""
    assert may_write(uri, launch(), BASE)


@pytest.mark.parametrize(
    "uri",
    [
        OWN,
        f"{BASE}/sweeps/aaaaaaaa/3/1/model",
        f"{BASE}/sweeps/aaaaaaaa/3/22/model",
        f"{BASE}/sweeps/bbbbbbbb/3/2/model",
        f"{OWN}/../1/model",
        f"{OWN}/%2e%2e/1/model",
        f"{OWN}//model",
        f"{BASE}/data/d1",
        f"{BASE}/uploads/d1",
        f"{BASE}/mlflow/x",
        "s3://other/base/sweeps/aaaaaaaa/3/2/model",
    ],
)
def test_a_trial_writes_nowhere_else(uri: str) -> None:
    """Neither other launches' folders nor what is shared, however the URI is spelt."""
    assert not may_write(uri, launch(), BASE)


def test_a_prepare_launch_writes_snapshots() -> None:
    """One snapshot by its digest, and not all of them at once."""
    prepare = launch(Stage.PREPARE)
    assert may_write(f"{BASE}/data/d1", prepare, BASE)
    assert not may_write(f"{BASE}/data", prepare, BASE)
    assert not may_write(f"{BASE}/data/d1/x", prepare, BASE)
    assert not may_write(f"{BASE}/uploads/d1", prepare, BASE)


def test_what_a_launch_reads() -> None:
    """Its sweep's folders, what its spec names, and what is asked for by digest."""
    champion = f"{BASE}/mlflow/p/models/m-1/artifacts/data/model"
    given = launch(champion=champion)
    readable = (
        champion,
        f"{BASE}/sweeps/aaaaaaaa/7/1/model",
        f"{BASE}/data/d",
        f"{BASE}/uploads/d",
    )
    assert [uri for uri in readable if not may_read(uri, given, BASE)] == []
    hidden = (
        f"{BASE}/mlflow/p/models/m-2/artifacts/data/model",
        f"{BASE}/sweeps/bbbbbbbb/7/1/model",
        f"{BASE}/data",
        f"{BASE}/data/d/../../sweeps/bbbbbbbb/7/1/model",
        f"{champion}-2",
    )
    assert [uri for uri in hidden if may_read(uri, given, BASE)] == []


def test_a_launch_reads_the_version_that_its_sweep_starts_from() -> None:
    """That one alone, though its files belong to the registry."""
    folder = f"{BASE}/mlflow/p/models"
    version = PinnedVersion(
        version="models:/a/1", uri=f"{folder}/m-1/artifacts/data/model", digest="d"
    )
    assert not may_read(version.uri, launch(), BASE)
    assert may_read(version.uri, launch(), BASE, version)
    assert not may_read(f"{folder}/m-2/artifacts/data/model", launch(), BASE, version)
    assert not may_write(f"{version.uri}/x", launch(), BASE)


def test_a_misconfigured_bucket_is_no_missing_artifact() -> None:
    """What is wrong with the server's own settings doesn't look like 'nothing is there'."""

    def call() -> None:
        raise InputError("there is no bucket b")

    artifacts = Artifacts(FolderStore(), "file:///x", journal=None)  # type: ignore[arg-type]
    with pytest.raises(StoreMisconfigured, match="there is no bucket b"):
        asyncio.run(artifacts.within(call))
    artifacts.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with served(Settings(home=home, upload_limit_bytes=3_000_000)) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a table.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 500_000)
    return path


def test_an_upload_is_kept_under_its_digest(server: Served, file: Path) -> None:
    """It is one committed file, the same after a second time under another name."""
    with Client(server.address) as client:
        digest = client.upload(file, file.name)
        assert digest == digest_file(file)
        assert client.upload(file, "other.csv") == digest
    with httpx.Client(base_url=server.address, trust_env=False) as http:
        again = http.put(f"/v1/uploads/{digest}/other.csv", content=file.read_bytes())
        assert again.status_code == 204
    kept = FolderStore().fetch(join(server.core.settings.store_base, "uploads", digest))
    assert (kept / file.name).read_bytes() == file.read_bytes()
    assert list(server.core.settings.paths.uploads.iterdir()) == []


def test_an_upload_that_arrives_otherwise_is_refused(server: Served) -> None:
    """The body must be what the digest says, and nothing of it stays."""
    with httpx.Client(base_url=server.address, trust_env=False) as http:
        answer = http.put(f"/v1/uploads/{'0' * 64}/a.csv", content=b"a,b\n")
        assert answer.status_code == 422
        assert "as announced" in answer.json()["error"]
        assert http.head(f"/v1/uploads/{'0' * 64}/a.csv").status_code == 404
        for path in ("short/a.csv", f"{'0' * 64}/manifest.json", f"{'0' * 64}/.hidden"):
            assert http.put(f"/v1/uploads/{path}", content=b"x").status_code == 422


def test_a_file_that_is_too_large_is_refused(server: Served, tmp_path: Path) -> None:
    """Said by its length at once, and without one as soon as it is known."""
    path = tmp_path / "large.csv"
    path.write_bytes(b"x" * 3_000_001)
    with Client(server.address) as client:
        with pytest.raises(ServerRefused, match="MODELYARD_UPLOAD_LIMIT_BYTES") as refused:
            client.upload(path, path.name)
        assert refused.value.status == 413
    with httpx.Client(base_url=server.address, trust_env=False) as http:
        chunks = (b"x" * 1_000_000 for _ in range(4))
        answer = http.put(f"/v1/uploads/{digest_file(path)}/large.csv", content=chunks)
        assert answer.status_code == 413


def test_a_folder_needs_no_urls(server: Served) -> None:
    """Where artifacts lie in a folder, a launch that asks for URLs is told so."""
    with httpx.Client(base_url=server.address, trust_env=False) as http:
        path = "/v1/launches/aaaaaaaa/0/1/artifacts/read"
        answer = http.post(path, json={"uri": "file:///x"})
    assert answer.status_code == 400
    assert "which launches reach themselves" in answer.json()["error"]
