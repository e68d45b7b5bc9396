"""The tokens of sweeps: made here, kept as hashes, known by heart."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from hashlib import sha256

from modelyard.server.live import LiveJournal
from modelyard.sweep.patience import patiently

TOKEN_BYTES = 32

REMEMBERED_STRANGERS = 1024
"""Unknown tokens that are refused without another look into the journal."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Whom a token belongs to: a sweep, and the document that its launches read."""

    sweep: str
    document: str


class Tokens:
    """See ``executor.TokenIssuer``. Belongs to the event loop.

    This process alone writes the journal, so what it knows of tokens stays true until it issues
    another one.

    Args:
        journal: keeps the hashes.
    """

    def __init__(self, journal: LiveJournal) -> None:
        self._journal = journal
        self._holders: dict[str, Holder] = {}
        self._strangers: set[str] = set()
        self._issued = 0

    async def issue(self, sweep: str) -> str:
        """A new token of a sweep, in plain; the one before is void from now on.

        Raises:
            ModelyardError: the journal couldn't be written for a minute.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await patiently(self._journal.set_token, sweep, hashed(token))
        self._issued += 1
        self._strangers.clear()
        self._holders = {key: one for key, one in self._holders.items() if one.sweep != sweep}
        return token

    async def holder(self, token: str) -> Holder | None:
        """Whom a token belongs to, None for one that nobody has (any more).

        Raises:
            ModelyardError: the journal can't be read, and the token isn't known by heart.
        """
        key = hashed(token)
        if key in self._holders or key in self._strangers:
            return self._holders.get(key)
        before = self._issued
        found = await asyncio.to_thread(self._find, key)
        if before == self._issued:  # else it may have been replaced while it was read
            self._remember(key, found)
        return found

    def _find(self, key: str) -> Holder | None:
        sweep = self._journal.sweep_of_token(key)
        if sweep is None:
            return None
        return Holder(sweep=sweep, document=self._journal.sweep(sweep).document)

    def _remember(self, key: str, found: Holder | None) -> None:
        if found is not None:
            self._holders[key] = found
            return
        if len(self._strangers) >= REMEMBERED_STRANGERS:
            self._strangers.clear()
        self._strangers.add(key)


def hashed(token: str) -> str:
    """SHA-256 of a token, 64 hexadecimal digits. It is random, so it needs no salt."""
    return sha256(token.encode()).hexdigest()
