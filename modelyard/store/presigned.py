"""What a trial and the server say to each other about artifacts in a bucket.

A trial has no keys. It asks for signed URLs, reads and writes files with those, and the server
writes the manifest. Every path is ``POST /v1/launches/{sweep}/{task}/{number}/artifacts/{verb}``.
"""

from __future__ import annotations

from modelyard.contract import Wire
from modelyard.store.manifest import Entry

URL_SECONDS = 3600
"""How long a signed URL is good for."""

NOT_COMMITTED = 404
OTHERS_COMMITTED = 412
DAMAGED = 422
"""Statuses that mean something to the store of a trial; 409 says that the launch is fenced."""


class FolderBody(Wire):
    """Body of ``read``, ``list`` and ``delete``: the folder meant."""

    uri: str


class ReadAnswer(Wire):
    """A committed folder: its manifest, and a URL for each of its files."""

    manifest: dict[str, Entry]
    urls: dict[str, str]


class ListAnswer(Wire):
    """The committed folders within a folder, sorted by name."""

    uris: tuple[str, ...]


class WriteBody(Wire):
    """Body of ``write``: the files that are to be committed."""

    uri: str
    manifest: dict[str, Entry]


class WriteFile(Wire):
    """Where a file's bytes go.

    Args:
        urls: one, or one for each part in order.
        part_bytes: length of each part but for the last.
        upload: of a file in parts; given back with the commit.
    """

    urls: tuple[str, ...]
    part_bytes: int
    upload: str | None = None


class WriteAnswer(Wire):
    """Where the files go; ``committed`` when the same are there already and none is wanted."""

    committed: bool = False
    files: dict[str, WriteFile] = {}


class SentParts(Wire):
    """A file that was sent in parts: its upload, and each part's ETag in order."""

    upload: str
    etags: tuple[str, ...]


class CommitBody(Wire):
    """Body of ``commit``: all files have been sent; ``parts`` by name where there were some."""

    uri: str
    manifest: dict[str, Entry]
    parts: dict[str, SentParts] = {}
