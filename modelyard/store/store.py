"""Artifacts by URI: snapshots, checkpoints and packed models, each a folder of files.

A folder is committed once and never changed: readers see all of it or nothing. Its manifest,
``manifest.json``, is written last, and whatever has no manifest does not exist. Layout under
the base of an installation:

    data/<digest>                                       snapshots, shared by sweeps
    uploads/<digest>                                    a user's table or code, one file each
    sweeps/<sweep>/<task>/<launch>/checkpoints/<epoch>  six digits
    sweeps/<sweep>/<task>/<launch>/model
    sweeps/<sweep>/<task>/<launch>/evaluation
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from modelyard.errors import InputError, ModelyardError


class AlreadyCommitted(ModelyardError):
    """Other files are committed under a URI than those that were to be."""

    def __init__(self, where: object) -> None:
        super().__init__(
            f"{where} is committed already, with other files; a committed folder never changes"
        )


class Store(Protocol):
    """Where artifacts lie. May be used by any number of processes at once."""

    def commit(self, folder: Path, uri: str) -> str:
        """Copy a local folder's files to ``uri``, all or nothing.

        Args:
            folder: local folder; stays as it is. A ``manifest.json`` in it is not copied.
            uri: where to. Once committed it never changes: the same files again are no
                error and are not written.

        Returns:
            ``uri``.

        Raises:
            AlreadyCommitted: other files are committed there.
            ModelyardError: they can't be written (a full disk); what was there is untouched.
        """
        ...

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """A local folder with the files of a committed folder, to be read only.

        Raises:
            FileNotFoundError: nothing is committed there.
            DigestMismatch: a file is not what was committed; names it.
        """
        ...

    def has(self, uri: str) -> bool:
        """Whether a folder is committed there; its files aren't looked at."""
        ...

    def committed(self, uri: str) -> tuple[str, ...]:
        """URIs of the folders within ``uri`` that are committed, sorted by name."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a folder and all within it; no error where there is none."""
        ...


def store_for(base_uri: str, *, cache: Path | None = None) -> Store:
    """The store that serves URIs like ``base_uri``.

    Args:
        base_uri: ``file:///absolute/folder`` or ``s3://bucket/prefix``.
        cache: local folder for what is fetched from afar; a temporary one, gone with the store,
            when None.

    Raises:
        InputError: no store speaks that scheme.
    """
    scheme = urlsplit(base_uri).scheme
    # Each store is imported where it is wanted: a trial needs one at most.
    if scheme == "file":
        from modelyard.store.folder import FolderStore

        return FolderStore()
    if scheme == "s3":
        from modelyard.store.s3_store import S3Store

        return S3Store(cache)
    raise InputError(
        f"{base_uri!r} is no place for artifacts: the scheme {scheme or '(none)'!r} is not "
        "supported; write file:///absolute/folder or s3://bucket/prefix"
    )


def join(uri: str, *parts: str) -> str:
    """``uri`` with further path segments; each part may hold several, parted by ``/``."""
    segments = [segment for part in parts for segment in part.split("/")]
    if wrong := [segment for segment in segments if segment in ("", ".", "..")]:
        raise ValueError(f"{'/'.join(parts)!r} has the segment {wrong[0]!r}; names only")
    return "/".join([uri.rstrip("/"), *(quote(segment) for segment in segments)])
