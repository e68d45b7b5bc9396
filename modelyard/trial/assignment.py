"""What the environment tells a launch: its spec, where the intake is, where it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelyard.contract import TrialSpec, Variable
from modelyard.errors import InputError

NODE = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One launch's orders.

    Args:
        spec: what to do.
        server: the intake's base URL, without a slash at the end.
        token: the sweep's token, None where the server asks for none. Never printed.
        scratch: folder of this launch's own; exists.
        cache: folder that launches of one node share; None where there is none.
        termination: file for the last message, None where nobody reads one.
    """

    spec: TrialSpec
    server: str
    token: str | None
    scratch: Path
    cache: Path | None
    termination: Path | None


def read_assignment(environ: Mapping[str, str]) -> Assignment:
    """Read the environment's orders, and make the scratch folder.

    Args:
        environ: environment variables by name, as ``os.environ``.

    Raises:
        InputError: a variable is missing or can't be used; all such are named.
    """
    wrong: list[str] = []
    spec = _spec(environ, wrong)
    server = environ.get(Variable.SERVER, "").rstrip("/")
    if not server.startswith(("http://", "https://")):
        wrong.append(f"{Variable.SERVER} is {server!r}; it must be an http:// or https:// address")
    scratch = environ.get(Variable.SCRATCH, "")
    if not scratch:
        wrong.append(f"{Variable.SCRATCH} is not set; it must name a folder to write to")
    if wrong or spec is None:
        raise InputError("This launch can't start: " + "; ".join(wrong))
    cache, termination = environ.get(Variable.CACHE), environ.get(Variable.TERMINATION)
    return Assignment(
        spec=spec,
        server=server,
        token=environ.get(Variable.TOKEN) or None,
        scratch=_folder(Path(scratch)),
        cache=Path(cache) if cache else None,
        termination=Path(termination) if termination else None,
    )


def follows(environ: Mapping[str, str]) -> bool:
    """Whether this process is one of those that report nothing."""
    return int(environ.get("RANK", 0)) > 0 or int(environ.get(NODE, 0)) > 0


def _spec(environ: Mapping[str, str], wrong: list[str]) -> TrialSpec | None:
    text = environ.get(Variable.SPEC, "")
    if not text:
        wrong.append(f"{Variable.SPEC} is not set; it must hold the spec as JSON")
        return None
    try:
        return TrialSpec.model_validate_json(text)
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in mistake["loc"]) or "the spec"
            wrong.append(f"{Variable.SPEC}: {place}: {mistake['msg']}")
        return None


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{Variable.SCRATCH} is {path}, where no folder can be made: {error.strerror}"
        ) from error
    return path
