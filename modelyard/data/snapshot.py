"""The snapshot: raw values and their split under one digest, read by mapping, never unpickled.

``snapshot.json`` names format, card, settings and the BLAKE3 of each array; its own digest is
the snapshot's. Arrays are plain ``.npy`` files, rows in the order training, validation, test,
so that each part is a view of the mapped file and all trials share its pages:

    rows.npy            (n,) int64, the row of the source, from 0
    target.npy          (n,) int64 class index, or float64
    images.npy          (n, H, W, C) uint8 or float32
    numbers.npy         (columns, n) float64, 0 where missing
    missing.npy         (columns, n) bool, of the numbers
    codes.npy           (columns, n) int32, index of the text within its column, -1 where missing
    text.npy            uint8, all columns' distinct texts in UTF-8, one after the other
    text_ends.npy       int64, where each of them ends
    documents.npy       uint8, the texts of kind text in UTF-8, one after the other
    document_ends.npy   (n,) int64, where each of them ends
    folds.npy           (repeats, training and validation rows) int64, the fold that each row is
                        measured in, from 1, 0 for none; only where there are folds
"""

from __future__ import annotations

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from modelyard.contract import digest_of
from modelyard.data.card import DataCard
from modelyard.data.rows import Column, Part, Rows
from modelyard.data.split import Folds, Indices, Parts, learnt_in, sample
from modelyard.data.texts import Texts
from modelyard.errors import DigestMismatch
from modelyard.store.manifest import Entry, digest_file, verify

FORMAT = 1
FILE = "snapshot.json"
SplitName = Literal["train", "validation", "test"]


def write_snapshot(
    folder: Path,
    *,
    card: DataCard,
    rows: Rows,
    target: NDArray[Any],
    parts: Parts,
    settings: dict[str, Any],
    folds: Folds | None = None,
) -> str:
    """Write a snapshot into an empty folder.

    Args:
        folds: of training and validation rows together, in that order.
        settings: whatever decided the split, JSON-able; part of the digest.

    Returns:
        The digest, over values, split and settings; the card's notes are not in it.
    """
    order = np.concatenate(parts)
    arrays = {
        "rows": order,
        "target": target[order],
        **({} if rows.images is None else {"images": rows.images[order]}),
        **_documents(rows, order),
        **_columns(rows, order),
        **({} if folds is None else {"folds": folds.numbers}),
    }
    files = {}
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        np.save(path, array, allow_pickle=False)
        files[path.name] = Entry(blake3=digest_file(path), bytes=path.stat().st_size).model_dump()
    document = {
        "format": FORMAT,
        "card": card.model_dump(mode="json"),
        "texts": [len(c.categories) for c in rows.columns.values() if c.categories is not None],
        "split": dict(zip(get_args(SplitName), map(len, parts), strict=True)),
        "settings": settings,
        **({} if folds is None else {"forward": folds.forward}),
        "files": files,
    }
    digest = _digest(document)
    (folder / FILE).write_text(json.dumps({**document, "digest": digest}, indent=1))
    return digest


def open_snapshot(folder: Path) -> Snapshot:
    """Open a snapshot and check that it is what its digest says.

    A large one is hashed once on a machine for as long as its files stay as they are (see
    ``modelyard.store``); all later openings cost milliseconds.

    Raises:
        DigestMismatch: a file changed; names it.
        FileNotFoundError: there is no snapshot in this folder.
    """
    path = folder / FILE
    text = path.read_bytes()
    try:
        document = json.loads(text)
        version, digest = document["format"], document["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise DigestMismatch(f"{path} is damaged and can't be read as a snapshot") from error
    if version != FORMAT:
        raise DigestMismatch(
            f"{path} has format {version!r}; this version of Modelyard reads {FORMAT}. "
            "Run the experiment again to prepare its data"
        )
    if _digest(document) != digest:
        raise DigestMismatch(f"{path} changed after its digest {digest[:16]}… was taken")
    verify(folder, {name: Entry(**entry) for name, entry in document["files"].items()})
    return Snapshot(folder, document)


class Snapshot:
    """An opened snapshot. All arrays are read-only views of mapped files.

    Made by ``open_snapshot``. Any number of processes may hold one.
    """

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self._folder = folder
        self._texts: list[int] = document["texts"]
        self.card = DataCard.model_validate(document["card"])
        self.digest: str = document["digest"]
        self.settings: dict[str, Any] = document["settings"]
        ends = np.cumsum([document["split"][name] for name in get_args(SplitName)]).tolist()
        self._forward: bool = document.get("forward", False)
        self._has_folds = "folds.npy" in document["files"]
        self._places: dict[SplitName, slice | Indices] = {
            name: slice(start, end)
            for name, start, end in zip(get_args(SplitName), [0, *ends], ends, strict=False)
        }

    def rows(self, split: SplitName) -> Rows:
        """The rows of a part: views, but of a fold or a sample copies in memory."""
        return self._all.take(self._places[split])

    def part(self, split: SplitName) -> Part:
        """The rows of a part, of folds and samples too, to be read as they are needed."""
        places = self._places[split]
        if isinstance(places, slice):
            return Part(source=self._all.take(places))
        return Part(source=self._all, places=places)

    def target(self, split: SplitName) -> NDArray[Any]:
        """(n,) int64 class index, or float64."""
        return self._array("target")[self._places[split]]

    def source_rows(self, split: SplitName) -> NDArray[np.int64]:
        """(n,) the row of the source, from 0, that each row was."""
        return self._array("rows")[self._places[split]]

    def fold(self, repeat: int, fold: int) -> Snapshot:
        """The same rows, training and validation part as one fold has them; test as it is.

        Args:
            repeat, fold: from 1. Without folds each repeat has the snapshot's own parts.
        """
        if not self._has_folds:
            return self
        numbers = self._array("folds")[repeat - 1]
        return self._with(
            f"repeat {repeat}, fold {fold}",
            train=np.flatnonzero(learnt_in(numbers, fold, forward=self._forward)),
            validation=np.flatnonzero(numbers == fold),
        )

    def sampled(self, share: float, seed: int) -> Snapshot:
        """The same rows with a share of the training part, the classes' shares kept in it.

        Args:
            share: above 0, to 1.
            seed: decides which rows; with it a smaller share is part of a larger one.
        """
        if share == 1:
            return self
        target = self._array("target")
        strata = target if self.card.classes else np.zeros(len(target), np.int64)
        rows = np.arange(len(target))[self._places["train"]]
        return self._with(f"sample {share:g}", train=sample(rows, strata, share, seed))

    def _with(self, what: str, *, train: Indices, validation: Indices | None = None) -> Snapshot:
        """The same rows in other parts, under a digest that says so."""
        other = copy.copy(self)
        other._places = {**self._places, "train": train}
        if validation is not None:
            other._places["validation"] = validation
        other.digest = f"{self.digest} {what}"
        return other

    def _array(self, name: str) -> NDArray[Any]:
        """A plain array over the mapped file: slicing a ``memmap`` costs ten times as much."""
        path = self._folder / f"{name}.npy"
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped.view(np.ndarray)

    @cached_property
    def _all(self) -> Rows:
        if self.card.kind == "image":
            return Rows(columns={}, images=self._array("images"))
        if self.card.kind == "text":
            name = self.card.columns[0].name
            data, ends = self._array("documents"), self._array("document_ends")
            return Rows(columns={}, texts=Texts.of_bytes(name, data, ends))
        numbers, texts = iter(self._numbers()), iter(self._categories())
        return Rows(
            columns={
                card.name: next(numbers if card.type == "number" else texts)
                for card in self.card.columns
            }
        )

    def _numbers(self) -> list[Column]:
        cards = [card for card in self.card.columns if card.type == "number"]
        if not cards:
            return []
        cells = zip(cards, self._array("numbers"), self._array("missing"), strict=True)
        return [Column(values=v, missing=m, date=card.date) for card, v, m in cells]

    def _categories(self) -> list[Column]:
        if not self._texts:
            return []
        text = self._array("text").tobytes()
        ends = self._array("text_ends").tolist()
        words = [text[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)]
        starts = np.cumsum([0, *self._texts]).tolist()
        return [
            Column(values=codes, missing=codes < 0, categories=tuple(words[start : start + count]))
            for codes, start, count in zip(self._array("codes"), starts, self._texts, strict=False)
        ]


def _documents(rows: Rows, order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The arrays of texts, rows in the given order."""
    if rows.texts is None:
        return {}
    packed = rows.texts.take(order).packed()
    return {"documents": packed.data, "document_ends": packed.ends}


def _columns(rows: Rows, order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The arrays of a table, rows in the given order."""
    numbers = [c for c in rows.columns.values() if c.categories is None]
    texts = [c for c in rows.columns.values() if c.categories is not None]
    arrays: dict[str, NDArray[Any]] = {}
    if numbers:
        arrays["numbers"] = np.stack([c.values[order] for c in numbers])
        arrays["missing"] = np.stack([c.missing[order] for c in numbers])
    if texts:
        words = [text.encode() for c in texts for text in c.categories or ()]
        arrays["codes"] = np.stack([c.values[order] for c in texts])
        arrays["text"] = np.frombuffer(b"".join(words), dtype=np.uint8)
        arrays["text_ends"] = np.cumsum([len(word) for word in words], dtype=np.int64)
    return arrays


def _digest(document: dict[str, Any]) -> str:
    """Over all but the digest itself and the card's notes, whose wording decides nothing."""
    card = {key: value for key, value in document["card"].items() if key != "notes"}
    kept = {key: value for key, value in document.items() if key != "digest"}
    return digest_of({**kept, "card": card})
