"""Packages that a folder of code asks for and a trial doesn't have."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

FILE = "requirements.txt"
OURS = "modelyard"


def extra(folder: Path) -> tuple[str, ...]:
    """Lines of the folder's ``requirements.txt`` that the base install doesn't meet.

    Args:
        folder: of the code.

    Returns:
        The lines as they are written; none where all are met, or there is no such file. A line
        that is no plain requirement (an option, an address) counts as not met.
    """
    file = folder / FILE
    if not file.is_file():
        return ()
    lines = (
        re.sub(r"(^|\s)#.*", "", line).strip() for line in file.read_text("utf-8").splitlines()
    )
    there = base_install()
    return tuple(line for line in lines if line and not _is_met(line, there))


def base_install() -> frozenset[str]:
    """Canonical names of all that a trial's environment is made of: ours and what that needs."""
    seen: set[str] = set()
    waiting = [OURS]
    while waiting:
        name = _canonical(waiting.pop())
        if name in seen:
            continue
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # of another platform
        seen.add(name)
        parsed = (Requirement(text) for text in needs)
        waiting += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return frozenset(seen)


def _is_met(line: str, there: frozenset[str]) -> bool:
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return False
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    name = _canonical(wanted.name)
    return name in there and wanted.specifier.contains(version(name), prereleases=True)


def _canonical(name: str) -> str:
    """A distribution's name in the one spelling that all of its spellings have (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
