"""Own code of an experiment that was started without the command line: from a form, say."""

from __future__ import annotations

from pathlib import Path

from modelyard.client import Client
from modelyard.code.gathering import gather
from modelyard.code.reference import Reference
from modelyard.code.sending import Sent, send
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import absolute
from modelyard.settings import Settings


def send_own_code(experiment: Experiment, client: Client, settings: Settings) -> Sent | None:
    """Send the folder of an own model from where the flow runs; None where there is no such model.

    Raises:
        InputError: there is no such file here, or its folder may not travel.
    """
    reference = Reference.of(experiment.model.family)
    if reference is None:
        return None
    here = Path.cwd()
    file = reference.locate(here)
    if not file.is_file():
        raise InputError(
            f"there is no {file} where this flow runs. Own code is sent by `modelyard run FILE`, "
            "which finds it beside the experiment file; a form finds it from the folder in which "
            "`modelyard up` was typed, or by its absolute path, on that machine alone"
        )
    data = Path(absolute(experiment.data.source, here))
    image = experiment.resources.image
    return send(gather(file, settings, no_code=[data], image=image), client.upload)
