"""Local copies of what lies elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from modelyard.errors import DigestMismatch, InputError
from modelyard.store import copies as module
from modelyard.store.copies import Broken, Copies
from modelyard.store.manifest import Entry, parse_manifest
from modelyard.store.place import place_of

CONTENT = b"one" * 1000
MANIFEST = {"a/b": Entry(blake3=blake3(CONTENT).hexdigest(), bytes=len(CONTENT))}
URI = "s3://bucket/x"


def test_processes_that_want_one_folder_read_it_once(tmp_path: Path) -> None:
    """Eight at once get the same whole folder out of one read."""
    reads: list[str] = []

    def read(name: str, start: int) -> Iterator[bytes]:
        reads.append(name)
        yield CONTENT[start:]

    barrier = threading.Barrier(8)

    def copy(_: int) -> Path:
        barrier.wait(timeout=120)
        return Copies(tmp_path).copy(URI, MANIFEST, read)

    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(copy, range(8)))
    (folder,) = folders
    assert (folder / "a" / "b").read_bytes() == CONTENT
    assert reads == ["a/b"]


def test_what_a_killed_copy_left_is_no_copy(tmp_path: Path) -> None:
    """Half a folder of a process that is gone is neither used nor kept."""
    folder = Copies(tmp_path).copy(URI, MANIFEST, lambda _name, start: iter([CONTENT[start:]]))
    left = tmp_path / f".{folder.name}.killed.part"
    folder.rename(left)
    (left / "a" / "b").write_bytes(b"half")
    again = Copies(tmp_path).copy(URI, MANIFEST, lambda _name, start: iter([CONTENT[start:]]))
    assert (again / "a" / "b").read_bytes() == CONTENT
    assert not left.exists()


def test_a_read_without_progress_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that breaks off each time without a byte is no use."""
    monkeypatch.setattr(module, "TRIES", 2)
    starts: list[int] = []

    def read(_name: str, start: int) -> Iterator[bytes]:
        starts.append(start)
        if start == 0:
            yield CONTENT[:100]
        raise Broken("gone")

    with pytest.raises(Broken, match="gone"):
        Copies(tmp_path).copy(URI, MANIFEST, read)
    assert starts == [0, 100, 100]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/..", ""])
def test_a_manifest_names_nothing_outside(name: str) -> None:
    """Such a name would write where nobody expects it."""
    text = json.dumps({name: {"blake3": "0", "bytes": 1}})
    with pytest.raises(DigestMismatch, match="outside of its folder"):
        parse_manifest(text.encode(), "s3://bucket/x/manifest.json")


def test_keys_are_names_as_they_are() -> None:
    """What a URI escapes is not escaped in the bucket, and what is no place there is refused."""
    place = place_of("s3://bucket/my%20data/50%25")
    assert (place.bucket, place.key, str(place)) == (
        "bucket",
        "my data/50%",
        "s3://bucket/my data/50%",
    )
    for uri in ("s3:///key", "file:///x", "s3://user:password@bucket/x"):
        with pytest.raises(InputError, match="write s3://bucket/key"):
            place_of(uri)
