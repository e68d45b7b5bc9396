"""The base of every section of the experiment file, and its short forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, strict about unknown keys, built by field name or by the file's key.

    Types are strict too: ``trials: "20"`` or ``trials: true`` is a mistake, not a number. Tuples
    alone are lax, because a file and JSON hold lists.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, strict=True
    )


def named(key: str, *, rest: str | None = None) -> Callable[[Any], Any]:
    """A validator for sections that a bare string may stand for.

    Args:
        key: the field that the string fills.
        rest: the field that collects all keys which are not fields, so that
            ``{name: tpe, startup_trials: 5}`` reads as it is written.

    Returns:
        A function for ``model_validator(mode="before")``.
    """

    def expand(value: Any) -> Any:
        if isinstance(value, str):
            return {key: value}
        if rest is None or not isinstance(value, dict) or rest in value:
            return value
        return {
            **{k: v for k, v in value.items() if k == key},
            rest: {k: v for k, v in value.items() if k != key},
        }

    return expand
