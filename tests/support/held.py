"""A model whose fits go on only slowly until the test lets them, so that what is to happen in the
midst of one does, however slow the machine or the test is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modelyard.code import archive
from modelyard.code.folder import Folder
from modelyard.store.folder import FolderStore
from modelyard.store.store import join

FAMILY = "held.py:Net"

NET = """
import itertools
import time
from math import prod
from pathlib import Path

from torch import nn

ALL, ONE = Path({everybody!r}), Path({one!r})
BATCHES = itertools.count()


def taken(ticket):
    try:
        ticket.unlink()
    except FileNotFoundError:
        return False
    return True


class Net(nn.Module):
    def __init__(self, inputs, outputs, *, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(prod(inputs), width), nn.ReLU(), nn.Linear(width, outputs)
        )
        self.free = False

    def forward(self, examples):
        if self.training and not self.free and next(BATCHES) >= {quick}:
            self.free = ALL.exists() or taken(ONE)
            if not self.free:
                time.sleep(0.5)
        return self.layers(examples)
"""


class Held:
    """The model ``FAMILY``, each of whose batches takes half a second at first.

    Args:
        folder: is made; holds the model's file alone.
        quick: batches of each process that take no time all the same.
    """

    def __init__(self, folder: Path, *, quick: int = 0) -> None:
        signs = Path(tempfile.mkdtemp(prefix="held-", dir=folder.parent))
        self._everybody, self._one = signs / "everybody", signs / "one"
        folder.mkdir()
        text = NET.format(everybody=str(self._everybody), one=str(self._one), quick=quick)
        (folder / "held.py").write_text(text)
        self.code = Folder(path=folder, files=("held.py",), size=len(text))

    def let_go(self) -> None:
        """Every fit goes on at full speed from here on, begun or not."""
        self._everybody.touch()

    def let_one_go(self) -> None:
        """One fit does: the first that asks."""
        self._one.touch()

    def hold(self) -> None:
        """Fits that begin from here on are slow again."""
        self._everybody.unlink()

    def commit(self, store: str) -> str:
        """Put the code into a folder store, as our server does.

        Args:
            store: base URI.

        Returns:
            URI for a ``Document``.
        """
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / archive.ARCHIVE).write_bytes(self.code.archive)
            return FolderStore().commit(Path(folder), join(store, "uploads", self.code.digest))
