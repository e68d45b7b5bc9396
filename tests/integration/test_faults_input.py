"""What the user got wrong before anything begins: said in a sentence, exit code 2, no process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.faults import Yard

pytestmark = pytest.mark.integration

TEN_MEGABYTES = 10 * 2**20


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """A home that doesn't exist yet."""
    return Yard(folder=tmp_path, home=tmp_path / "home")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [a\n  b: {", ("bad.yaml", "line 2", "this is not YAML")),
        (b"", ("bad.yaml", "the file is empty", "modelyard new")),
        (b"#" * TEN_MEGABYTES, ("bad.yaml has 10,485,760 bytes", "at most 1,000,000")),
        (
            b"name: a\ndata: {source: 'sklearn:iris'}\nsearch: {sampler: tpo}\n",
            ("search.sampler (line 3)", "'tpo' is not one of", "tpe, random, grid"),
        ),
    ],
    ids=["broken", "empty", "ten-megabytes", "unknown-sampler"],
)
def test_a_bad_file_starts_nothing(yard: Yard, content: bytes, words: tuple[str, ...]) -> None:
    """The file is named with what is wrong in it; not even the home folder is made."""
    file = yard.folder / "bad.yaml"
    file.write_bytes(content)

    said = yard.type("run", file)

    assert said.code == 2
    assert said.holds(*words)
    assert yard.living() == []
    assert not yard.home.exists()


def test_a_home_that_can_t_be_written_starts_nothing(yard: Yard) -> None:
    """The folder and the variable that names another are in the message."""
    (yard.folder / "file").write_text("not a folder")
    nowhere = Yard(folder=yard.folder, home=yard.folder / "file" / "home")

    said = nowhere.type("run", nowhere.experiment("iris"))

    assert said.code == 2
    assert said.holds(f"the home folder {nowhere.home} can't be written", "MODELYARD_HOME")
    assert nowhere.living() == []
