"""Events that the intake has not acknowledged yet, in order and bounded.

The first of them wait in memory, the rest in a file of the launch's scratch folder. When both
are full, log lines go first, then progress, the oldest before newer ones, and each is counted;
metrics, checkpoints, failures and results are never dropped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from modelyard.contract import EXPENDABLE, Event


@dataclass(kw_only=True)
class _Entry:
    """One event's JSON, in memory (``text``) or in the file (``offset``)."""

    sequence: int
    kind: str
    size: int
    text: bytes | None = None
    offset: int = 0


class Spool:
    """A queue of events as JSON. Its user holds a lock around each call.

    Args:
        path: the file for what memory doesn't hold; made when first needed.
        memory_bytes: how much may wait in memory.
        limit_bytes: how much may wait at all, but for what is never dropped.
    """

    def __init__(
        self, path: Path, *, memory_bytes: int = 256 * 1024, limit_bytes: int = 16 * 1024**2
    ) -> None:
        self._path = path
        self._memory_limit = memory_bytes
        self._limit = limit_bytes
        self._entries: dict[int, _Entry] = {}
        self._expendable: dict[str, deque[_Entry]] = {kind: deque() for kind in EXPENDABLE}
        self._memory = 0
        self._live = 0
        self._file_end = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, event: Event) -> None:
        """Add an event behind the others, dropping expendable ones if it must."""
        text = event.model_dump_json().encode()
        entry = _Entry(sequence=event.sequence, kind=event.body.kind, size=len(text), text=text)
        self._entries[entry.sequence] = entry
        self._live += entry.size
        self._memory += entry.size
        if entry.kind in self._expendable:
            self._expendable[entry.kind].append(entry)
        self._drop_to(self._limit)
        if self._memory > self._memory_limit and entry.sequence in self._entries:
            self._move_to_file(entry)

    def head(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """The oldest events, at least one if there is any.

        Args:
            limit_bytes: how much they may take together; a single longer one goes alone.

        Returns:
            Sequence number and JSON of each. They stay until they are acknowledged, and are no
            longer dropped: they may already be stored.
        """
        found: list[tuple[int, bytes]] = []
        total = 0
        for entry in self._entries.values():
            total += entry.size
            if found and total > limit_bytes:
                break
            found.append((entry.sequence, self._read(entry)))
        for queue in self._expendable.values():
            while queue and found and queue[0].sequence <= found[-1][0]:
                queue.popleft()
        return found

    def acknowledge(self, sequence: int) -> None:
        """Forget events up to and including ``sequence``."""
        for number in list(self._entries):
            if number > sequence:
                break
            self._remove(self._entries[number])
        for queue in self._expendable.values():
            while queue and queue[0].sequence <= sequence:
                queue.popleft()
        if not self._entries and self._file_end:
            self._path.write_bytes(b"")
            self._file_end = 0

    def _remove(self, entry: _Entry) -> None:
        del self._entries[entry.sequence]
        self._live -= entry.size
        if entry.text is not None:
            self._memory -= entry.size

    def _drop_to(self, limit: int) -> None:
        for kind in EXPENDABLE:
            queue = self._expendable[kind]
            while queue and self._live > limit:
                self._remove(queue.popleft())
                self.dropped += 1

    def _move_to_file(self, entry: _Entry) -> None:
        """Move an entry out of memory; on a full disk it is dropped if it may be, else stays."""
        if self._file_end > 2 * self._limit:
            self._compact()
        assert entry.text is not None
        try:
            self._write(entry, entry.text)
        except OSError:
            queue = self._expendable.get(entry.kind)
            if queue is not None:
                queue.remove(entry)
                self._remove(entry)
                self.dropped += 1

    def _write(self, entry: _Entry, text: bytes) -> None:
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.seek(self._file_end)
            file.write(text)
        entry.offset, entry.text = self._file_end, None
        self._file_end += entry.size
        self._memory -= entry.size

    def _compact(self) -> None:
        """Close the holes that dropped and acknowledged events left in the file."""
        stored = [(e, self._read(e)) for e in self._entries.values() if e.text is None]
        self._path.write_bytes(b"".join(text for _, text in stored))
        self._file_end = 0
        for entry, _ in stored:
            entry.offset = self._file_end
            self._file_end += entry.size

    def _read(self, entry: _Entry) -> bytes:
        if entry.text is not None:
            return entry.text
        with self._path.open("rb") as file:
            file.seek(entry.offset)
            return file.read(entry.size)
