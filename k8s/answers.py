"""Answers of the Kubernetes API: what they hold, or what they refuse. Pure."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeAlias

from modelyard.errors import ClusterRefused

Json: TypeAlias = dict[str, Any]

BUSY = (429, 500, 502, 503, 504)
"""The same request may do well a little later."""


class Gone(Exception):
    """The version a watch should start from is no longer kept: list again."""


def collided(status: int, content: bytes) -> bool:
    """Two requests changed one object (a quota, as Jobs are created at once): ask again."""
    return status == 409 and b'"reason":"Conflict"' in content


def answer_of(status: int, content: bytes) -> Json:
    """What an answer holds.

    Raises:
        ClusterRefused, Gone: it is an error.
    """
    try:
        answer: Json = json.loads(content)
    except ValueError:
        answer = {"message": content[:500].decode(errors="replace")}
    if status >= 400:
        raise_for({"code": status, **answer})
    return answer


def raise_for(status: Json) -> NoReturn:
    """Raise what a Status object says."""
    code = int(status.get("code") or 0)
    if code == 410:
        raise Gone(status.get("message", ""))
    raise ClusterRefused(
        str(status.get("message") or f"HTTP {code}"),
        status=code,
        reason=str(status.get("reason") or ""),
    )


def retry_after(header: str | None) -> float:
    """Seconds that the server asks us to wait; a date (which it never sends) counts as none."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
