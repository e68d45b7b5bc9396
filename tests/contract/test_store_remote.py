"""The store of a trial without keys keeps the contract: our server's real routes, a real MinIO."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelyard.contract import LaunchKey
from modelyard.errors import ModelyardError
from modelyard.settings import Settings
from modelyard.store.place import place_of
from modelyard.store.s3 import S3
from modelyard.store.s3_store import S3Store
from modelyard.store.store import Store, join
from modelyard.trial.intake import Intake
from modelyard.trial.remote_store import RemoteStore
from tests.contract.store_suite import StoreContract, files
from tests.support.artifact_server import Served, served
from tests.support.minio import Minio, running
from tests.unit.serverkit import add_launch, add_sweep

pytestmark = pytest.mark.integration

BASE = "s3://remote/base"
TASKS = itertools.count()


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    with running(tmp_path_factory.mktemp("minio") / "data") as minio:
        minio.make_bucket("remote")
        yield minio


@pytest.fixture(scope="module")
def server(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        minio.use(patch)
        home = tmp_path_factory.mktemp("home")
        with served(Settings(home=home, store=BASE)) as server:
            add_sweep(server.core.journal)
            yield server


class TestRemoteStore(StoreContract):
    """Runs the suite in the folder of one launch."""

    @pytest.fixture
    def key(self, server: Served) -> LaunchKey:
        return add_launch(server.core.journal, "aaaaaaaa", task=str(next(TASKS)))

    @pytest.fixture
    def store(self, server: Served, key: LaunchKey, tmp_path: Path) -> Iterator[Store]:
        self.copies = tmp_path / "copies"
        with Intake(server.address, token=None) as intake:
            store = RemoteStore(
                intake=intake,
                key=key,
                base=BASE,
                cache=tmp_path / "shared",
                scratch=self.copies,
                patience_seconds=120.0,
            )
            yield store
            store.close()

    @pytest.fixture
    def base(self, key: LaunchKey) -> str:
        return join(BASE, "sweeps", key.sweep, key.task, str(key.number))

    def damage(self, uri: str, name: str, content: bytes | None) -> None:
        place = place_of(uri) / name
        if content is None:
            S3().delete(place)
        else:
            S3().put(place, content)
        shutil.rmtree(self.copies, ignore_errors=True)

    def test_a_cache_that_cannot_be_written_names_its_setting(
        self, server: Served, key: LaunchKey, tmp_path: Path
    ) -> None:
        """Who reads of a folder in a pod learns which setting it comes from."""
        rows = join(BASE, "data", "rows")
        S3Store(tmp_path / "copies").commit(files(tmp_path / "new", a=b"one"), rows)
        with (
            Intake(server.address, token=None) as intake,
            closing(
                RemoteStore(
                    intake=intake,
                    key=key,
                    base=BASE,
                    cache=tmp_path / "new" / "a",
                    scratch=tmp_path / "scratch",
                )
            ) as store,
            pytest.raises(ModelyardError, match="MODELYARD_KUBERNETES_CACHE_VOLUME"),
        ):
            store.fetch(rows)
