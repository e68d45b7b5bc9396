"""Artifacts in folders of this machine, or of a shared mount."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.errors import InputError
from modelyard.store import manifest as manifests
from modelyard.store.disk import write_small, writing
from modelyard.store.manifest import (
    MANIFEST,
    Entry,
    Manifest,
    entry_of,
    files_of,
    manifest_bytes,
    read_manifest,
)
from modelyard.store.store import AlreadyCommitted, join


class FolderStore:
    """Artifacts in folders of this machine (or of a shared mount), by ``file://`` URIs."""

    def commit(self, folder: Path, uri: str) -> str:
        """See ``Store.commit``. The whole folder appears by one rename."""
        target = _local(uri)
        names = sorted(files_of(folder))
        if not names:
            raise ValueError(f"{folder} has no files to commit")
        if (target / MANIFEST).is_file():
            _refuse_other(target, {name: entry_of(folder / name) for name in names})
            return uri
        part = target.parent / f".{target.name}.{secrets.token_hex(6)}.part"
        try:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                manifest = _copy(folder, names, part)
                self._place(part, target, manifest)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return uri

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """See ``Store.fetch``. The folder itself: nothing is copied."""
        folder = _local(uri)
        try:
            manifest = read_manifest(folder)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"nothing is committed at {uri}") from None
        if verify:
            manifests.verify(folder, manifest)
        return folder

    def has(self, uri: str) -> bool:
        """See ``Store.has``."""
        return (_local(uri) / MANIFEST).is_file()

    def committed(self, uri: str) -> tuple[str, ...]:
        """See ``Store.committed``."""
        folder = _local(uri)
        if not folder.is_dir():
            return ()
        names = sorted(
            child.name
            for child in folder.iterdir()
            if not child.name.startswith(".") and (child / MANIFEST).is_file()
        )
        return tuple(join(uri, name) for name in names)

    def delete(self, uri: str) -> None:
        """See ``Store.delete``. The folder vanishes by one rename before its files go."""
        target = _local(uri)
        aside = target.parent / f".{target.name}.{secrets.token_hex(6)}.deleted"
        with suppress(FileNotFoundError):
            os.replace(target, aside)
        shutil.rmtree(aside, ignore_errors=True)
        for stamp in (target.parent / ".verified").glob(f"{glob.escape(target.name)}-*.json"):
            stamp.unlink(missing_ok=True)

    def _place(self, part: Path, target: Path, manifest: Manifest) -> None:
        """Rename ``part`` to ``target`` unless the same is there already."""
        while True:
            try:
                os.replace(part, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            else:
                return
            if not (target / MANIFEST).is_file():
                self.delete(target.as_uri())  # files that nobody committed
                continue
            _refuse_other(target, manifest)
            return


def _local(uri: str) -> Path:
    """The local path of a ``file://`` URI."""
    parts = urlsplit(uri)
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or not parts.path.startswith("/")
    ):
        raise InputError(f"{uri!r} is no folder of this machine; write file:///absolute/folder")
    return Path(unquote(parts.path))


def _copy(folder: Path, names: list[str], part: Path) -> Manifest:
    """Copy files into the new folder ``part`` and write the manifest of what arrived."""
    manifest: dict[str, Entry] = {}
    for name in names:
        copy = part / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, copy)
        manifest[name] = entry_of(copy)
    write_small(part / MANIFEST, manifest_bytes(manifest))
    return manifest


def _refuse_other(target: Path, manifest: Manifest) -> None:
    """A committed folder may be committed again only as it is."""
    if read_manifest(target) != manifest:
        raise AlreadyCommitted(target)
