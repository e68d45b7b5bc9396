"""A task's checkpoints in the store: each launch writes its own, and reads all earlier ones'.

``<task>/<launch>/checkpoints/<epoch>`` is whole once its manifest is there. What a launch that
was replaced still writes lies under its own number, where no later launch looks for the newest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import DigestMismatch
from modelyard.store.store import Store, join

KEPT_NEWEST = 2
"""The newest may turn out damaged; then the one before it is needed."""


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Where to go on.

    Args:
        epoch: epochs that are done; None without a checkpoint.
        folder: the checkpoint's files, local.
        notes: what was found damaged on the way, a sentence each.
    """

    epoch: int | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()


def newest_whole(store: Store, task: str, before: int) -> Resumption:
    """Find the newest checkpoint of earlier launches whose files are what their digests say.

    A newer launch's come first: it went on from the older one's newest, so what else the older
    one has was written when it had been replaced.

    Args:
        task: the task's folder URI.
        before: this launch's number; only smaller ones are looked at.
    """
    found = [
        (number, int(uri.rsplit("/", 1)[-1]), uri)
        for number in range(1, before)
        for uri in store.committed(join(task, str(number), "checkpoints"))
    ]
    notes: list[str] = []
    for _, epoch, uri in sorted(found, reverse=True):
        try:
            return Resumption(epoch=epoch, folder=store.fetch(uri), notes=tuple(notes))
        except (DigestMismatch, OSError) as error:
            notes.append(f"the checkpoint {uri} is damaged and passed over: {error}")
    return Resumption(notes=tuple(notes))


class Checkpoints:
    """Writes this launch's checkpoints, and drops those that nobody will want.

    Args:
        store: where they go.
        launch: this launch's folder URI.
    """

    def __init__(self, store: Store, launch: str) -> None:
        self._store = store
        self._base = join(launch, "checkpoints")
        self._kept: list[int] = []

    def commit(self, epoch: int, folder: Path, best: int | None) -> str:
        """Store a checkpoint, then drop older ones but for the best and the last two.

        Args:
            epoch: epochs that are done.
            folder: its files.
            best: the epoch with the best metric so far, None where it is not known.

        Returns:
            The checkpoint's URI.

        Raises:
            ModelyardError: it couldn't be stored; the earlier ones are untouched.
        """
        uri = self._store.commit(folder, self._uri(epoch))
        self._kept = [*(e for e in self._kept if e != epoch), epoch]
        for old in [e for e in self._kept[:-KEPT_NEWEST] if e != best]:
            self._store.delete(self._uri(old))
            self._kept.remove(old)
        return uri

    def _uri(self, epoch: int) -> str:
        return join(self._base, f"{epoch:06d}")
