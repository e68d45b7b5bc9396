"""Artifacts of launches that have no keys: who may do what, signed URLs, and the commit.

The server alone writes manifests, so what a launch that was replaced still sends is never read.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from urllib.parse import unquote

from modelyard.contract import LaunchKey, PinnedVersion, Stage
from modelyard.errors import Fenced, InputError, ModelyardError
from modelyard.journal.journal import Journal
from modelyard.journal.rows import LaunchRow
from modelyard.store.manifest import MANIFEST, Manifest, is_inside
from modelyard.store.place import Place, place_of
from modelyard.store.presigned import (
    URL_SECONDS,
    CommitBody,
    ListAnswer,
    ReadAnswer,
    SentParts,
    WriteAnswer,
    WriteBody,
    WriteFile,
)
from modelyard.store.s3 import PART_BYTES, PARTS_LIMIT
from modelyard.store.s3_store import S3Store
from modelyard.store.store import Store, join

THREADS = 16
"""Requests to the bucket at once, so that a slow one keeps nobody from posting events."""

Answer = TypeVar("Answer")


class Forbidden(ModelyardError):
    """A launch asked for what belongs to others."""


class NotHere(ModelyardError):
    """The artifacts of this installation lie in a folder, which launches reach themselves."""


class StoreMisconfigured(ModelyardError):
    """The bucket can't be used as this server is set up; trying again is no use."""


class Artifacts:
    """Answers launches; each call blocks, and belongs into ``within``.

    Args:
        store: of the installation.
        base: its base URI.
        journal: knows the launches.

    Raises:
        Fenced: from every call, when the launch has no say any more.
        Forbidden: from every call, when the URI isn't the launch's to use so.
        NotHere: from every call, when the store isn't a bucket.
        StoreMisconfigured, ModelyardError: the bucket can't be used at all, or just now.
    """

    def __init__(self, store: Store, base: str, journal: Journal) -> None:
        self._store = store.hurried() if isinstance(store, S3Store) else store
        self._base = base
        self._journal = journal
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="artifacts")

    async def within(self, call: Callable[[], Answer]) -> Answer:
        """Run a call in a thread of its own kind."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _plainly, call)

    def close(self) -> None:
        """Take no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self, key: LaunchKey, uri: str) -> ReadAnswer:
        """A committed folder's manifest and URLs.

        Raises:
            FileNotFoundError: nothing is committed there.
            DigestMismatch: its manifest is damaged.
        """
        store, launch = self._bucket(), self._launch(key)
        if not may_read(uri, launch, self._base, self._starts_from(launch)):
            raise _forbidden(key, "read", uri)
        manifest, place = store.manifest(uri), place_of(uri)
        urls = {name: store.s3.url("get_object", place / name, URL_SECONDS) for name in manifest}
        return ReadAnswer(manifest=dict(manifest), urls=urls)

    def list(self, key: LaunchKey, uri: str) -> ListAnswer:
        """The committed folders within one of the sweep's own."""
        store, launch = self._bucket(), self._launch(key)
        if not _is_within(uri, join(self._base, "sweeps", launch.key.sweep)):
            raise _forbidden(key, "list", uri)
        return ListAnswer(uris=store.committed(uri))

    def write(self, key: LaunchKey, body: WriteBody) -> WriteAnswer:
        """URLs for the files of a folder that is to be committed.

        Raises:
            AlreadyCommitted: other files are committed there.
        """
        store = self._writable(key, body.uri)
        _refuse_odd_names(body.manifest)
        if store.is_committed(body.uri, body.manifest):
            return WriteAnswer(committed=True)
        place = place_of(body.uri)
        files = {n: self._file(store, place / n, entry.bytes) for n, entry in body.manifest.items()}
        return WriteAnswer(files=files)

    def commit(self, key: LaunchKey, body: CommitBody) -> None:
        """Put parts together, look whether all is there, and write the manifest.

        Raises:
            Incomplete: a file didn't arrive whole.
            AlreadyCommitted: other files are committed there.
        """
        store = self._writable(key, body.uri)
        _refuse_odd_names(body.manifest)
        if store.is_committed(body.uri, body.manifest):
            return
        place = place_of(body.uri)
        for name, entry in body.manifest.items():
            if name in body.parts:
                _put_together(store, place / name, body.parts[name])
            found = store.s3.stat(place / name)
            if found is None or found.bytes != entry.bytes:
                arrived = "nothing" if found is None else f"{found.bytes} bytes"
                raise Incomplete(f"{place / name}: of {entry.bytes} bytes, {arrived} arrived")
        self._launch(key)  # it may have been replaced while it sent
        store.write_manifest(body.uri, body.manifest)

    def delete(self, key: LaunchKey, uri: str) -> None:
        """Remove a folder of the launch's own."""
        self._writable(key, uri).delete(uri)

    def _bucket(self) -> S3Store:
        if not isinstance(self._store, S3Store):
            raise NotHere(f"artifacts lie at {self._base}, which launches reach themselves")
        return self._store

    def _launch(self, key: LaunchKey) -> LaunchRow:
        launches = {row.key.number: row for row in self._journal.launches(key.sweep, key.task)}
        launch = launches.get(key.number)
        if launch is None:
            raise Fenced(f"Launch {key} is unknown here.")
        if key.number < max(launches):
            raise Fenced(f"Launch {key} is old: launch {max(launches)} of this task exists.")
        if launch.ended_at is not None:
            raise Fenced(f"Launch {key} has ended.")
        return launch

    def _starts_from(self, launch: LaunchRow) -> PinnedVersion | None:
        document = self._journal.document(launch.spec.document)
        return None if document is None else document.weights

    def _writable(self, key: LaunchKey, uri: str) -> S3Store:
        store, launch = self._bucket(), self._launch(key)
        if not may_write(uri, launch, self._base):
            raise _forbidden(key, "write", uri)
        return store

    @staticmethod
    def _file(store: S3Store, place: Place, size: int) -> WriteFile:
        if size < PART_BYTES:
            url = store.s3.url("put_object", place, URL_SECONDS)
            return WriteFile(urls=(url,), part_bytes=PART_BYTES)
        part_bytes = max(PART_BYTES, math.ceil(size / PARTS_LIMIT))
        upload = store.s3.begin_parts(place)
        numbers = range(1, math.ceil(size / part_bytes) + 1)
        urls = tuple(
            store.s3.url("upload_part", place, URL_SECONDS, UploadId=upload, PartNumber=number)
            for number in numbers
        )
        return WriteFile(urls=urls, part_bytes=part_bytes, upload=upload)


class Incomplete(ModelyardError):
    """A launch wants to commit what it hasn't sent."""


def may_read(
    uri: str, launch: LaunchRow, base: str, starts_from: PinnedVersion | None = None
) -> bool:
    """Whether a launch may read a folder: its sweep's, what its spec names, the version that its
    sweep starts from, and what is found by a digest alone, which who knows it has seen the
    content of."""
    version = () if starts_from is None else (starts_from.uri,)
    given = (*launch.spec.inputs.values(), *version, join(base, "sweeps", launch.key.sweep))
    named = any(_is_within(uri, folder) for folder in given)
    return named or any(_is_child(uri, join(base, name)) for name in ("data", "uploads"))


def may_write(uri: str, launch: LaunchRow, base: str) -> bool:
    """Whether a launch may write a folder: within its own, and snapshots when it prepares."""
    key = launch.key
    own = join(base, "sweeps", key.sweep, key.task, str(key.number))
    if _is_within(uri, own) and uri != own:
        return True
    return launch.spec.stage is Stage.PREPARE and _is_child(uri, join(base, "data"))


def _is_within(uri: str, folder: str) -> bool:
    """Whether a URI is a folder, or below it however it is escaped."""
    return uri == folder or (uri.startswith(f"{folder}/") and _is_clean(uri, folder))


def _is_child(uri: str, folder: str) -> bool:
    rest = uri.removeprefix(f"{folder}/")
    return _is_within(uri, folder) and uri != folder and "/" not in unquote(rest)


def _is_clean(uri: str, folder: str) -> bool:
    return is_inside(unquote(uri.removeprefix(f"{folder}/")))


def _forbidden(key: LaunchKey, verb: str, uri: str) -> Forbidden:
    return Forbidden(f"launch {key} may not {verb} {uri}: it belongs to others")


def _refuse_odd_names(manifest: Manifest) -> None:
    if wrong := [name for name in manifest if not is_inside(name) or name == MANIFEST]:
        raise Forbidden(f"{wrong[0]!r} is no name for a file of a committed folder")


def _put_together(store: S3Store, place: Place, sent: SentParts) -> None:
    with suppress(FileNotFoundError):  # done by an earlier try, whose answer was lost
        store.s3.end_parts(place, sent.upload, dict(enumerate(sent.etags, start=1)))


def _plainly(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except InputError as error:
        # To its caller it would mean that there is no such thing, and it is the server's own.
        raise StoreMisconfigured(str(error)) from error
