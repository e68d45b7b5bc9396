"""The code that an experiment sends: the folder around its model, if it may travel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelyard.code import requirements
from modelyard.code.errors import OwnCodeError
from modelyard.code.folder import Folder, survey
from modelyard.settings import Settings


def gather(file: Path, settings: Settings, *, no_code: Sequence[Path], image: str | None) -> Folder:
    """What travels with a model.

    Args:
        file: absolute path of the model's file; its folder travels.
        settings: the limit, and the home, which doesn't travel.
        no_code: absolute paths of what else doesn't.
        image: that the experiment names for its trials.

    Raises:
        OwnCodeError: the folder may not travel, or asks for packages that no trial has.
    """
    if image is None and (extra := requirements.extra(file.parent)):
        raise OwnCodeError(
            f"{file.parent / requirements.FILE} asks for {', '.join(extra)}, which a trial "
            "doesn't have, and nothing is installed for it: build an image with it and name "
            "that as resources.image"
        )
    return survey(
        file.parent,
        needed=file.name,
        limit_bytes=settings.code_limit_bytes,
        without=[settings.paths.home, *no_code],
    )
