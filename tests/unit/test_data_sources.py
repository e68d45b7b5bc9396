"""Reading sources: what is found in them, and how unusable ones are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import datasets

from modelyard.data.bundled import BUNDLED
from modelyard.data.columns import odd_number, of_texts
from modelyard.data.dataset import load
from modelyard.data.source import read
from modelyard.errors import DataError
from modelyard.experiment.model import Data

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def refusal(path: Path, content: bytes | None = None, **data: Any) -> str:
    """The message with which a file is refused."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(Data(source=path.name, **{"target": "y", **data}), path.parent)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_bundled_sets_are_scikit_learns(name: str) -> None:
    """A bundled set holds the values, columns and classes that scikit-learn gives."""
    options = {"scaled": False} if name == "diabetes" else {}
    theirs = getattr(datasets, f"load_{name}")(**options)
    table = read(f"sklearn:{name}", Path())
    target = table.columns["target"]
    if target.categories is None:
        assert np.array_equal(target.values, theirs.target)
    else:
        names = np.array(target.categories)[target.values]
        assert names.tolist() == [str(n) for n in theirs.target_names[theirs.target]]
    if name == "digits":
        assert table.images is not None
        assert table.images.dtype == np.uint8
        assert np.array_equal(table.images[..., 0], theirs.images)
    else:
        assert list(table.columns) == [*theirs.feature_names, "target"]
        ours = np.stack([table.columns[c].values for c in theirs.feature_names], axis=1)
        assert np.array_equal(ours, theirs.data)


@pytest.mark.parametrize("name", ["linnerud", "iriss", ""])
def test_unknown_bundled_set(name: str) -> None:
    """A set that isn't there is answered with those that are."""
    with pytest.raises(DataError, match="breast_cancer, diabetes, digits, iris, wine") as caught:
        read(f"sklearn:{name}", Path())
    assert caught.value.nearest == ("sklearn:iris" if name == "iriss" else None)


def test_csv_types(tmp_path: Path) -> None:
    """Numbers, dates, booleans and categories are told apart; blanks around cells don't count."""
    (tmp_path / "a.csv").write_text(
        "n, d,b,c,e\n1,2024-03-31,True, x,\n-2.5e1 ,2024-04-01T12:00,false,y,NA\nNA,,null,,null\n"
    )
    columns = read("a.csv", tmp_path).columns
    assert list(columns) == ["n", "d", "b", "c", "e"]
    assert columns["n"].cells() == [1.0, -25.0, None]
    assert columns["d"].cells() == ["2024-03-31", "2024-04-01T12:00:00", None]
    assert columns["b"].cells() == ["true", "false", None]
    assert columns["c"].cells() == ["x", "y", None]
    assert columns["e"].cells() == [None, None, None]
    assert columns["e"].categories is None


def test_csv_dialects(tmp_path: Path) -> None:
    """Semicolons, a byte order mark, CRLF, quotes with line ends and blank lines are read."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"a";b\r\n"x;1\r\ny";2\r\n\r\n"z ""q""";3\r\n')
    table = read("a.csv", tmp_path)
    assert table.columns["a"].cells() == ["x;1\r\ny", 'z "q"']
    assert table.columns["b"].cells() == [2.0, 3.0]
    assert table.first_line is None
    assert table.notes == ("Cells are separated by ';'.",)
    (tmp_path / "b.csv").write_text('"a, or b";c\n1;2\n')
    assert list(read("b.csv", tmp_path).columns) == ["a, or b", "c"]


def test_long_csv_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is parsed in many blocks gives one column, categories and all."""
    monkeypatch.setattr("modelyard.data.csv_file.BLOCK_BYTES", 1000)
    rows = [f"{i},{'abc'[i % 3]}{i % 7}" for i in range(5000)]
    (tmp_path / "a.csv").write_text("\n".join(["n,c", *rows]))
    columns = read("a.csv", tmp_path).columns
    assert columns["n"].cells() == [float(i) for i in range(5000)]
    assert columns["c"].cells() == [f"{'abc'[i % 3]}{i % 7}" for i in range(5000)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n\n", "is empty: there is no line with the names"),
        (b"a,y\n", "has no rows"),
        (b"a,y\n1,2\n3\n", "line 3 has 1 cells where the first line has 2 names ('3')"),
        (b'a,y\n"1\n1",2\n3,4,5\n', "line 4 has 3 cells"),
        (b"a,y,a\n1,2,3\n", "2 columns named 'a' (the 1 and 3 of line 1)"),
        (b"a,y\n1,2\n3,caf\xe9\n", "line 3, column 'y' is not UTF-8: b'caf\\xe9'"),
        (b"a,caf\xe9\n1,2\n", "line 1 is not UTF-8: b'caf\\xe9'"),
        (b"\xff\xfea\0,\0", "UTF-16"),
        (PNG, "is not CSV: it is a PNG image"),
        (b"<!DOCTYPE html>\n<html>", "is not CSV: it is an HTML page"),
        (b'  {"a": 1}', "is not CSV: it is JSON"),
        (b"PK\x03\x04rest", "is not CSV: it is a ZIP archive"),
        (b"a,y\n1,\0\n", "is not CSV: it is a binary file"),
        (b"a,b\n1,2\n", "has no column 'y'; the first line must hold the names"),
        (b"a,Y\n1,2\n", "has no column 'y'; did you mean 'Y'?"),
        (b"a,y\n1,2\n3,\n4,NA\n5,1\n", "target 'y' has no value in 2 of 4 rows: lines 3, 4"),
        (b"a,y\n1,2.5\n3,inf\n", "target 'y' is infinite or beyond 1e+150 in 1 of 2 rows: line 3"),
        (b"a,y\n1,2.5\n3,1e200\n", "target 'y' is infinite or beyond 1e+150 in 1 of 2 rows"),
        (b"a;y\n1;2,5\n3;1\n", "target 'y' has numbers written such as '2,5'. Write numbers as 12"),
        (b'a,y\n1,"1,001"\n2,"2,002"\n', "target 'y' has numbers written such as '1,001'"),
        (b",,y\n1,2,3\n", "2 columns without a name (the 1 and 2 of line 1)"),
        (b"1,2,1\n1,2,3\n", "2 columns named '1' (the 1 and 3 of line 1); the first line must"),
        (
            b"a,y\n1,2,\n3,4,\n",
            "line 2 has 3 cells where the first line has 2 names ('1,2,'); it e",
        ),
        (
            b"Sales\n\na,y\n1,2\n",
            "in double quotes, and remove 'Sales' if that is no line of names",
        ),
        (b"sep=,\na,b,y\n1,2,3\n", "and remove 'sep=,' if that is no line of names"),
        (b'a,y\n1,2\n"3,4\n5,6\n', "line 3 has 1 cells"),
        (b'a,y\n1,2\n"3,4\n5,6\n', "is a double quote left open there?"),
        (b"a,y\n" + b"long " * 50_000 + b",1\n2\n", "line 3 has 1 cells"),
        (b"a,y\n" + b"1,2\n" * 2000 + b"x\0y,1\n", "line 2002 holds a byte 0, as no text does"),
        (b"a,y\n" + b"1,2\n" * 2000 + b"x\0y,1\n", "the file (data.drop comes too late for it)"),
        (
            "a,y\n1,2\n".encode("utf-16"),
            "UTF-16 text; save it as UTF-8, such as with iconv -f UTF-16 ",
        ),
        ("a,y\n1,2\n".encode("utf-16-le"), "UTF-16 text; save it as UTF-8"),
        ("a,y\n1,2\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("a,y\n1,2\n".encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
        ("a,y\n1,2\n".encode("utf-32"), "UTF-32 text; save it as UTF-8"),
        (b"a,y\n1,x\n3,x\n", "only one class: 'x' in every row"),
        (b"a,y\n1,2\n3,2\n", "target 'y' is 2 in every row"),
        (b"a,y\n1,2024-01-01\n3,2024-01-02\n", "target 'y' holds dates"),
        (b"a,y\n1,p\n3,q\n3,r\n", "another text in every row (p, q, r)"),
        (b"y\n1\n3\n", "no column left to learn from"),
    ],
)
def test_unusable_csv(tmp_path: Path, content: bytes, message: str) -> None:
    """Unusable CSV is refused with the file, and the line and column at fault."""
    said = refusal(tmp_path / "a.csv", content)
    assert said.startswith("a.csv")
    assert message in said


def test_number_target_with_stray_text(tmp_path: Path) -> None:
    """Text among the numbers of a target is named with its line, not made a class."""
    rows = "".join(f"{i},{i * 1.5}\n" for i in range(30))
    said = refusal(tmp_path / "a.csv", f"a,y\n{rows}1,?\n".encode())
    assert said == "a.csv, target 'y' holds text among its numbers: '?' in line 32"


@pytest.mark.parametrize(
    "labels",
    [
        [f"{114 + i} {55 - i}" for i in range(21)],
        ["1", "2", "1,2,3", "0,1,2"],
        [f"{i} %, {i}" for i in range(21)],
    ],
)
def test_labels_of_digits_are_no_numbers(tmp_path: Path, labels: list[str]) -> None:
    """Blanks and commas that part no thousands make labels, not numbers in an odd writing."""
    rows = "".join(f'{i},"{label}"\n' for i, label in enumerate(labels * 3))
    (tmp_path / "a.csv").write_text("a,y\n" + rows)
    card = load(Data(source="a.csv", target="y"), tmp_path).card
    assert card.classes == tuple(sorted(labels))


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        *((text, True) for text in ("1,234", "1 234", "12 %", "€6.5", "1.234,50", "2'000'000")),
        *(
            (text, True)
            for text in ("-1,234.5", "1\u202f234,5 €", "-$5", "$-5", "12,34,567", "2,5")
        ),
        *(
            (text, False)
            for text in ("114 55", "1,2,3", "1,234 567", "1,2345,678", "5 6", "%", "-")
        ),
    ],
)
def test_odd_numbers(text: str, odd: bool) -> None:
    """Decimal commas, grouped thousands, percent and currencies are odd numbers; no more is."""
    assert odd_number(of_texts(["1.5", text])) == (text if odd else None)


def test_many_rows_are_counted(tmp_path: Path) -> None:
    """Of many rows the first five are listed."""
    said = refusal(tmp_path / "a.csv", b"a,y\n" + b"1,\n" * 12 + b"1,2\n")
    assert "12 of 13 rows: lines 2, 3, 4, 5, 6 and 7 more" in said


def test_missing_files(tmp_path: Path) -> None:
    """A file that isn't there, a folder, an unknown ending and a remote file are refused."""
    (tmp_path / "customers.csv").write_text("a,y\n1,2\n")
    (tmp_path / "notes.txt").write_text("a,y\n1,2\n")
    assert "did you mean 'customers.csv'?" in refusal(tmp_path / "customer.csv")
    with pytest.raises(DataError, match=r"is a folder; name one of its files: customers\.csv"):
        read(".", tmp_path)
    assert ".csv, .tsv, .parquet, .npz" in refusal(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="there is no folder"):
        read("nowhere/a.csv", tmp_path)
    with pytest.raises(DataError, match="which the prepare stage reads"):
        read("s3://bucket/a.csv", tmp_path)


def parquet(path: Path, **columns: Any) -> Path:
    """A Parquet file of these columns."""
    pq.write_table(pa.table(columns), path)
    return path


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    """What the system says of a path is passed on, not thrown."""
    with pytest.raises(DataError, match=r"\.csv can't be read: File name too long"):
        read("a" * 300 + ".csv", tmp_path)


def test_parquet_types(tmp_path: Path) -> None:
    """Every plain Parquet type becomes numbers, dates or categories."""
    day = np.array(["2024-01-01", "2024-01-02T06:00", "NaT"], dtype="datetime64[s]")
    parquet(
        tmp_path / "a.parquet",
        i=pa.array([1, None, 3], pa.int32()),
        f=pa.array([1.5, float("nan"), None]),
        d=pa.array(["1.20", None, "3.00"]).cast(pa.decimal128(9, 2)),
        b=pa.array([True, False, None]),
        s=pa.array(["x", " NA ", None]),
        c=pa.array(["x", "y", None]).dictionary_encode(),
        t=pa.array(day),
        n=pa.nulls(3),
        v=pa.array(["x", "y", None]).cast(pa.string_view()),
    )
    table = read("a.parquet", tmp_path)
    cells = {name: column.cells() for name, column in table.columns.items()}
    assert cells == {
        "i": [1.0, None, 3.0],
        "f": [1.5, None, None],
        "d": [1.2, None, 3.0],
        "b": ["true", "false", None],
        "s": ["x", None, None],
        "c": ["x", "y", None],
        "t": ["2024-01-01", "2024-01-02T06:00:00", None],
        "n": [None, None, None],
        "v": ["x", "y", None],
    }
    assert table.integers == {"i"}


def test_unusable_parquet(tmp_path: Path) -> None:
    """Parquet that is something else, cut short, damaged, empty or nested is refused as such."""
    path = parquet(tmp_path / "a.parquet", a=list(range(999)), y=["p", "q", "r"] * 333)
    whole = path.read_bytes()
    assert "is not Parquet: it is text, perhaps a CSV file" in refusal(path, b"a,y\n1,2\n")
    assert "is not Parquet: it is a PNG image" in refusal(path, PNG)
    assert "is cut short" in refusal(path, whole[:-20])
    assert "is damaged" in refusal(path, whole[:40] + b"\xff" * (len(whole) - 44) + b"PAR1")
    assert "is empty (0 bytes)" in refusal(path, b"")
    parquet(path, a=pa.array([], pa.int8()), y=pa.array([], pa.int8()))
    assert "has no rows" in refusal(path)
    parquet(path, a=[[1], [2]], y=[1, 2])
    assert "column 'a' holds list<" in refusal(path)
    parquet(path, a=pa.array([0, 10**15], pa.timestamp("s")), y=[1, 2])
    assert "column 'a' has a date outside the years 1 to 9999 in row 2" in refusal(path)
    assert "the column out of the file (data.drop comes too late" in refusal(path, drop=["a"])
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["y", "y"]), path)
    assert "2 columns named 'y'" in refusal(path)


def npz(path: Path, **arrays: Any) -> Path:
    """An NPZ file of these arrays."""
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("x", "shape", "kind"),
    [
        (np.zeros((6, 4, 5), np.uint8), (4, 5, 1), np.uint8),
        (np.full((6, 4, 5, 3), 255.0), (4, 5, 3), np.uint8),
        (np.full((6, 4, 5), 256, np.int64), (4, 5, 1), np.float32),
        (np.full((6, 4, 5), -1, np.int8), (4, 5, 1), np.float32),
        (np.full((6, 4, 5), 0.5), (4, 5, 1), np.float32),
        (np.ones((6, 4, 5), bool), (4, 5, 1), np.uint8),
    ],
)
def test_npz_images(tmp_path: Path, x: Any, shape: tuple[int, ...], kind: type) -> None:
    """Images become uint8 where that holds their values, else float32, with their values."""
    npz(tmp_path / "a.npz", images=x, labels=np.arange(6) % 2)
    dataset = load(Data(source="a.npz"), tmp_path)
    assert dataset.card.kind == "image"
    assert dataset.card.shape == shape
    assert dataset.rows.images is not None
    assert dataset.rows.images.dtype == kind
    assert np.array_equal(dataset.rows.images.reshape(x.shape), x.astype(np.float64))


def test_npz_table(tmp_path: Path) -> None:
    """Features become columns x0, x1, …; a further array of one value a row is one, too."""
    npz(
        tmp_path / "a.npz",
        x=np.arange(8.0).reshape(4, 2),
        y=np.array(["a", "b", "a", "b"]),
        site=np.array([b"n", b"s", b"n", b"s"]),
        other=np.zeros((3, 3)),
    )
    dataset = load(Data(source="a.npz"), tmp_path)
    assert [c.name for c in dataset.card.columns] == ["x0", "x1", "site"]
    assert dataset.card.classes == ("a", "b")
    assert dataset.rows.columns["x1"].cells() == [1.0, 3.0, 5.0, 7.0]
    assert "Arrays that don't fit the rows are not used: other." in dataset.card.notes


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_unusable_npz(tmp_path: Path) -> None:
    """NPZ without inputs or target, cut short, ragged, or with pickled objects is refused."""
    path = npz(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.arange(4))
    whole = path.read_bytes()
    assert "is not NPZ: it is cut short or damaged" in refusal(path, whole[:-30])
    assert "is not NPZ: it is text" in refusal(path, b"x,y\n1,2\n")
    assert "is damaged" in refusal(path, whole.replace(b"\0" * 64, b"\1" * 64))
    npz(path, features=np.zeros((4, 2)), y=np.arange(4))
    assert "one of x, X, images, data. It holds: features, y" in refusal(path)
    npz(path, x=np.zeros((4, 2)))
    assert "one of y, labels, target. It holds: x" in refusal(path)
    npz(path, x=np.zeros((4, 2)), X=np.zeros((4, 2)), y=np.arange(4))
    assert "has x and X for the inputs" in refusal(path)
    npz(path, x=np.zeros((4, 2)), y=np.arange(5))
    assert "array 'y' has shape (5,) where 'x' has 4 rows" in refusal(path)
    npz(path, x=np.zeros(4), y=np.arange(4))
    assert "array 'x' has shape (4,)" in refusal(path)
    npz(path, x=np.zeros((0, 2)), y=np.arange(0))
    assert "has no rows" in refusal(path)
    npz(path, x=np.zeros((4, 3, 32, 32)), y=np.arange(4))
    assert "the channels come last" in refusal(path)
    npz(path, x=np.full((4, 8, 8), [[np.nan]]), y=np.arange(4))
    assert "row 1 has a pixel that is NaN, infinite or beyond float32" in refusal(path)
    npz(path, x=np.full((4, 8, 8), 1e300), y=np.arange(4))
    assert "row 1 has a pixel that is NaN, infinite or beyond float32" in refusal(path)
    npz(path, x=np.zeros((2, 8, 8)), y=np.array([b"caf\xc3\xa9", b"caf\xe9"]))
    assert "array 'y', row 2 is not UTF-8: b'caf\\xe9'" in refusal(path)


def zipped(path: Path, header: dict[str, Any], size: int) -> Path:
    """An NPZ file whose x is a head and some packed zeros."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, header)
    with zipfile.ZipFile(npz(path, y=np.arange(4)), "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", head.getvalue() + bytes(size))
    return path


def test_npz_that_unpacks_to_more_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip bomb isn't unpacked, nor is an array made that the file only promises."""
    kind = {"descr": "|u1", "fortran_order": False}
    path = zipped(tmp_path / "a.npz", {**kind, "shape": (4, 500, 500)}, 1_000_000)
    with monkeypatch.context() as patch:
        memory = psutil.virtual_memory().total
        patch.setattr("modelyard.data.npz_file.MEMORY_SHARE", 500_000 / memory)
        said = refusal(path)
    assert "to 1,000,288 bytes (most of them array 'x'), and this machine has" in said
    zipped(path, {**kind, "shape": (1 << 40, 1 << 10)}, 100)
    assert "array 'x' can't be read: Unable to allocate 1.00 PiB" in refusal(path)
    with zipfile.ZipFile(npz(path, y=np.arange(4)), "a") as file:
        file.writestr("x.npy", b"\x93NUMPY\1\0\7\0{'a': (" + bytes(9))
    assert "array 'x' can't be read: " in refusal(path)


def test_npz_that_packs_well(tmp_path: Path) -> None:
    """One-hot codes, which pack as well as a bomb does, are read."""
    x = np.eye(1000, dtype=np.float32)[np.arange(500)]
    np.savez_compressed(tmp_path / "a.npz", x=x, y=np.arange(500) % 2)
    assert (tmp_path / "a.npz").stat().st_size * 200 < x.nbytes
    assert read("a.npz", tmp_path).rows == 500


def test_npz_under_a_password(tmp_path: Path) -> None:
    """An encrypted archive is refused by the name of its array."""
    path = npz(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.arange(4))
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"PK\3\4") + 6] |= 1
    raw[raw.find(b"PK\1\2") + 8] |= 1
    assert "array 'x' can't be read: File 'x.npy' is encrypted" in refusal(path, bytes(raw))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    """An array of objects is refused with the reason, and its code is not run."""
    trap = np.array([Trap(tmp_path / "ran")], dtype=object)
    path = npz(tmp_path / "a.npz", x=np.zeros((1, 2)), y=trap)
    said = refusal(path)
    assert "array 'y' holds pickled objects" in said
    assert "unpickling runs whatever code the file holds" in said
    assert not (tmp_path / "ran").exists()


def test_zip_that_is_no_npz(tmp_path: Path) -> None:
    """A ZIP archive of other files is refused."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("readme.txt", "hello")
    assert "'readme.txt', which is no NumPy array" in refusal(tmp_path / "a.npz", buffer.getvalue())
