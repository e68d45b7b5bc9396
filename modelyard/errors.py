"""Every error that Modelyard raises on purpose.

    ModelyardError                 exit code 1: it was tried and failed
    ├── InputError                 exit code 2: something the user wrote or pointed at is wrong
    │   ├── ExperimentError        … in the experiment file: every mistake at once
    │   ├── DataError              … in the data that it names (carries the key at fault)
    │   └── SchemaMismatch         … in rows to predict for (carries the column)
    ├── Interrupted                exit code 130: stopped before the end; what finished is kept
    ├── ServerUnreachable          the Modelyard server doesn't answer
    ├── ServerRefused              it answered that it won't (carries the HTTP status)
    ├── ClusterUnreachable         the cluster's API doesn't answer
    ├── ClusterRefused             it answered that it won't (carries the HTTP status and reason)
    ├── LeaseLost                  another server holds the journal; this one must end
    ├── Fenced                     a newer launch of this trial exists; this one must end
    └── DigestMismatch             stored bytes are not what their digest says

Client libraries' errors are translated where they are caught; none of these subclasses them.
"""

from __future__ import annotations

from dataclasses import dataclass


class ModelyardError(Exception):
    """Something was tried and failed. The message is a whole sentence for the user."""

    exit_code = 1


class InputError(ModelyardError):
    """A value, file or name that the user gave can't be used. Names it, and the fix.

    Args:
        message: a whole sentence: what is wrong and what to do.
        valid: the values that would be right, where they can be listed.
        nearest: the one most like the bad one.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, valid: tuple[str, ...] = (), nearest: str | None = None
    ) -> None:
        self.valid = valid
        self.nearest = nearest
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake in an experiment file.

    Args:
        path: where it stands, dotted, list items by number: ``gates.0.metric``.
        message: one sentence: the bad value, what is valid, what to do.
        value: the bad value as it was written; None where a key is missing.
        valid: the values that would be right, where they can be listed.
        nearest: the valid value most like the bad one.
        line: line of the file, from 1, where it is known.
    """

    path: str
    message: str
    value: object = None
    valid: tuple[str, ...] = ()
    nearest: str | None = None
    line: int | None = None

    @classmethod
    def of(cls, error: InputError, path: str, value: object) -> Mistake:
        """What an error says of the value that stands at a path."""
        return cls(
            path=path, message=str(error), value=value, valid=error.valid, nearest=error.nearest
        )


SHOWN_MISTAKES = 50
"""Mistakes that a message lists before it only counts them; a broken file may have thousands."""


class ExperimentError(InputError):
    """An experiment file has mistakes; all of them are in ``mistakes``."""

    def __init__(self, source: str, mistakes: tuple[Mistake, ...]) -> None:
        self.source = source
        self.mistakes = mistakes
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        lines = [
            f"{m.path or 'file'}{f' (line {m.line})' if m.line else ''}: {m.message}"
            for m in mistakes[:SHOWN_MISTAKES]
        ]
        if len(mistakes) > SHOWN_MISTAKES:
            lines.append(f"… and {len(mistakes) - SHOWN_MISTAKES:,} more")
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in lines)]))


class DataError(InputError):
    """The data can't be used as the experiment says. Names file, column and row.

    Args:
        message, valid, nearest: as of every ``InputError``.
        key: the experiment file's key at fault, dotted: ``data.source``, ``data.target`` …
        value: what stands there.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str = "data.source",
        value: object = None,
        valid: tuple[str, ...] = (),
        nearest: str | None = None,
    ) -> None:
        self.key = key
        self.value = value
        super().__init__(message, valid=valid, nearest=nearest)


class SchemaMismatch(InputError):
    """Rows given for a prediction don't fit the columns that the model was trained on.

    Args:
        column: the column at fault; empty where it is the input as a whole.
        message: a whole sentence, which names column, row and value.
    """

    def __init__(self, column: str, message: str) -> None:
        self.column = column
        super().__init__(message)


class Interrupted(ModelyardError):
    """The run was interrupted; finished work is kept and can be continued."""

    exit_code = 130


class ServerUnreachable(ModelyardError):
    """The Modelyard server doesn't answer at its address."""


class ClusterUnreachable(ModelyardError):
    """The Kubernetes API doesn't answer, or a watch of it was cut."""


class ClusterRefused(ModelyardError):
    """The Kubernetes API answered with an error.

    Args:
        message: its own sentence.
        status: HTTP status code.
        reason: its own word: ``Forbidden``, ``AlreadyExists``, ``Invalid`` …
    """

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        self.status = status
        self.reason = reason
        super().__init__(message)


class ServerRefused(ModelyardError):
    """The server answered with an error.

    Args:
        status: HTTP status code.
        message: the server's own sentence.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class LeaseLost(ModelyardError):
    """The journal's lease was taken over; nothing may be written under the old epoch."""


class Fenced(ModelyardError):
    """The server knows a newer launch of this trial, or its end; the program must end."""


class DigestMismatch(ModelyardError):
    """Bytes read back are not those whose digest was recorded."""


def first_line(error: object, limit: int = 300) -> str:
    """The first line of what an error says, at most so many characters; empty where it says
    nothing. Other libraries' errors go on with statements and traces."""
    return (str(error).splitlines() or [""])[0][:limit]
