"""The registry with its artifacts in a bucket: a real MinIO, MLflow's own store in SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import DigestMismatch
from modelyard.models.packed import load
from modelyard.registry import versions
from modelyard.registry.register import register
from modelyard.registry.tracking import Tracking
from modelyard.store.place import place_of
from modelyard.store.s3 import S3
from modelyard.store.store import store_for
from tests.integration.test_registry import candidate
from tests.support.minio import running
from tests.support.mlflow_store import shared_tracking
from tests.support.packed import table_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    # MLflow's own modules use what pandas and SQLAlchemy deprecate.
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

ROOT = "s3://registry/team/mlflow"


def test_a_version_is_registered_and_loaded_from_a_bucket(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files lie below the artifact root, are verified on the way back, and predict."""
    shared = shared_tracking(tmp_path_factory)
    packed = table_model(tmp_path_factory.mktemp("table"))
    with running(tmp_path / "minio") as minio:
        minio.use(monkeypatch)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", minio.endpoint)
        minio.make_bucket("registry")
        tracking = Tracking(shared.tracking_uri, ROOT)
        given = candidate(packed, "sweep900", "bucketed", 0.95, project="bucketed")

        made = register(tracking, given)

        uri = versions.champion_model(tracking, "bucketed")
        assert made.version.aliases == ("champion",)
        assert uri is not None
        assert uri.startswith(f"{ROOT}/bucketed/")
        folder = versions.version_folder(tracking, "bucketed", 1, cache=tmp_path / "cache")
        assert folder.is_relative_to(tmp_path / "cache")
        model = load(folder)
        assert model.card == packed.card
        assert (store_for(uri, cache=tmp_path / "cache").fetch(uri)) == folder
        S3().put(place_of(uri) / "model.json", b"{}")
        with pytest.raises(DigestMismatch, match=r"model\.json"):
            versions.version_folder(tracking, "bucketed", 1, cache=tmp_path / "other")
