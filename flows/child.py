"""The flow of one local run: ``python -P -m modelyard.flows.child SWEEP``.

It is a child of ``modelyard run`` and holds on to it by its standard input: when that closes,
whatever ended the parent, it stops following and ends. Started again for the same sweep it goes
on with the same flow run, from the top; what is done is passed through.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from modelyard.api import SweepView
from modelyard.client import Client
from modelyard.experiment.model import Experiment
from modelyard.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

LAST_SECONDS = 2.0
"""How long the flow run may take to say that it crashed, once the parent has gone."""


def main(argv: list[str]) -> int:
    """Follow a sweep from its first stage to its last.

    Args:
        argv: the sweep's id, and ``--after`` with the flow run of an earlier run that is not
            to be used again.

    Returns:
        0 once the flow run has a final state.
    """
    parser = argparse.ArgumentParser(prog="python -P -m modelyard.flows.child")
    parser.add_argument("sweep")
    parser.add_argument("--after", default=None)
    arguments = parser.parse_args(argv)
    threading.Thread(target=end_with_parent, daemon=True).start()
    follow(arguments.sweep, after=arguments.after)
    return 0


def end_with_parent() -> None:
    """Wait for the end of standard input, then end this process as SIGTERM does, or for sure."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LAST_SECONDS)
    os._exit(1)


def follow(sweep: str, *, after: str | None) -> None:
    """Run the pipeline of a sweep in this process' main thread."""
    from prefect.flow_engine import run_flow

    from modelyard.flows.pipeline import pipeline

    with Client.connect(Settings()) as client:
        view = client.sweep(sweep)
        document = client.document(view.document)
        parameters = {"experiment": document.experiment, "sweep": sweep}
        flow_run = flow_run_of(view, parameters, after=after)
        client.attach_flow_run(sweep, str(flow_run.id))
    # Checked already; the flow is given what its own signature promises.
    experiment = Experiment.model_validate(document.experiment)
    run_flow(
        pipeline,
        flow_run=flow_run,
        parameters={"experiment": experiment, "sweep": sweep},
        return_type="state",
    )


def flow_run_of(view: SweepView, parameters: Mapping[str, Any], *, after: str | None) -> FlowRun:
    """The flow run that this sweep has already, or a new one."""
    from prefect import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Pending

    from modelyard.flows.pipeline import pipeline

    with get_client(sync_client=True) as prefect:
        if view.flow_run is not None and view.flow_run != after:
            try:
                return prefect.read_flow_run(UUID(view.flow_run))
            except ObjectNotFound:
                pass  # Prefect's store was lost, which a sweep survives
        return prefect.create_flow_run(
            pipeline, parameters=dict(parameters), name=f"{view.name}-{view.id}", state=Pending()
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
