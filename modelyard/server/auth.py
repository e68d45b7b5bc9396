"""Who may speak to the server: everybody on this machine, or whoever shows a key or a token."""

from __future__ import annotations

import ipaddress
import logging
from hmac import compare_digest

from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard.errors import InputError, ModelyardError
from modelyard.server.problems import problem
from modelyard.server.tokens import Holder, Tokens
from modelyard.settings import Settings

LOG = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by the cluster itself, which has no key and calls a pod by its address."""

CHALLENGE = {"WWW-Authenticate": "Bearer"}

SAID_LIMIT = 1000
"""Refusals remembered as said; a scan from many addresses must not fill the memory."""


class Gate:
    """Lets in who shows the API key, and the trials of a sweep to what is their own.

    Args:
        app: what is guarded.
        key: of the installation; opens everything.
        tokens: of sweeps; each opens the launches and the document of one.
    """

    def __init__(self, app: ASGIApp, *, key: str, tokens: Tokens) -> None:
        self._app = app
        self._key = key.encode()
        self._tokens = tokens
        self._said: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            refusal = await self._refusal(scope)
        except ModelyardError as error:
            await problem(503, str(error))(scope, receive, send)
            return
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._say(scope, refusal)
        text = f"{refusal}; show the installation's key, MODELYARD_API_KEY, as a bearer token"
        await problem(401, text, headers=CHALLENGE)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> str | None:
        """Why a request isn't let in, None where it is. Never holds what was shown."""
        shown = bearer(scope)
        if shown is None:
            return "neither key nor token was shown"
        if compare_digest(shown.encode(), self._key):
            return None
        holder = await self._tokens.holder(shown)
        if holder is None:
            return "what was shown is neither the key nor the token of a sweep"
        if not _opens(holder, scope["path"]):
            return f"the token of sweep {holder.sweep} opens only what is its own"
        return None

    def _say(self, scope: Scope, refusal: str) -> None:
        """Once for each source and reason: who is refused comes again and again."""
        source = str((scope.get("client") or ("somebody",))[0])
        if (source, refusal) in self._said:
            return
        if len(self._said) >= SAID_LIMIT:
            self._said.clear()
        self._said.add((source, refusal))
        LOG.warning(
            "%s %s of %s is refused: %s (said once)",
            scope.get("method", "WEBSOCKET"),
            scope["path"],
            source,
            refusal,
        )


def bearer(scope: Scope) -> str | None:
    """What a request shows in its one Authorization header."""
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(shown) != 1:
        return None
    scheme, _, credential = shown[0].decode("latin-1").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" and credential.strip() else None


def key_of(settings: Settings) -> str | None:
    """The API key, None for a server that asks for nothing.

    Raises:
        InputError: others than this machine could reach a server that asks for nothing.
    """
    key = "" if settings.api_key is None else settings.api_key.get_secret_value()
    if not key and not _is_loopback(settings.host):
        raise InputError(
            f"the server would listen on {settings.host}, where others reach it, and let everybody "
            "in: set MODELYARD_API_KEY, or MODELYARD_HOST to 127.0.0.1"
        )
    return key or None


def _opens(holder: Holder, path: str) -> bool:
    own = (f"/v1/launches/{holder.sweep}/", f"/v1/documents/{holder.document}")
    return path.startswith(own[0]) or path == own[1]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
