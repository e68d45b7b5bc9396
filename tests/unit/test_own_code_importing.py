"""Own code is imported as a package of its own: versions live side by side, nobody is shadowed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch

from modelyard.code.errors import OwnCodeError
from modelyard.code.importing import load_class, open_code, place_of
from tests.support.own_code import FILES, opened, packed_code


def called(folder: Path, files: dict[str, str]) -> object:
    """What ``main.py:Main`` of some files returns."""
    return load_class(opened(folder, files), "main.py", "Main")().call()  # type: ignore[attr-defined]


def test_two_versions_of_one_file_live_side_by_side(tmp_path: Path) -> None:
    """Each class finds its own neighbours, also those that it imports when it is called."""
    files = {"main.py": "class Main:\n  def call(self):\n    import value\n    return value.X\n"}
    one = load_class(opened(tmp_path / "1", {**files, "value.py": "X = 1"}), "main.py", "Main")
    two = load_class(opened(tmp_path / "2", {**files, "value.py": "X = 2"}), "main.py", "Main")

    assert (two().call(), one().call()) == (2, 1)  # type: ignore[attr-defined]
    assert "value" not in sys.modules
    assert "main" not in sys.modules


@pytest.mark.parametrize(
    "statement",
    [
        "import pkg.deep\nX = pkg.deep.X",
        "import pkg.deep as d\nX = d.X",
        "import math, pkg.deep\nX = pkg.deep.X",
        "from pkg.deep import X",
        "from pkg import deep\nX = deep.X",
        "from .pkg.deep import X",
        "from pkg.deep import *",
        "import pkg.deep\nimport pkg\nX = pkg.X",
    ],
)
def test_every_form_of_import_finds_what_lies_beside(tmp_path: Path, statement: str) -> None:
    """A package beside the file imports by its own names too."""
    files = {
        "main.py": f"{statement}\nclass Main:\n  def call(self):\n    return X\n",
        "pkg/__init__.py": "from pkg.deep import X",
        "pkg/deep.py": "from base import X",
        "base.py": "X = 7",
    }

    assert called(tmp_path, files) == 7


def test_a_file_named_as_one_of_pythons_own_hides_it_from_nobody_else(tmp_path: Path) -> None:
    """Own code means its own ``random``; everybody else still has Python's."""
    files = {
        "main.py": "import random\nclass Main:\n  def call(self):\n    return random.X\n",
        "random.py": "X = 4",
    }
    path = list(sys.path)

    assert called(tmp_path, files) == 4
    assert sys.modules["random"] is random
    assert sys.path == path


def test_files_beside_it_are_found_by_their_path(tmp_path: Path) -> None:
    """``__file__`` is a real file, with its neighbours around it."""
    text = (
        "from pathlib import Path\nclass Main:\n  def call(self):\n"
        "    return (Path(__file__).parent / 'words.txt').read_text()\n"
    )

    assert called(tmp_path, {"main.py": text, "words.txt": "hello"}) == "hello"


def test_an_error_is_placed_in_the_users_file(tmp_path: Path) -> None:
    """The innermost line of own code counts, with the file as the user knows it."""
    files = {
        "main.py": "from parts import fail\nclass Main:\n  def call(self):\n    fail()\n",
        "parts.py": "import json\n\ndef fail():\n    json.loads('{')\n",
    }

    with pytest.raises(ValueError, match="Expecting") as caught:
        called(tmp_path, files)

    assert place_of(caught.value) == "parts.py line 4"
    assert place_of(ValueError()) is None


def test_a_package_that_isnt_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    """An image has it; a trial installs nothing."""
    with pytest.raises(OwnCodeError) as caught:
        called(tmp_path, {"main.py": "import math\nimport surely_not_there\n"})

    assert "main.py line 2 needs the package 'surely_not_there'" in str(caught.value)
    assert "resources.image" in str(caught.value)


def test_an_archive_is_unpacked_once_a_process(tmp_path: Path) -> None:
    """The same bytes are the same code, wherever their archive lies."""
    one, two = packed_code(tmp_path / "1", FILES), packed_code(tmp_path / "2", FILES)

    first, second = open_code(one), open_code(two)

    assert first is second
    module = load_class(first, "my_net.py", "Net")(inputs=(4,), outputs=2)
    assert module(torch.zeros(3, 4)).shape == (3, 2)
