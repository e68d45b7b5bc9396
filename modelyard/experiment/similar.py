"""The name that was meant, for messages about one that there isn't."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most like one that isn't, whatever its case; None where none is alike.

    A name cut short is as good as one misspelt: ``max`` finds ``maximize``.
    """
    by_lower: dict[str, str] = {}
    for known in valid:
        by_lower.setdefault(known.lower(), known)
    wanted = name.lower()
    found = get_close_matches(wanted, by_lower, n=1)
    longer = [known for known in by_lower if wanted and known.startswith(wanted)]
    if not found and len(longer) == 1:
        found = longer
    return by_lower[found[0]] if found else None


def as_name(text: str) -> str:
    """A text as the name of an experiment: small letters without accents, digits and dashes; may
    be empty."""
    parted = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(sign for sign in parted if not unicodedata.combining(sign))
    return re.sub(r"[^a-z0-9]+", "-", plain)[:63].strip("-")


def did_you_mean(near: object | None) -> str:
    """The end of a sentence about a name that there isn't; empty where nothing is like it."""
    return "" if near is None else f"; did you mean {near!r}?"
