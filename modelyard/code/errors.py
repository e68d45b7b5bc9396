"""What can be wrong with the user's own code before it runs."""

from __future__ import annotations

from modelyard.errors import InputError


class OwnCodeError(InputError):
    """Own code can't be used. Names file, line and class.

    Args:
        message: a whole sentence: what is wrong and what to do.
        valid: the names that would be right, where they can be listed.
        nearest: the one most like the bad one.
    """

    def __init__(
        self, message: str, *, valid: tuple[str, ...] = (), nearest: str | None = None
    ) -> None:
        self.valid = valid
        self.nearest = nearest
        super().__init__(f"{message}; did you mean {nearest!r}?" if nearest else message)
