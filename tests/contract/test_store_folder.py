"""The folder store keeps the contract of all stores."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from modelyard.store.folder import FolderStore
from modelyard.store.store import Store
from tests.contract.store_suite import StoreContract


class TestFolderStore(StoreContract):
    """Over a folder of this machine."""

    @pytest.fixture
    def store(self) -> Store:
        return FolderStore()

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        return (tmp_path / "artifacts").as_uri()

    def damage(self, uri: str, name: str, content: bytes | None) -> None:
        path = Path(unquote(urlsplit(uri).path)) / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
