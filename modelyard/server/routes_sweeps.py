"""Routes of sweeps, their stages, trials and lines."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from modelyard.api import (
    Desired,
    LogPage,
    Owner,
    StageView,
    SweepRequest,
    SweepView,
    TrialView,
)
from modelyard.contract import Wire
from modelyard.errors import InputError
from modelyard.journal.rows import SweepRow
from modelyard.server import reading, views
from modelyard.server.core import Core, CoreOf
from modelyard.server.runs import make_sweep
from modelyard.server.supervisor import Conflict

ROUTER = APIRouter(prefix="/v1/sweeps")

WAIT_LIMIT_SECONDS = 30.0
"""Longest that a long poll is held."""

StageName = Literal["prepare", "sweep", "train", "evaluate", "register", "deploy"]


class OwnerBody(Wire):
    """Who owns a sweep."""

    owner: Owner | None = None


class FlowRunBody(Wire):
    """Which flow run has taken a sweep on."""

    flow_run: str


class ReasonBody(Wire):
    """Why somebody wants a sweep to stop."""

    reason: str = ""


@ROUTER.post("")
def create_sweep(core: CoreOf, request: SweepRequest) -> SweepView:
    """Make a sweep, or find the one of the request's flow run."""
    return reading.sweep(core.journal, make_sweep(core, request))


@ROUTER.get("")
def sweeps(core: CoreOf) -> list[SweepView]:
    """The newest hundred sweeps, newest first."""
    return [reading.sweep(core.journal, row) for row in core.journal.sweeps()]


@ROUTER.get("/{reference}", response_model=SweepView)
async def sweep(
    core: CoreOf,
    reference: str,
    if_none_match: Annotated[str | None, Header()] = None,
    prefer: Annotated[str, Header()] = "",
) -> Response:
    """A sweep by id or name, or the newest. With If-None-Match and ``Prefer: wait=SECONDS`` the
    answer waits for a change (RFC 7240), and is 304 when there was none."""
    row = await asyncio.to_thread(_find, core, reference)
    seconds = min(_wait_seconds(prefer), WAIT_LIMIT_SECONDS)
    if if_none_match is not None and if_none_match == _tag(core, row.id):
        await core.changes.wait(row.id, core.changes.count(row.id), seconds)
        if if_none_match == _tag(core, row.id):
            return Response(status_code=304, headers={"ETag": if_none_match})
    tag = _tag(core, row.id)  # before the rows, so that no change is missed
    view = await asyncio.to_thread(lambda: reading.sweep(core.journal, _find(core, row.id)))
    body = view.model_dump_json()
    return Response(body, media_type="application/json", headers={"ETag": tag})


@ROUTER.get("/{reference}/trials")
def trials(core: CoreOf, reference: str) -> list[TrialView]:
    """The trials of a sweep by number."""
    return reading.trials(core.journal, _find(core, reference))


@ROUTER.get("/{reference}/logs")
def logs(
    core: CoreOf,
    reference: str,
    task: str | None = None,
    after: Annotated[int, Query(ge=0)] = 0,
) -> LogPage:
    """What the tasks of a sweep printed, from a cursor on."""
    return reading.logs(core.journal, _find(core, reference).id, task, after)


@ROUTER.post("/{reference}/continue")
async def continue_sweep(core: CoreOf, reference: str, body: OwnerBody) -> SweepView:
    """Let an interrupted or failed sweep go on; 409 while it runs."""
    found = await asyncio.to_thread(_find, core, reference)
    lapsed = await core.owners.lapsed(found.id)
    row = await core.supervisor.continue_sweep(found.id, body.owner, lapsed=lapsed)
    return await asyncio.to_thread(reading.sweep, core.journal, row)


@ROUTER.post("/{reference}/owner", status_code=204)
def renew_owner(core: CoreOf, reference: str, body: OwnerBody) -> None:
    """The owner lives; 409 when the sweep isn't its own any more."""
    row = _find(core, reference)
    if body.owner is None:
        raise InputError("give the owner that renews: {run, process, started}")
    if not core.journal.renew_owner(row.id, body.owner):
        owner = "nobody" if row.owner is None else f"process {row.owner.process}"
        raise Conflict(f"sweep {row.id} is owned by {owner}; it is {row.state}")


@ROUTER.delete("/{reference}/owner", status_code=204)
def release_owner(core: CoreOf, reference: str) -> None:
    """End the ownership in good order; the sweep is left as it is."""
    core.journal.set_owner(_find(core, reference).id, None)


@ROUTER.post("/{reference}/flow-run")
def attach_flow_run(core: CoreOf, reference: str, body: FlowRunBody) -> SweepView:
    """Tie the sweep to a Prefect flow run."""
    row = core.journal.update_sweep(
        _find(core, reference).id, flow_run=body.flow_run, actor="client"
    )
    return reading.sweep(core.journal, row)


@ROUTER.post("/{reference}/cancel")
async def cancel(core: CoreOf, reference: str, body: ReasonBody) -> SweepView:
    """End the sweep for good."""
    return await _want(core, reference, Desired.CANCELLED, body.reason)


@ROUTER.post("/{reference}/interrupt")
async def interrupt(core: CoreOf, reference: str, body: ReasonBody) -> SweepView:
    """Stop the sweep with checkpoints; it can be continued."""
    return await _want(core, reference, Desired.INTERRUPTED, body.reason)


@ROUTER.post("/{reference}/stages/{stage}")
async def run_stage(core: CoreOf, reference: str, stage: StageName) -> StageView:
    """Start a stage, or return what it came to; returns at once."""
    found = await asyncio.to_thread(_find, core, reference)
    row = await core.supervisor.run_stage(found.id, stage)
    return views.stage_view(row, now=await asyncio.to_thread(core.journal.now))


@ROUTER.get("/{reference}/stages/{stage}")
def stage(core: CoreOf, reference: str, stage: StageName) -> StageView:
    """A stage that was started."""
    return reading.stage(core.journal, _find(core, reference).id, stage)


async def _want(core: Core, reference: str, desired: Desired, reason: str) -> SweepView:
    found = await asyncio.to_thread(_find, core, reference)
    row = await core.supervisor.want(found.id, desired, reason, actor="client")
    return await asyncio.to_thread(reading.sweep, core.journal, row)


def _find(core: Core, reference: str) -> SweepRow:
    """By id or name; an id goes before a name, and before the word for the newest of all."""
    return core.journal.sweep(None if reference == "newest" else reference)


def _tag(core: Core, sweep: str) -> str:
    return f'"{core.epoch}-{core.changes.count(sweep)}"'


def _wait_seconds(prefer: str) -> float:
    found = re.search(r"\bwait=(\d+)", prefer)
    return float(found[1]) if found else 0.0
