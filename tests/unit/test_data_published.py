"""Published sets, read from small files in their true formats, and damaged ones refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelyard.data.dataset import Dataset, load
from modelyard.data.named import READERS
from modelyard.data.partition import partition
from modelyard.data.published import PUBLISHED
from modelyard.data.source import read
from modelyard.data.split import Parts
from modelyard.errors import DataError
from modelyard.experiment.model import Data
from modelyard.experiment.places import SETS
from tests.support.published import (
    idx,
    sgml,
    write_cifar_10,
    write_cifar_100,
    write_gtsrb,
    write_imdb,
    write_kepler,
    write_mnist,
    write_picture,
    write_reuters,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The folder of a set, below a folder of sets of the test's own."""
    monkeypatch.setenv("MODELYARD_DATASETS", str(tmp_path / "sets"))
    return lambda name: tmp_path / "sets" / name


def prepared(name: str, **data: object) -> tuple[Dataset, Parts]:
    """A set as the prepare stage sees it, and its split."""
    section = Data.model_validate({"source": name, **data})
    dataset = load(section, Path())
    return dataset, partition(dataset, section, 7)


def refusal(name: str) -> str:
    """The message with which a set is refused."""
    with pytest.raises(DataError) as caught:
        load(Data(source=name), Path())
    return str(caught.value)


def test_every_set_has_a_reader() -> None:
    """What can be downloaded can be read, and the other way round."""
    assert set(READERS) == set(PUBLISHED) == set(SETS)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_an_absent_set_says_how_to_get_it(name: str, folder: Callable[[str], Path]) -> None:
    """A set that isn't there is answered with its folder and the command that downloads it."""
    said = refusal(name)
    assert str(folder(name)) in said
    assert f"`modelyard data get {name}` downloads it" in said


def test_an_archive_that_is_still_packed_is_said(folder: Callable[[str], Path]) -> None:
    """An archive put there by hand needs only to be unpacked."""
    folder("cifar-10").mkdir(parents=True)
    (folder("cifar-10") / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b")
    assert "unpacks cifar-10-binary.tar.gz, which lies there" in refusal("cifar-10")


@pytest.mark.parametrize("packed", [True, False])
def test_mnist(packed: bool, folder: Callable[[str], Path]) -> None:
    """MNIST is read gzipped or not; its test part stays, validation comes from training."""
    write_mnist(folder("mnist"), packed=packed)
    dataset, parts = prepared("MNIST")
    assert dataset.card.shape == (28, 28, 1)
    assert dataset.card.classes == tuple("0123456789")
    assert dataset.rows.images is not None
    assert dataset.rows.images.dtype == np.uint8
    assert dataset.rows.images[13, :, 6, 0].tolist() == [200] * 28
    assert parts.test.tolist() == list(range(40, 60))
    assert sorted([*parts.train, *parts.validation]) == list(range(40))
    # 0.15 of 0.85, rounded, and one of each class at least.
    assert len(parts.validation) == 10
    assert np.bincount(dataset.target[parts.validation]).tolist() == [1] * 10
    assert any("test part stays the test part" in note for note in dataset.card.notes)
    assert any("60,000 and 10,000 are published" in note for note in dataset.card.notes)


def test_fashion_mnist_has_names(folder: Callable[[str], Path]) -> None:
    """Fashion-MNIST is the same format with other classes."""
    write_mnist(folder("fashion-mnist"))
    dataset, _ = prepared("fashion_mnist")
    assert dataset.card.classes[:2] == ("T-shirt/top", "Trouser")


IMAGES = np.zeros((3, 28, 28))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "train-images-idx3-ubyte",
            idx(IMAGES)[:-5],
            "is cut short: its head promises 3 × 28 × 28",
        ),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"\0", "is too long"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:9], "ends inside its head, after 9 bytes"),
        ("train-images-idx3-ubyte", b"", "begins with nothing, not with 00000803"),
        ("train-images-idx3-ubyte", idx(IMAGES, b"\0\0\x0d\3"), "begins with 00000d03"),
        ("train-images-idx3-ubyte", gzip.compress(idx(IMAGES), mtime=0), "but a gzip file"),
        ("train-images-idx3-ubyte", idx(np.zeros((3, 8, 8))), "images of 8 × 8; mnist has 28 × 28"),
        ("train-labels-idx1-ubyte", idx(np.zeros(39)), "39 labels for the 40 images"),
        ("t10k-labels-idx1-ubyte", idx(np.full(20, 11)), "label 1 is 11; mnist has 0 to 9"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_idx(
    file: str, content: bytes, message: str, folder: Callable[[str], Path]
) -> None:
    """A file of another length, magic number or count than it should be is refused by name."""
    write_mnist(folder("mnist"), packed=False)
    (folder("mnist") / file).write_bytes(content)
    said = refusal("mnist")
    assert message in said
    assert file in said


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda raw: raw[: len(raw) // 2], "is cut short or damaged"),
        (lambda raw: raw[:-8] + b"\0" * 8, "is no whole gzip file"),
        (lambda raw: b"<html>" + raw, "but an HTML page"),
        (lambda _: gzip.compress(idx(IMAGES)[:9]), "ends inside its head, after 9 bytes"),
        (lambda _: gzip.compress(idx(IMAGES) + b"\0" * 9), "is too long"),
        (lambda _: gzip.compress(idx(IMAGES)[:4] + b"\xff" * 12), "is cut short: its head promis"),
    ],
)
def test_damaged_gzip(
    cut: Callable[[bytes], bytes], message: str, folder: Callable[[str], Path]
) -> None:
    """A truncated or damaged gzip file is refused by name."""
    write_mnist(folder("mnist"))
    path = folder("mnist") / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(cut(path.read_bytes()))
    said = refusal("mnist")
    assert message in said
    assert path.name in said


def test_cifar_10(folder: Callable[[str], Path]) -> None:
    """CIFAR-10: channels become the last axis, class names come from the archive."""
    write_cifar_10(folder("cifar-10"))
    dataset, parts = prepared("cifar-10")
    assert dataset.rows.images is not None
    assert dataset.rows.images.shape == (60, 32, 32, 3)
    assert dataset.rows.images[7, 0, 0].tolist() == [1, 2, 3]
    assert dataset.card.classes[3] == "cat"
    assert parts.test.tolist() == list(range(50, 60))


def test_cifar_100(folder: Callable[[str], Path]) -> None:
    """CIFAR-100: the fine label is the target, the coarse one when the file says so."""
    write_cifar_100(folder("cifar-100"))
    fine, _ = prepared("cifar-100")
    coarse, _ = prepared("cifar-100", target="coarse_label")
    assert (len(fine.card.classes), len(coarse.card.classes)) == (100, 20)
    assert fine.card.classes[42] == "fine_42"
    assert fine.table.unlearnt == {"coarse_label", "fine_label"}


def test_damaged_cifar(folder: Callable[[str], Path]) -> None:
    """A batch that is cut short, a label out of range and missing names are refused by name."""
    write_cifar_10(folder("cifar-10"))
    root = folder("cifar-10") / "cifar-10-batches-bin"
    whole = (root / "data_batch_3.bin").read_bytes()
    (root / "data_batch_3.bin").write_bytes(whole[:-1])
    assert "data_batch_3.bin has 30,729 bytes, which is no whole number" in refusal("cifar-10")
    (root / "data_batch_3.bin").write_bytes(whole[: 3073 * 2] + b"\x0b" + whole[3073 * 2 + 1 :])
    assert "label of record 3 is 11; there are 0 to 9" in refusal("cifar-10")
    (root / "data_batch_3.bin").write_bytes(whole)
    (root / "batches.meta.txt").write_text("airplane\n")
    assert "names 1 classes; cifar-10 has 10" in refusal("cifar-10")


@pytest.mark.parametrize("file", ["cifar-10-python.tar.gz", "cifar-10-batches-py/data_batch_1"])
def test_pickled_cifar_is_refused(file: str, folder: Callable[[str], Path]) -> None:
    """The version for Python is answered with the name of the binary one, and never read."""
    path = folder("cifar-10") / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x80\x02}q\x01.")
    said = refusal("cifar-10")
    assert f"{path} is of the version for Python, which is pickled" in said
    assert "cifar-10-binary.tar.gz" in said


def test_gtsrb(folder: Callable[[str], Path]) -> None:
    """GTSRB: one size, said; the images of one sign stay together, the test part stays."""
    write_gtsrb(folder("gtsrb"), classes=(0, 7, 11))
    dataset, parts = prepared("gtsrb")
    assert dataset.rows.images is not None
    assert dataset.rows.images.shape == (42, 32, 32, 3)
    assert dataset.rows.images[-1, 5, 5].tolist() == [11, 11, 11]
    assert dataset.card.classes == ("0", "7", "11")
    assert parts.test.tolist() == list(range(36, 42))
    tracks = dataset.table.columns["track"].values
    assert not set(tracks[parts.train]) & set(tracks[parts.validation])
    assert len(set(tracks[:36])) == 12
    assert any("4 sizes, 15 × 16 to 40 × 40" in note for note in dataset.card.notes)
    assert dataset.table.unlearnt == {"track"}


def test_damaged_gtsrb(folder: Callable[[str], Path]) -> None:
    """Annotations without their images, of another class, or images cut short are named."""
    root = folder("gtsrb")
    write_gtsrb(root)
    first = root / "GTSRB/Final_Training/Images/00000"
    picture = (first / "00001_00000.ppm").read_bytes()
    (first / "00001_00000.ppm").write_bytes(picture[:50])
    assert "00000/00001_00000.ppm is damaged or cut short" in refusal("gtsrb")
    (first / "00001_00000.ppm").unlink()
    assert "GT-00000.csv, line 5: " in refusal("gtsrb")
    (first / "00001_00000.ppm").write_bytes(picture)
    lines = (first / "GT-00000.csv").read_text()
    (first / "GT-00000.csv").write_text(lines.replace("10;0\n", "10;3\n", 1))
    assert "00000_00000.ppm is of class 3; it lies in the folder of class 0" in refusal("gtsrb")
    (first / "GT-00000.csv").write_text(lines.replace("10;0\n", "10;43\n", 1))
    assert "line 2: ClassId is 43.0; there are 0 to 42" in refusal("gtsrb")
    (root / "GT-final_test.csv").unlink()
    (first / "GT-00000.csv").write_text(lines)
    assert "GT-final_test.csv is not in" in refusal("gtsrb")


def test_imdb(folder: Callable[[str], Path]) -> None:
    """IMDB: reviews with their mark, without HTML's line breaks, the unlabelled left out."""
    write_imdb(folder("imdb"))
    dataset, parts = prepared("imdb")
    assert dataset.card.kind == "text"
    assert dataset.card.classes == ("neg", "pos")
    assert dataset.rows.texts is not None
    texts = list(dataset.rows.texts)
    assert texts[0] == "I didn't like it; café scenes train0"
    assert texts[4] == "I loved it  Great! train0"
    assert len(texts) == 16
    assert parts.test.tolist() == list(range(8, 16))


def test_damaged_imdb(folder: Callable[[str], Path]) -> None:
    """A review in another encoding is named with byte and fix; an empty folder is named too."""
    write_imdb(folder("imdb"))
    review = folder("imdb") / "aclImdb/test/pos/1_7.txt"
    review.write_bytes(b"caf\xe9")
    said = refusal("imdb")
    assert "aclImdb/test/pos/1_7.txt is not UTF-8: byte 4 is 0xe9; save it as UTF-8" in said
    review.write_bytes("café".encode("utf-16"))
    assert "it is UTF-16 text; save it as UTF-8, such as with iconv" in refusal("imdb")
    for path in review.parent.iterdir():
        path.unlink()
    assert "aclImdb/test/pos has no reviews" in refusal("imdb")


def test_reuters(folder: Callable[[str], Path]) -> None:
    """Reuters: the ModApte split, documents of one topic; what is left out is said."""
    write_reuters(folder("reuters"))
    dataset, parts = prepared("reuters")
    assert dataset.card.classes == ("acq", "earn")
    assert dataset.rows.texts is not None
    texts = list(dataset.rows.texts)
    assert texts[0] == "Profit 0 <X & Y>\nProfit 0 <X & Y> said.\n Reuter"
    assert texts[-1].startswith("München")
    assert [dataset.table.names[i] for i in parts.test] == [  # type: ignore[index]
        f"document {i}" for i in range(20, 25)
    ]
    said = " ".join(dataset.card.notes)
    assert "Of 17 documents of the ModApte split, 1 with several topics and 1 with none" in said
    assert "1 documents of 1 topics with too few of them" in said
    assert "2 of the 22 published files" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sgml(1, ["earn"], "x"), "doesn't begin with <!DOCTYPE lewis"),
        ("<!DOCTYPE lewis>\n" + sgml(77, ["earn"], "x")[:-12], "document 77 has no </REUTERS>"),
        (
            "<!DOCTYPE lewis>\n" + sgml(77, ["earn"], "x")[:-12] + sgml(78, ["earn"], "x"),
            "document 77 has no </REUTERS>",
        ),
        ("<!DOCTYPE lewis>\n", "has no document"),
    ],
)
def test_damaged_reuters(content: str, message: str, folder: Callable[[str], Path]) -> None:
    """A file that is cut short, or something else, is named with the document."""
    write_reuters(folder("reuters"))
    (folder("reuters") / "reut2-001.sgm").write_text(content)
    said = refusal("reuters")
    assert message in said
    assert "reut2-001.sgm" in said


def test_kepler(folder: Callable[[str], Path]) -> None:
    """Comments are passed over, rows without disposition left out, stars kept together."""
    write_kepler(folder("kepler"))
    dataset, parts = prepared("kepler")
    assert dataset.card.target == "koi_disposition"
    assert dataset.card.classes == ("CANDIDATE", "CONFIRMED", "FALSE POSITIVE")
    assert [column.name for column in dataset.card.columns] == ["koi_period", "koi_prad"]
    assert dataset.card.columns[1].missing == 9
    stars = dataset.table.columns["kepid"].values
    assert len({*stars[parts.train]} & {*stars[parts.test]}) == 0
    assert len({*stars[parts.train]} & {*stars[parts.validation]}) == 0
    said = " ".join(dataset.card.notes)
    assert "15 rows without koi_disposition are left out" in said
    assert "koi_score" in said
    assert dataset.table.where(np.array([3])) == "line 9"
    assert "koi_comment" in dataset.card.ignored


def test_the_file_can_split_exoplanets_otherwise(folder: Callable[[str], Path]) -> None:
    """A target, a group or dropped columns in the file come before the set's own."""
    write_kepler(folder("kepler"))
    dataset, _ = prepared(
        "kepler", target="koi_pdisposition", split={"by": {"group": "kepoi_name"}}
    )
    assert dataset.grouping is not None
    assert dataset.grouping.group == "kepoi_name"
    assert "koi_disposition" not in {column.name for column in dataset.card.columns}


def test_tess_and_k2(folder: Callable[[str], Path]) -> None:
    """TESS and K2 are read by their own columns; of K2 one row an object."""
    folder("tess").mkdir(parents=True)
    tess = "".join(f"{i}.01,{i},{('PC', 'FP')[i % 2]},{i}\n" for i in range(20))
    (folder("tess") / "toi.csv").write_text("toi,tid,tfopwg_disp,pl_orbper\n" + tess)
    dataset, _ = prepared("tess")
    assert [column.name for column in dataset.card.columns] == ["pl_orbper"]
    folder("k2").mkdir(parents=True)
    k2 = "".join(
        f"b{i},star{i // 2},{i % 2},{('CONFIRMED', 'CANDIDATE')[i // 2 % 2]},{i}\n"
        for i in range(40)
    )
    head = "pl_name,hostname,default_flag,disposition,pl_orbper\n"
    (folder("k2") / "k2pandc.csv").write_text(head + k2)
    dataset, _ = prepared("k2")
    assert dataset.card.rows == 20
    assert any("20 rows give other parameters" in note for note in dataset.card.notes)


def test_damaged_exoplanets(folder: Callable[[str], Path]) -> None:
    """A file of another table, one cut short, and two files are refused by name."""
    path = write_kepler(folder("kepler"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], lines[10][:20]]))
    assert "cumulative_2026.01.01.csv, line 11 has" in refusal("kepler")
    path.write_text("# only\n# comments\n")
    assert "cumulative_2026.01.01.csv is empty" in refusal("kepler")
    path.write_text("toi,tid\n1,2\n")
    assert "has no column koi_disposition and no column kepid" in refusal("kepler")
    path.write_bytes(b"")
    assert "is empty (0 bytes)" in refusal("kepler")
    (folder("kepler") / "b.csv").write_text("a\n1\n")
    assert "has 2 CSV files (b.csv, cumulative_2026.01.01.csv)" in refusal("kepler")


def test_a_class_with_one_training_row(tmp_path: Path) -> None:
    """Where the test part is given, a class needs a row to learn from and one to validate on."""
    for part, classes in (("train", "aabbc"), ("test", "ab")):
        for i, name in enumerate(classes):
            write_picture(tmp_path / "x" / part / name / f"{i}.png", np.zeros((2, 2), np.uint8))
    data = Data(source="x")
    with pytest.raises(DataError, match=r"class 'c' has one row .*\(train/c/4\.png\); it needs 2"):
        partition(load(data, tmp_path), data, 7)


def test_a_nearly_right_name_is_answered_with_the_sets(tmp_path: Path) -> None:
    """A source that is no file and like the name of a published set may be meant so."""
    with pytest.raises(DataError, match="did you mean the published set cifar-10") as caught:
        read("cifar10", tmp_path)
    assert caught.value.nearest == "cifar-10"
