"""The whole path of one experiment, from a file to a model that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import Flow, State, flow, runtime
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Completed

from modelyard.api import SweepRequest, SweepState, SweepView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.experiment.model import Experiment
from modelyard.experiment.sources import with_absolute_sources
from modelyard.flows.own_code import send_own_code
from modelyard.settings import Settings
from modelyard.tasks.deploy import deploy
from modelyard.tasks.evaluate import evaluate
from modelyard.tasks.prepare import prepare
from modelyard.tasks.register import register
from modelyard.tasks.sweep import search
from modelyard.tasks.train import train


def cancel_sweep(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Cancelling the flow run ends its trials too. Prefect passes just these three names."""
    with Client.connect(Settings()) as client:
        for view in client.patiently(client.sweeps):
            if view.flow_run == str(flow_run.id) and view.state is SweepState.RUNNING:
                client.cancel(view.id, "its flow run was cancelled")


@flow(name="pipeline", persist_result=False, on_cancellation=[cancel_sweep])
def pipeline(experiment: Experiment, sweep: str | None = None) -> State[Any]:
    """From one experiment to a gated, registered, serving model.

    The work is done by the Modelyard server; killed and started again, the flow passes through
    what is done.

    Args:
        experiment: What to learn from, how to search, what the model must meet, where it serves.
        sweep: Id of a sweep that exists already; left empty, a new one is made.

    Returns:
        Completed with the serving version in a sentence; Failed, by the name Refused, when a
        required gate refused the model; Cancelled when the sweep was cancelled.
    """
    sweep = sweep or open_sweep(experiment)
    try:
        prepare(sweep)
        search(sweep)
        train(sweep)
        evaluate(sweep)
        verdict = register(sweep)["verdict"]
        if verdict != "rejected" and experiment.deploy is not None:
            deploy(sweep)
    except ModelyardError:
        if look(sweep).state is not SweepState.CANCELLED:
            raise
    return final_state(look(sweep))


def open_sweep(experiment: Experiment) -> str:
    """The sweep of this flow run; the server makes it only once."""
    settings = Settings()
    # A path is meant relative to the folder that the flow runs in: where `up` was typed. A
    # cluster's server runs on no folder of ours: it says which sources it can reach.
    meant = experiment if settings.server else with_absolute_sources(experiment, Path.cwd())
    tags = {"flow_run_name": str(runtime.flow_run.name)}
    with Client.connect(settings) as client:
        sent = send_own_code(experiment, client, settings)
        request = SweepRequest(
            experiment=meant.to_request(),
            flow_run=str(runtime.flow_run.id),
            tags=tags if sent is None else {**tags, **sent.tags},
            code=None if sent is None else sent.digest,
        )
        return client.patiently(lambda: client.create_sweep(request)).id


def look(sweep: str) -> SweepView:
    """The sweep as it is now."""
    with Client.connect(Settings()) as client:
        return client.patiently(lambda: client.sweep(sweep))


def final_state(view: SweepView) -> State[Any]:
    """What the flow run comes to, said in the sweep's own words."""
    match view.state:
        case SweepState.REFUSED:
            return State(type=StateType.FAILED, name="Refused", message=view.message)
        case SweepState.CANCELLED:
            return Cancelled(message=view.message)
        case SweepState.FAILED:
            return State(type=StateType.FAILED, name="Failed", message=view.message)
        case _:
            return Completed(message=view.message)
