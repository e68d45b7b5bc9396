"""The store in a bucket keeps the contract, on a real MinIO."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.store.place import place_of
from modelyard.store.s3 import S3
from modelyard.store.s3_store import S3Store
from modelyard.store.store import Store, join
from tests.contract.store_suite import StoreContract
from tests.support.minio import Minio, running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with running(tmp_path_factory.mktemp("minio") / "data") as minio:
        minio.make_bucket("contract")
        yield minio


class TestS3Store(StoreContract):
    """Runs the suite in a bucket; damage is done to the object, and no local copy hides it."""

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "copies"

    @pytest.fixture
    def store(self, minio: Minio, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
        minio.use(monkeypatch)
        self.cache_folder = cache
        return S3Store(cache)

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        return join("s3://contract", tmp_path.name)

    def damage(self, uri: str, name: str, content: bytes | None) -> None:
        place = place_of(uri) / name
        if content is None:
            S3().delete(place)
        else:
            S3().put(place, content)
        shutil.rmtree(self.cache_folder, ignore_errors=True)
