"""Small models of one's own, as users write them, and their archives."""

from __future__ import annotations

from pathlib import Path

from modelyard.code import archive
from modelyard.code.importing import Code, open_code

NET = """
from math import prod

from torch import nn

from helpers import hidden_layer


class Net(nn.Module):
    def __init__(self, inputs, outputs, *, width: int = 8, dropout: float = 0.0):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), hidden_layer(prod(inputs), width), nn.Dropout(dropout)
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, examples):
        from late import SCALE

        return self.head(self.body(examples)) * SCALE
"""

HELPERS = """
from torch import nn


def hidden_layer(before, after):
    return nn.Sequential(nn.Linear(before, after), nn.ReLU())
"""

FILES = {"my_net.py": NET, "helpers.py": HELPERS, "late.py": "SCALE = 1.0\n"}
"""A model in one file that needs two others, one of them only when it is called."""


def write(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Write files into a folder, by default those of ``FILES``."""
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def packed_code(folder: Path, files: dict[str, str] | None = None) -> Path:
    """The archive of some files, as ``code.tar`` in a folder."""
    source = write(folder / "source", files)
    names = [p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()]
    file = folder / archive.ARCHIVE
    file.write_bytes(archive.pack(source, names))
    return file


def opened(folder: Path, files: dict[str, str] | None = None) -> Code:
    """The code of some files, ready to be imported."""
    return open_code(packed_code(folder, files), folder / "unpacked")
