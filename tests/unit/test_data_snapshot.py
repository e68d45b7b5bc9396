"""The snapshot: what is read is what was written, under a digest that says so."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.data.card import ColumnCard, DataCard
from modelyard.data.columns import of_texts
from modelyard.data.prepare import Prepared, prepare
from modelyard.data.rows import Rows
from modelyard.data.snapshot import open_snapshot, write_snapshot
from modelyard.data.split import Parts
from modelyard.errors import DigestMismatch
from modelyard.experiment.model import Data
from modelyard.store.folder import FolderStore

CSV = "age,region,joined,y\n" + "".join(
    f"{20 + i},{['north', 'south', 'größer', ''][i % 4]},2024-01-{i % 28 + 1:02},{'pq'[i % 2]}\n"
    for i in range(40)
)


def prepared(path: Path, *, seed: int = 7, **data: Any) -> Prepared:
    """The snapshot of a CSV in this folder."""
    (path / "a.csv").write_text(CSV)
    section = Data(source="a.csv", **{"target": "y", **data})
    base = (path / "artifacts").as_uri()
    return prepare(section, seed=seed, base=path, store=FolderStore(), store_base=base)


def test_values_come_back(tmp_path: Path) -> None:
    """Every row of the source is in one part, with its own cells and its own class."""
    done = prepared(tmp_path)
    snapshot = open_snapshot(FolderStore().fetch(done.uri))
    lines = [line.split(",") for line in CSV.splitlines()[1:]]
    seen = []
    for split, count in (("train", 28), ("validation", 6), ("test", 6)):
        records = snapshot.rows(split).records()
        assert len(records) == count
        classes = [snapshot.card.classes[i] for i in snapshot.target(split)]
        for row, record, label in zip(snapshot.source_rows(split), records, classes, strict=True):
            age, region, joined, y = lines[row]
            assert record == {"age": float(age), "region": region or None, "joined": joined}
            assert label == y
            seen.append(int(row))
    assert sorted(seen) == list(range(40))
    assert snapshot.digest == done.digest
    assert snapshot.card == done.card


def test_parts_are_mapped() -> None:
    """A part is a view of the mapped file, and can't be written to."""
    with TemporaryDirectory() as name:
        path = Path(name)
        data = Data(source="sklearn:digits")
        done = prepare(
            data, seed=7, base=path, store=FolderStore(), store_base=path.as_uri(), scratch=path
        )
        images = open_snapshot(FolderStore().fetch(done.uri)).rows("train").images
    assert images is not None
    assert images.shape == (1258, 8, 8, 1)
    assert not images.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 1


def test_prepared_again(tmp_path: Path) -> None:
    """The same data and settings have the same digest and nothing is written again."""
    first = prepared(tmp_path)
    folder = FolderStore().fetch(first.uri)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_text(CSV)
    second = prepare(
        Data(source="b.csv", target="y"),
        seed=7,
        base=tmp_path / "elsewhere",
        store=FolderStore(),
        store_base=(tmp_path / "artifacts").as_uri(),
    )
    assert second == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_digest_covers_what_decides(tmp_path: Path) -> None:
    """Values, seed, shares, folds and dropped columns each change the digest."""
    digests = {
        prepared(tmp_path).digest,
        prepared(tmp_path, seed=8).digest,
        prepared(tmp_path, folds=2).digest,
        prepared(tmp_path, drop=("age",)).digest,
        prepared(tmp_path, target="age").digest,
        prepared(tmp_path, split={"train": 0.6, "validation": 0.2, "test": 0.2}).digest,
    }
    (tmp_path / "a.csv").write_text(CSV.replace("20,north", "20.5,north"))
    changed = prepare(
        Data(source="a.csv", target="y"),
        seed=7,
        base=tmp_path,
        store=FolderStore(),
        store_base=(tmp_path / "artifacts").as_uri(),
    )
    assert len({*digests, changed.digest}) == 7


def test_concurrent_prepares(tmp_path: Path) -> None:
    """Several prepares at once end with one snapshot, which all of them name."""
    barrier = Barrier(4)
    (tmp_path / "a.csv").write_text(CSV)

    def one(_: int) -> Prepared:
        barrier.wait(timeout=120)
        return prepare(
            Data(source="a.csv", target="y"),
            seed=7,
            base=tmp_path,
            store=FolderStore(),
            store_base=(tmp_path / "artifacts").as_uri(),
        )

    with ThreadPoolExecutor(4) as pool:
        assert len({done.uri for done in pool.map(one, range(4))}) == 1
    assert len(list((tmp_path / "artifacts" / "data").iterdir())) == 1


@pytest.mark.parametrize("name", ["numbers.npy", "codes.npy", "text.npy", "target.npy", "rows.npy"])
def test_changed_after_its_digest(tmp_path: Path, name: str) -> None:
    """One flipped bit in any array is found at opening, and the file is named."""
    folder = FolderStore().fetch(prepared(tmp_path).uri)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DigestMismatch, match=name):
        open_snapshot(folder)


def test_changed_document(tmp_path: Path) -> None:
    """The document of a snapshot is under the digest too; so is its format."""
    folder = FolderStore().fetch(prepared(tmp_path).uri)
    path = folder / "snapshot.json"
    document = json.loads(path.read_text())
    for change, message in (
        ({"split": {"train": 30, "validation": 5, "test": 5}}, "changed after its digest"),
        ({"format": 2}, "has format 2; this version of Modelyard reads 1"),
    ):
        path.write_text(json.dumps({**document, **change}))
        with pytest.raises(DigestMismatch, match=message):
            open_snapshot(folder)
    path.write_text("{")
    with pytest.raises(DigestMismatch, match="can't be read as a snapshot"):
        open_snapshot(folder)


def test_damaged_snapshot_is_written_anew(tmp_path: Path) -> None:
    """Preparing again mends a snapshot that was damaged in the store."""
    first = prepared(tmp_path)
    path = FolderStore().fetch(first.uri) / "numbers.npy"
    path.write_bytes(b"gone")
    assert prepared(tmp_path).uri == first.uri
    open_snapshot(FolderStore().fetch(first.uri))


cells = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=8))
columns = st.integers(3, 12).flatmap(
    lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
)


@settings(max_examples=25)
@given(columns)
def test_any_cells_come_back(table: list[list[str | None]]) -> None:
    """Whatever stands in the cells, it is read back as it was understood."""
    count = len(table[0])
    rows = Rows(columns={f"c{i}": of_texts(texts) for i, texts in enumerate(table)})
    card = DataCard(
        kind="table",
        task="regression",
        rows=count,
        target="y",
        columns=tuple(
            ColumnCard(
                name=name,
                type="number" if column.categories is None else "category",
                missing=0,
                unique=0,
                date=column.date,
            )
            for name, column in rows.columns.items()
        ),
    )
    parts = Parts(np.arange(count - 2), np.array([count - 2]), np.array([count - 1]))
    with TemporaryDirectory() as name:
        target = np.arange(float(count))
        write_snapshot(Path(name), card=card, rows=rows, target=target, parts=parts, settings={})
        snapshot = open_snapshot(Path(name))
        found = [r for s in ("train", "validation", "test") for r in snapshot.rows(s).records()]
    assert found == rows.records()
