"""Routes of what a task told and kept: what reports are drawn from."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from modelyard.contract import Metrics, TrialResult
from modelyard.errors import InputError
from modelyard.registry.picturing import reported
from modelyard.report.gather import ROLES
from modelyard.server.core import CoreOf

ROUTER = APIRouter(prefix="/v1/sweeps/{reference}/tasks/{task}")


@ROUTER.get("/metrics")
def metrics(core: CoreOf, reference: str, task: str) -> list[Metrics]:
    """What a trial or stage reported, in order of steps, the first value of each."""
    return reported(core.journal, core.journal.sweep(reference).id, task)


@ROUTER.get("/result")
def result(core: CoreOf, reference: str, task: str) -> TrialResult:
    """The accepted result of a trial or stage; 404 without one."""
    return _result(core, reference, task)


@ROUTER.get("/files/{role}/{name}", response_class=FileResponse)
def file(core: CoreOf, reference: str, task: str, role: str, name: str) -> FileResponse:
    """A file that a task kept: of its numbers, predictions or explanation."""
    outcome = _result(core, reference, task).outcome
    if name not in ROLES.get(role, ()) or role not in outcome:
        there = ", ".join(f"{one}/{n}" for one in ROLES if one in outcome for n in ROLES[one])
        raise InputError(f"{task} kept no {role}/{name}; there is {there or 'nothing'}")
    try:
        return FileResponse(core.store.fetch(str(outcome[role])) / name)
    except FileNotFoundError as error:
        raise InputError(str(error)) from error


def _result(core: CoreOf, reference: str, task: str) -> TrialResult:
    sweep = core.journal.sweep(reference).id
    found = next((one.result for one in core.journal.launches(sweep, task) if one.result), None)
    if found is None:
        raise InputError(f"{task} of sweep {sweep} has no result")
    return found
