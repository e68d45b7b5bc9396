"""Routes of runs: sweeps whose flow the server itself has Prefect start."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from modelyard.api import RunRequest, SweepRequest, SweepState, SweepView
from modelyard.journal.rows import SweepRow
from modelyard.server import reading
from modelyard.server.core import Core, CoreOf
from modelyard.server.prefect_rest import FlowRunState
from modelyard.server.runs import make_sweep
from modelyard.server.submit import DEPLOYMENT

ROUTER = APIRouter(prefix="/v1/runs")

NOBODY_LEADS = (FlowRunState.OVER, FlowRunState.DELETED, FlowRunState.UNKNOWN)
"""States of a flow run in which its sweep needs another."""


@ROUTER.post("")
async def create_run(core: CoreOf, request: RunRequest) -> SweepView:
    """Make a sweep and submit its flow. While Prefect is away the sweep waits, and says so."""
    tags = {**request.tags, DEPLOYMENT: core.settings.deployment}
    whole = SweepRequest(**{**request.model_dump(), "tags": tags})
    row = await asyncio.to_thread(make_sweep, core, whole)
    return await _view(core, await core.submitter.submit(row.id))


@ROUTER.post("/{reference}/continue")
async def continue_run(core: CoreOf, reference: str) -> SweepView:
    """Let an interrupted or failed sweep go on under a new flow run.

    One that runs is left alone, unless its flow run is over; so is one that is complete.
    """
    row = await asyncio.to_thread(core.journal.sweep, reference)
    if row.state is SweepState.RUNNING:
        if await _led(core, row):
            return await _view(core, row)
        await _await_flow_run(core, row)
    elif row.state in (SweepState.INTERRUPTED, SweepState.FAILED):
        await _await_flow_run(core, row)
        await core.supervisor.continue_sweep(row.id, None, lapsed=False)
    else:
        # Complete and refused come back as they are; cancelled is a conflict.
        return await _view(core, await core.supervisor.continue_sweep(row.id, None, lapsed=False))
    return await _view(core, await core.submitter.submit(row.id))


async def _led(core: Core, row: SweepRow) -> bool:
    """Whether a running sweep has somebody who takes it from stage to stage."""
    if row.owner is not None:
        return True
    if row.flow_run is None:
        return DEPLOYMENT in row.tags  # the submitter is at it
    return await core.prefect.state(row.flow_run) not in NOBODY_LEADS


async def _await_flow_run(core: Core, row: SweepRow) -> None:
    await asyncio.to_thread(core.journal.await_flow_run, row.id, core.settings.deployment)


async def _view(core: Core, row: SweepRow) -> SweepView:
    return await asyncio.to_thread(reading.sweep, core.journal, row)
