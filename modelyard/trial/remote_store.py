"""The store of a trial without keys: the server signs URLs, the bytes go straight to the bucket.

What sweeps share (snapshots, uploads) is copied once a node, to a folder that its launches
share; anything else to the launch's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from modelyard.contract import LaunchKey, Wire
from modelyard.errors import DigestMismatch, ServerRefused
from modelyard.store.copies import Broken, Copies
from modelyard.store.manifest import MANIFEST, Entry, entry_of, files_of
from modelyard.store.presigned import (
    DAMAGED,
    NOT_COMMITTED,
    OTHERS_COMMITTED,
    CommitBody,
    FolderBody,
    ListAnswer,
    ReadAnswer,
    SentParts,
    WriteAnswer,
    WriteBody,
    WriteFile,
)
from modelyard.store.store import AlreadyCommitted, join
from modelyard.trial.intake import Intake
from modelyard.trial.transfers import Transfers, UrlRefused

PATIENCE_SECONDS = 120.0
"""How long server and bucket may be away before a launch gives up."""

PARTS_AT_ONCE = 4
"""Parts of 16 MiB in flight, each held in memory."""

SHARED = ("data", "uploads")
"""Folders below the base whose content many launches of a node want."""

CACHE_NOTE = (
    "It is the volume that MODELYARD_KUBERNETES_CACHE_VOLUME gives to every pod, and group 10001 "
    "must be able to write to it"
)

Answer = TypeVar("Answer", bound=BaseModel)


class RemoteStore:
    """See ``Store``. Safe for several threads.

    Args:
        intake: of the launch.
        key: the launch.
        base: base URI of the installation's artifacts.
        shared: URIs of further folders that all launches of the sweep read.
        cache: folder for copies that the launches of a node share; None keeps all for itself.
        scratch: folder for the launch's own copies.
        patience_seconds: how long server and bucket may be away.

    Raises:
        ServerUnreachable: from every call, when they are away for longer.
        ServerRefused: from every call, when the launch may not do that.
        Fenced: from every call, when the launch has been replaced.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        key: LaunchKey,
        base: str,
        shared: tuple[str, ...] = (),
        cache: Path | None,
        scratch: Path,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._intake = intake
        self._key = key
        self._shared = (*(join(base, name) + "/" for name in SHARED), *shared)
        self._own = Copies(scratch)
        self._cache = self._own if cache is None else Copies(cache, note=CACHE_NOTE)
        self._patience = patience_seconds
        self._transfers = Transfers(patience_seconds=patience_seconds)

    def close(self) -> None:
        """Free the connections."""
        self._transfers.close()

    def commit(self, folder: Path, uri: str) -> str:
        """See ``Store.commit``. The server writes the manifest once all files have arrived."""
        names = sorted(files_of(folder))
        if not names:
            raise ValueError(f"{folder} has no files to commit")
        manifest = {name: entry_of(folder / name) for name in names}
        try:
            self._send(folder, uri, manifest)
        except UrlRefused:  # a long upload outlives its URLs
            self._send_again(folder, uri, manifest)
        return uri

    def fetch(self, uri: str, *, verify: bool = True) -> Path:
        """See ``Store.fetch``."""
        reading = _Reading(self, uri)
        copies = self._cache if uri.startswith(self._shared) else self._own
        return copies.copy(uri, reading.answer.manifest, reading, verify=verify)

    def has(self, uri: str) -> bool:
        """See ``Store.has``."""
        try:
            self.readable(uri)
        except FileNotFoundError:
            return False
        return True

    def committed(self, uri: str) -> tuple[str, ...]:
        """See ``Store.committed``."""
        return self._ask("list", uri, FolderBody(uri=uri), ListAnswer).uris

    def delete(self, uri: str) -> None:
        """See ``Store.delete``."""
        self._tell("delete", uri, FolderBody(uri=uri))

    def readable(self, uri: str) -> ReadAnswer:
        """A committed folder's manifest and fresh URLs.

        Raises:
            FileNotFoundError: nothing is committed there.
            DigestMismatch: its manifest is damaged.
        """
        return self._ask("read", uri, FolderBody(uri=uri), ReadAnswer)

    def chunks(self, url: str, start: int, what: str) -> Iterator[bytes]:
        """The bytes behind a URL; see ``Transfers.read``."""
        return self._transfers.read(url, start, what)

    def _send_again(self, folder: Path, uri: str, manifest: dict[str, Entry]) -> None:
        try:
            self._send(folder, uri, manifest)
        except UrlRefused as error:
            raise ServerRefused(403, str(error)) from None

    def _send(self, folder: Path, uri: str, manifest: dict[str, Entry]) -> None:
        answer = self._ask("write", uri, WriteBody(uri=uri, manifest=manifest), WriteAnswer)
        if answer.committed:
            return
        parts: dict[str, SentParts] = {}
        for name, there in answer.files.items():
            etags = self._send_file(folder / name, there)
            if there.upload is not None:
                parts[name] = SentParts(upload=there.upload, etags=etags)
        self._tell("commit", uri, CommitBody(uri=uri, manifest=manifest, parts=parts))

    def _send_file(self, path: Path, there: WriteFile) -> tuple[str, ...]:
        def send(number: int) -> str:
            with path.open("rb") as file:
                file.seek(number * there.part_bytes)
                content = file.read(there.part_bytes)
            return self._transfers.put(there.urls[number], content, path.name)

        if len(there.urls) == 1:
            return (send(0),)
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="upload") as pool:
            return tuple(pool.map(send, range(len(there.urls))))

    def _ask(self, verb: str, uri: str, body: Wire, model: type[Answer]) -> Answer:
        return model.model_validate_json(self._tell(verb, uri, body))

    def _tell(self, verb: str, uri: str, body: Wire) -> bytes:
        content = body.model_dump_json().encode()
        try:
            return self._intake.artifacts(self._key, verb, content, patience_seconds=self._patience)
        except ServerRefused as error:
            if error.status == NOT_COMMITTED:
                raise FileNotFoundError(f"nothing is committed at {uri}") from None
            if error.status == OTHERS_COMMITTED:
                raise AlreadyCommitted(uri) from None
            if error.status == DAMAGED and verb != "list":
                raise DigestMismatch(f"{uri}/{MANIFEST} is damaged") from None
            raise


class _Reading:
    """Reads the files of one folder; URLs that have run out are asked for anew."""

    def __init__(self, store: RemoteStore, uri: str) -> None:
        self._store = store
        self._uri = uri
        self.answer = store.readable(uri)

    def __call__(self, name: str, start: int) -> Iterator[bytes]:
        """See ``copies.Read``."""
        try:
            yield from self._store.chunks(self.answer.urls[name], start, f"{self._uri}/{name}")
        except UrlRefused as error:
            self.answer = self._store.readable(self._uri)
            raise Broken(str(error)) from None
