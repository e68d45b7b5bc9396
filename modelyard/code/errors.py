"""What can be wrong with the user's own code before it runs."""

from __future__ import annotations

from modelyard.errors import InputError


class OwnCodeError(InputError):
    """Own code can't be used. Names file, line and class."""
