"""Stores: URIs, and what a folder store leaves behind when things go wrong."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from modelyard.errors import DigestMismatch, InputError, ModelyardError
from modelyard.store import manifest as module
from modelyard.store.folder import FolderStore
from modelyard.store.manifest import digest_file
from modelyard.store.store import join, store_for


def folder(path: Path, content: bytes = b"one") -> Path:
    """A folder with one file."""
    path.mkdir()
    (path / "a").write_bytes(content)
    return path


def test_join_adds_segments() -> None:
    """Segments are added with one slash between them, escaped where a URI wants it."""
    assert join("file:///base/", "sweeps/x", "a b") == "file:///base/sweeps/x/a%20b"


@pytest.mark.parametrize("part", ["", "..", "a/../b", "/a", "a/", "."])
def test_join_stays_below(part: str) -> None:
    """No segment may be empty or lead upwards."""
    with pytest.raises(ValueError, match="names only"):
        join("file:///base", part)


@pytest.mark.parametrize("uri", ["gs://bucket/x", "/plain/path", "ftp://host/x"])
def test_unknown_scheme(uri: str) -> None:
    """A scheme that no store speaks is refused with the one that works."""
    with pytest.raises(InputError, match="file:///absolute/folder or s3://bucket/prefix"):
        store_for(uri)


@pytest.mark.parametrize("uri", ["file://host/x", "file:relative", "s3://bucket/x"])
def test_folder_of_another_machine(uri: str) -> None:
    """A folder store takes folders of this machine only."""
    with pytest.raises(InputError, match="no folder of this machine"):
        FolderStore().fetch(uri)


def test_digest_is_blake3(tmp_path: Path) -> None:
    """The digest of a file is BLAKE3's published one of "abc"."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert digest_file(path) == "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A disk that fills up during a commit leaves what was there, nothing new, and says so."""
    store, base = FolderStore(), (tmp_path / "artifacts").as_uri()
    store.commit(folder(tmp_path / "old"), join(base, "checkpoints", "000001"))

    def half(_source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(ModelyardError, match="free some space"):
        store.commit(folder(tmp_path / "new"), join(base, "checkpoints", "000002"))
    assert [p.name for p in (tmp_path / "artifacts" / "checkpoints").iterdir()] == ["000001"]
    assert (store.fetch(join(base, "checkpoints", "000001")) / "a").read_bytes() == b"one"


def test_a_file_where_a_folder_must_be(tmp_path: Path) -> None:
    """A path that can't be made is named with the system's reason."""
    (tmp_path / "artifacts").write_bytes(b"")
    with pytest.raises(ModelyardError, match="artifacts/data can't be written"):
        FolderStore().commit(folder(tmp_path / "new"), (tmp_path / "artifacts/data").as_uri())


def test_uncommitted_files_give_way(tmp_path: Path) -> None:
    """Files that nobody committed don't stand in the way of a commit."""
    folder(tmp_path / "target", b"left over")
    uri = (tmp_path / "target").as_uri()
    FolderStore().commit(folder(tmp_path / "new"), uri)
    assert (FolderStore().fetch(uri) / "a").read_bytes() == b"one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "target"]


def test_parts_are_not_listed(tmp_path: Path) -> None:
    """What a killed commit left behind is neither listed nor fetched."""
    store, base = FolderStore(), (tmp_path / "artifacts").as_uri()
    store.commit(folder(tmp_path / "new"), join(base, "000001"))
    shutil.copytree(tmp_path / "artifacts/000001", tmp_path / "artifacts/.000002.ab.part")
    assert store.committed(base) == (join(base, "000001"),)


class TestStamps:
    """Folders so large that hashing them for each trial would cost."""

    @pytest.fixture
    def uri(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(module, "STAMPED_BYTES", 1)
        return FolderStore().commit(folder(tmp_path / "new"), (tmp_path / "data/d1").as_uri())

    def test_hashed_once(self, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that is as it was is not hashed again."""
        hashed: list[Path] = []

        def counting(path: Path) -> str:
            hashed.append(path)
            return digest_file(path)

        monkeypatch.setattr(module, "digest_file", counting)
        FolderStore().fetch(uri)
        FolderStore().fetch(uri)
        assert [path.name for path in hashed] == ["a"]

    def test_change_behind_its_back(self, uri: str) -> None:
        """A change is found even if length and time of change are put back."""
        path = FolderStore().fetch(uri) / "a"
        before = path.stat()
        path.write_bytes(b"onE")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(DigestMismatch, match="changed after its digest"):
            FolderStore().fetch(uri)

    def test_read_only_store(self, uri: str, tmp_path: Path) -> None:
        """Where no stamp can be kept, the folder is still fetched and verified."""
        (tmp_path / "data" / ".verified").write_bytes(b"")
        path = FolderStore().fetch(uri) / "a"
        path.write_bytes(b"onE")
        with pytest.raises(DigestMismatch):
            FolderStore().fetch(uri)

    def test_stamps_go_with_their_folder(self, uri: str, tmp_path: Path) -> None:
        """Deleting a folder deletes its stamps."""
        FolderStore().fetch(uri)
        assert len(list((tmp_path / "data/.verified").iterdir())) == 1
        FolderStore().delete(uri)
        assert list((tmp_path / "data/.verified").iterdir()) == []
