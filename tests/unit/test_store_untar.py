"""What other people's archives may write."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from modelyard.store.untar import untar


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """One entry of two bytes, or none where it is no file."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    entry.size = 2 if kind == tarfile.REGTYPE else 0
    return entry


def archive(*members: tarfile.TarInfo) -> tarfile.TarFile:
    """An archive of these, open for reading."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for entry in members:
            made.addfile(entry, io.BytesIO(b"ab"))
    return tarfile.open(fileobj=io.BytesIO(buffer.getvalue()))


def test_files_and_folders_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the archive doesn't list their folder, and by a Python without filters."""
    monkeypatch.delattr(tarfile.TarFile, "extractall")

    with archive(member("a/b/c.txt"), member("d", tarfile.DIRTYPE), member("./e")) as made:
        untar(made, tmp_path / "in")

    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert found == ["in", "in/a", "in/a/b", "in/a/b/c.txt", "in/d", "in/e"]
    assert (tmp_path / "in" / "a" / "b" / "c.txt").read_bytes() == b"ab"


@pytest.mark.parametrize(
    "entry",
    [
        member("../out"),
        member("a/../../out"),
        member("/out"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "../out"),
        member("pipe", tarfile.FIFOTYPE),
        member("disk", tarfile.BLKTYPE),
    ],
    ids=lambda entry: f"{entry.name} {entry.type!r}",
)
def test_nothing_else_is(entry: tarfile.TarInfo, tmp_path: Path) -> None:
    """A name that leads out, a link, a device: refused by name, and nothing is written."""
    with archive(entry) as made, pytest.raises(tarfile.ExtractError, match=entry.name):
        untar(made, tmp_path / "in")

    assert list(tmp_path.rglob("*")) == [tmp_path / "in"]
