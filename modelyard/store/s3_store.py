"""Artifacts in a bucket. What is fetched is copied to a local folder, once."""

from __future__ import annotations

from pathlib import Path

from modelyard.store.copies import Copies
from modelyard.store.manifest import (
    MANIFEST,
    Manifest,
    entry_of,
    files_of,
    manifest_bytes,
    parse_manifest,
)
from modelyard.store.place import Place, place_of
from modelyard.store.s3 import PART_BYTES, S3
from modelyard.store.store import AlreadyCommitted, join


class S3Store:
    """Artifacts by ``s3://`` URIs; the process has the keys.

    A folder exists once its manifest does, which is written last and only where there is none.

    Args:
        cache: folder of local copies; see ``Copies``.
        s3: the endpoint.
    """

    def __init__(self, cache: Path | None = None, s3: S3 | None = None) -> None:
        self.s3 = s3 or S3()
        self._cache = cache
        self._copies = Copies(cache)

    def hurried(self) -> S3Store:
        """The same for callers who try again themselves: it fails within seconds."""
        return S3Store(self._cache, S3(attempts=3, read_seconds=10))

    def commit(self, folder: Path, uri: str) -> str:
        """See ``Store.commit``. A commit that is killed leaves files without a manifest."""
        names = sorted(files_of(folder))
        if not names:
            raise ValueError(f"{folder} has no files to commit")
        manifest = {name: entry_of(folder / name) for name in names}
        if not self.is_committed(uri, manifest):
            place = place_of(uri)
            for name, entry in manifest.items():
                if entry.bytes < PART_BYTES:
                    self.s3.put(place / name, (folder / name).read_bytes())
                else:
                    self.s3.upload(place / name, folder / name)
            self.write_manifest(uri, manifest)
        return uri

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """See ``Store.fetch``. The same files from another place are not fetched again."""
        manifest = self.manifest(uri)
        place = place_of(uri)
        return self._copies.copy(
            uri, manifest, lambda name, start: self.s3.read(place / name, start), verify=verify
        )

    def has(self, uri: str) -> bool:
        """See ``Store.has``."""
        return self.s3.stat(place_of(uri) / MANIFEST) is not None

    def committed(self, uri: str) -> tuple[str, ...]:
        """See ``Store.committed``."""
        place = place_of(uri)
        children = (join(uri, name) for name in self.s3.folders(place))
        return tuple(child for child in children if self.has(child))

    def delete(self, uri: str) -> None:
        """See ``Store.delete``. Manifests go first, so that no reader finds half a folder."""
        place = place_of(uri)
        if not place.key:
            raise ValueError(f"{uri} is a whole bucket; no one wants that deleted")
        found = self.s3.objects(place)
        for one in sorted(found, key=lambda one: not _is_manifest(one)):
            self.s3.delete(one)
        self.s3.drop_parts(place)

    def manifest(self, uri: str) -> Manifest:
        """The manifest of a committed folder.

        Raises:
            FileNotFoundError: nothing is committed there.
            DigestMismatch: it is damaged.
        """
        try:
            content = b"".join(self.s3.read(place_of(uri) / MANIFEST))
        except FileNotFoundError:
            raise FileNotFoundError(f"nothing is committed at {uri}") from None
        return parse_manifest(content, f"{uri}/{MANIFEST}")

    def is_committed(self, uri: str, manifest: Manifest) -> bool:
        """Whether these files are committed there already.

        Raises:
            AlreadyCommitted: others are.
        """
        try:
            there = self.manifest(uri)
        except FileNotFoundError:
            return False
        if there != manifest:
            raise AlreadyCommitted(uri)
        return True

    def write_manifest(self, uri: str, manifest: Manifest) -> None:
        """Commit files that lie there; the same at the same time by somebody else is no error."""
        target = place_of(uri) / MANIFEST
        if not self.s3.put(target, manifest_bytes(manifest), only_new=True):
            self.is_committed(uri, manifest)


def _is_manifest(place: Place) -> bool:
    return place.key.rpartition("/")[2] == MANIFEST
