"""Every answer above 399 is one ``api.Problem``."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from modelyard.api import Problem


def problem(
    status: int,
    error: str,
    mistakes: tuple[dict[str, object], ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer above 399."""
    body = Problem(error=error, mistakes=mistakes).model_dump_json()
    return Response(body, status_code=status, media_type="application/json", headers=headers)
