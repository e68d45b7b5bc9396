"""The base of every section of the experiment file, and its short forms."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Frozen, strict about unknown keys, built by field name or by the file's key.

    Types are strict too: ``trials: "20"`` or ``trials: true`` is a mistake, not a number. Tuples
    alone are lax, because a file and JSON hold lists.

    Attributes:
        short: the field that a bare string stands for: ``sampler: tpe``.
        rest: the field that collects all keys which are not fields, so that
            ``{name: tpe, startup_trials: 5}`` reads as it is written.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, strict=True
    )

    short: ClassVar[str | None] = None
    rest: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if cls.short is not None and isinstance(value, str):
            return {cls.short: value}
        if cls.rest is None or not isinstance(value, dict) or cls.rest in value:
            return value
        return {
            **{k: v for k, v in value.items() if k == cls.short},
            cls.rest: {k: v for k, v in value.items() if k != cls.short},
        }
