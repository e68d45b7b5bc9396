"""What the work prints: kept in the process's own output, and handed on line by line.

The copy is made at Python's level, not by a pipe behind the file descriptors, so that the last
words of a process that dies are already where its executor reads them.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import TextIO


class Tee(io.TextIOBase):
    """A text stream that writes through to another and hands each whole line on.

    Args:
        stream: where everything still goes; flushed at the end of each line.
        on_line: gets each line without its end. Called in the thread that prints.
    """

    def __init__(self, stream: TextIO, on_line: Callable[[str], None]) -> None:
        self._stream = stream
        self._on_line = on_line
        self._rest = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return self._stream.encoding

    def fileno(self) -> int:
        """The stream's own file descriptor; what is written to it is not handed on."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Never a terminal: progress bars that move a cursor would only fill the log."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Write through, and hand on the lines that end in ``text``."""
        self._stream.write(text)
        # A carriage return overwrites the line: only what stands at its end is worth sending.
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._stream.flush()
        for line in lines:
            self._on_line(line.rsplit("\r", 1)[-1])
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def finish(self) -> None:
        """Hand on what stands there without a line's end."""
        if self._rest:
            self._on_line(self._rest)
            self._rest = ""
        self._stream.flush()


@contextlib.contextmanager
def captured(on_line: Callable[[str], None]) -> Iterator[None]:
    """Within it everything printed by Python code is also handed to ``on_line``."""
    out, err = Tee(sys.stdout, on_line), Tee(sys.stderr, on_line)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            out.finish()
            err.finish()
