"""What every store must do. A subclass gives a store, a base URI, and a way to do damage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from modelyard.errors import DigestMismatch, ModelyardError
from modelyard.store.manifest import read_manifest
from modelyard.store.store import Store, join


def files(folder: Path, **content: bytes) -> Path:
    """A local folder with files; ``__`` in a name stands for a subfolder."""
    for name, data in content.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


class StoreContract:
    """The suite. ``base`` is an URI below which nothing is committed yet."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def base(self, tmp_path: Path) -> str:
        raise NotImplementedError

    def damage(self, uri: str, name: str, content: bytes | None) -> None:
        """Change a committed file behind the store's back; None removes it."""
        raise NotImplementedError

    def test_files_come_back_as_committed(self, store: Store, base: str, tmp_path: Path) -> None:
        """What is fetched is what was committed, subfolders and empty files too."""
        source = files(tmp_path / "new", weights=b"\x00\x01", sub__card=b"{}", empty=b"")
        uri = join(base, "sweeps", "ab12cd34", "3", "1", "model")
        assert store.commit(source, uri) == uri
        folder = store.fetch(uri)
        assert (folder / "weights").read_bytes() == b"\x00\x01"
        assert (folder / "sub" / "card").read_bytes() == b"{}"
        assert (folder / "empty").read_bytes() == b""
        manifest = read_manifest(folder)
        assert set(manifest) == {"weights", "sub/card", "empty"}
        assert manifest["weights"].bytes == 2
        assert (source / "weights").read_bytes() == b"\x00\x01"

    def test_nothing_committed(self, store: Store, base: str) -> None:
        """Fetching what nobody committed names the URI; listing and deleting it are no errors."""
        uri = join(base, "absent")
        with pytest.raises(FileNotFoundError, match="absent"):
            store.fetch(uri)
        assert store.committed(uri) == ()
        store.delete(uri)

    def test_again(self, store: Store, base: str, tmp_path: Path) -> None:
        """The same files may be committed again; other files are refused and change nothing."""
        uri = join(base, "data", "d1")
        source = files(tmp_path / "new", a=b"one")
        store.commit(source, uri)
        store.commit(source, uri)
        with pytest.raises(ModelyardError, match="never changes"):
            store.commit(files(tmp_path / "other", a=b"two"), uri)
        assert (store.fetch(uri) / "a").read_bytes() == b"one"

    def test_a_fetched_folder_can_be_committed(
        self, store: Store, base: str, tmp_path: Path
    ) -> None:
        """A fetched folder's own manifest is no file of it."""
        store.commit(files(tmp_path / "new", a=b"one"), join(base, "first"))
        fetched = store.fetch(join(base, "first"))
        store.commit(fetched, join(base, "second"))
        assert set(read_manifest(store.fetch(join(base, "second")))) == {"a"}

    def test_no_files(self, store: Store, base: str, tmp_path: Path) -> None:
        """A folder without files is a mistake of the caller."""
        (tmp_path / "new").mkdir()
        with pytest.raises(ValueError, match="no files"):
            store.commit(tmp_path / "new", join(base, "a"))

    @pytest.mark.parametrize("content", [b"onE", b"on", b"", b"onee", None])
    def test_damage(self, store: Store, base: str, tmp_path: Path, content: bytes | None) -> None:
        """A file that was changed, cut short, lengthened or removed is named."""
        uri = join(base, "model")
        store.commit(files(tmp_path / "new", good=b"fine", bad=b"one"), uri)
        store.fetch(uri)
        self.damage(uri, "bad", content)
        with pytest.raises(DigestMismatch, match="bad"):
            store.fetch(uri)

    def test_damaged_manifest(self, store: Store, base: str, tmp_path: Path) -> None:
        """A manifest that can't be read is damage too, not absence."""
        uri = join(base, "model")
        store.commit(files(tmp_path / "new", a=b"one"), uri)
        self.damage(uri, "manifest.json", b"{")
        with pytest.raises(DigestMismatch, match=r"manifest\.json"):
            store.fetch(uri)

    def test_unverified(self, store: Store, base: str, tmp_path: Path) -> None:
        """Asked not to verify, the store doesn't."""
        uri = join(base, "model")
        store.commit(files(tmp_path / "new", a=b"one"), uri)
        self.damage(uri, "a", b"two")
        assert (store.fetch(uri, verify=False) / "a").read_bytes() == b"two"

    def test_committed_in_order(self, store: Store, base: str, tmp_path: Path) -> None:
        """Committed children are listed by name; what lost its manifest is not there."""
        source = files(tmp_path / "new", a=b"one")
        for epoch in ("000010", "000002", "000001"):
            store.commit(source, join(base, "checkpoints", epoch))
        self.damage(join(base, "checkpoints", "000001"), "manifest.json", None)
        uri = join(base, "checkpoints")
        assert store.committed(uri) == (join(uri, "000002"), join(uri, "000010"))

    def test_delete(self, store: Store, base: str, tmp_path: Path) -> None:
        """A deleted folder is gone with all below it, and may be committed anew."""
        store.commit(files(tmp_path / "new", a=b"one"), join(base, "task", "1"))
        store.commit(files(tmp_path / "new", a=b"one"), join(base, "other"))
        store.delete(join(base, "task"))
        assert store.committed(join(base, "task")) == ()
        assert store.committed(base) == (join(base, "other"),)
        store.commit(files(tmp_path / "two", a=b"two"), join(base, "task", "1"))
        assert (store.fetch(join(base, "task", "1")) / "a").read_bytes() == b"two"

    def test_at_once(self, store: Store, base: str, tmp_path: Path) -> None:
        """Eight commits of the same files at once all succeed."""
        source = files(tmp_path / "new", a=b"one" * 1000, b=b"two")
        uri, barrier = join(base, "data", "d1"), Barrier(8)

        def commit(_: int) -> str:
            barrier.wait(timeout=120)
            return store.commit(source, uri)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(commit, range(8))) == [uri] * 8
        assert (store.fetch(uri) / "b").read_bytes() == b"two"

    def test_names_with_blanks(self, store: Store, base: str, tmp_path: Path) -> None:
        """Names that a URI must escape are carried as they are."""
        uri = join(base, "my data", "50% größer#1?")
        store.commit(files(tmp_path / "new", a=b"one"), uri)
        assert (store.fetch(uri) / "a").read_bytes() == b"one"
        assert store.committed(join(base, "my data")) == (uri,)
