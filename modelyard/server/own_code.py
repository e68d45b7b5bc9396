"""The user's own code as the server sees it: an archive that was sent, read and never run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelyard.code.archive import ARCHIVE, read_member
from modelyard.code.errors import OwnCodeError
from modelyard.code.reference import Reference
from modelyard.code.signature import parse_signature
from modelyard.errors import ExperimentError, Mistake
from modelyard.experiment.model import Experiment
from modelyard.models.family import Family
from modelyard.models.own import own_family
from modelyard.store.store import Store, join

UPLOADS = "uploads"

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SentCode:
    """Own code that was sent.

    Args:
        uri: of the committed folder that holds the archive.
        family: that its class is.
    """

    uri: str
    family: Family


def sent_code(
    experiment: Experiment, digest: str | None, *, store: Store, base: str
) -> SentCode | None:
    """The code that an experiment's model is, None where it is a family that comes with us.

    Args:
        experiment: validated.
        digest: BLAKE3 of the archive, as the request gives it.
        store: where uploads lie.
        base: URI of the artifacts.

    Raises:
        ExperimentError: no code was sent, or it can't be the model.
    """
    name = experiment.model.family
    reference = Reference.of(name)
    if reference is None:
        return None
    try:
        if digest is None:
            raise OwnCodeError(
                f"{name} is your own code, which has to be sent with the experiment: "
                "`modelyard run FILE` does so; over HTTP upload its archive and give code"
            )
        uri = join(base, UPLOADS, digest) if _DIGEST.fullmatch(digest) else None
        if uri is None or not store.has(uri):
            raise OwnCodeError(f"no code with the digest {digest[:64]!r} was uploaded")
        content = read_member(store.fetch(uri) / ARCHIVE, reference.file)
        if content is None:
            raise OwnCodeError(f"the code {digest} holds no file {reference.file}")
        arguments = parse_signature(content, reference.file, reference.name)
    except OwnCodeError as error:
        mistake = Mistake.of(error, "model.family", name)
        raise ExperimentError("experiment", (mistake,)) from error
    return SentCode(uri=uri, family=own_family(name, arguments))
