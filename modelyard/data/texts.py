"""Texts as bytes with offsets: one array that a snapshot maps, and a text is a slice of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A column of texts that are read word by word.

    Args:
        name: of the column.
        data: (bytes,) uint8, UTF-8.
        starts, ends: (n,) int64, where each text lies in ``data``.
    """

    name: str
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, texts: Iterable[str]) -> Texts:
        """Texts from strings; a surrogate that is no character becomes a question mark."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls.of_bytes(name, data, ends)

    @classmethod
    def of_bytes(cls, name: str, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> Texts:
        """Texts that lie one after the other in ``data``."""
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
        return cls(name=name, data=data, starts=starts, ends=ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        view = memoryview(self.data)  # type: ignore[arg-type]
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield str(view[start:end], "utf-8")

    @property
    def bytes(self) -> NDArray[np.int64]:
        """(n,) size of each text in bytes."""
        return self.ends - self.starts

    def take(self, indices: NDArray[Any] | slice) -> Texts:
        """The texts at ``indices``; no text is copied."""
        return Texts(
            name=self.name, data=self.data, starts=self.starts[indices], ends=self.ends[indices]
        )

    def packed(self) -> Texts:
        """The same texts one after the other, with nothing between them."""
        pieces = [self.data[a:b] for a, b in zip(self.starts, self.ends, strict=True)]
        data = np.concatenate([np.empty(0, np.uint8), *pieces])
        return Texts.of_bytes(self.name, data, np.cumsum(self.bytes, dtype=np.int64))
