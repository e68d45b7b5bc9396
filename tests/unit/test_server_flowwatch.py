"""The flow watch: what Prefect says of a flow run, and what it doesn't say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from modelyard.api import SweepState
from modelyard.server.changes import Changes
from modelyard.server.flowwatch import OVER_SECONDS, FlowWatch
from modelyard.server.prefect_rest import Prefect, prefect_api
from modelyard.server.supervisor import Supervisor
from tests.unit.serverkit import ToldRunner, add_sweep, open_journal

Answer = Callable[[httpx.Request], httpx.Response]

API = "http://127.0.0.1:4200/api"
"""Of our Prefect."""


def listen(folder: Path, *, port: int) -> None:
    """Record where our Prefect is."""
    (folder / "prefect.json").write_text(json.dumps({"address": f"http://127.0.0.1:{port}"}))


def run(state: str) -> httpx.Response:
    told = {"id": "f1", "flow_id": "w1", "state": {"type": state, "name": state}}
    return httpx.Response(200, json=told)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def states(
    folder: Path,
    *answers: httpx.Response | Answer,
    flows: frozenset[str] = frozenset(),
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[SweepState], str]:
    """The sweep's state after each answer on its flow run, and its last message.

    Args:
        flows: URLs at which a flow is found.
    """
    listen(folder, port=4200)
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if "/flows/" in str(request.url):
            return httpx.Response(200 if str(request.url) in flows else 404)
        assert str(request.url) == f"{API}/flow_runs/f1"
        one = left.pop(0)
        return one(request) if callable(one) else one

    async def play() -> tuple[list[SweepState], str]:
        journal = open_journal(folder, Changes(asyncio.get_running_loop()))
        sweep = add_sweep(journal, flow_run="f1").id
        seen = []
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            supervisor = Supervisor(journal, ToldRunner(journal))
            prefect = Prefect(folder / "prefect.json", http)
            watch = FlowWatch(journal, supervisor, prefect, clock=clock)
            for _ in answers:
                await watch.look()
                seen.append(journal.sweep(sweep).state)
        message = journal.sweep(sweep).message
        journal.close()
        return seen, message

    return asyncio.run(play())


@pytest.fixture(autouse=True)
def _no_prefect_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.mark.parametrize("state", ["CANCELLING", "CANCELLED"])
def test_cancelled_in_prefect(tmp_path: Path, state: str) -> None:
    """Cancelling the flow run cancels its sweep, and says so."""
    seen, message = states(tmp_path, run("RUNNING"), run(state))

    assert seen == [SweepState.RUNNING, SweepState.CANCELLED]
    assert message == "its flow run f1 was cancelled in Prefect"


def test_deleted_in_prefect(tmp_path: Path) -> None:
    """Deleting the flow run cancels its sweep."""
    gone, flows = httpx.Response(404), frozenset({f"{API}/flows/w1"})
    seen, message = states(tmp_path, run("RUNNING"), gone, flows=flows)

    assert seen == [SweepState.RUNNING, SweepState.CANCELLED]
    assert message == "its flow run f1 was deleted in Prefect"


def test_a_server_that_never_knew_it(tmp_path: Path) -> None:
    """Another Prefect at the same place, which never had the run, is no reason."""
    assert states(tmp_path, httpx.Response(404))[0] == [SweepState.RUNNING]


def test_another_homes_prefect_on_the_port_of_ours(tmp_path: Path) -> None:
    """It has neither the run nor its flow: no reason, though ours comes up elsewhere meanwhile."""

    def answer(_: httpx.Request) -> httpx.Response:
        listen(tmp_path, port=4201)
        return httpx.Response(404)

    ours = frozenset({"http://127.0.0.1:4201/api/flows/w1"})
    assert set(states(tmp_path, run("RUNNING"), answer, flows=ours)[0]) == {SweepState.RUNNING}


@pytest.mark.parametrize(
    "answer",
    [unreachable, httpx.Response(500), httpx.Response(200, text="<html>"), run("CRASHED")],
    ids=["unreachable", "failing", "not json", "crashed"],
)
def test_no_reason_to_cancel(tmp_path: Path, answer: httpx.Response | Answer) -> None:
    """Prefect away, failing, or a flow that crashed: the sweep goes on."""
    assert states(tmp_path, run("RUNNING"), answer)[0] == [SweepState.RUNNING] * 2


def test_a_sweep_that_nobody_leads_any_more_says_so(tmp_path: Path) -> None:
    """A crashed flow has its Job's time to come back; then the sweep says how to go on."""
    now = [0.0]

    def later(state: str) -> Answer:
        def answer(_: httpx.Request) -> httpx.Response:
            now[0] += OVER_SECONDS / 2
            return run(state)

        return answer

    def seen(*answers: Answer, folder: str) -> str:
        (tmp_path / folder).mkdir()
        found, message = states(tmp_path / folder, *answers, clock=lambda: now[0])
        assert set(found) == {SweepState.RUNNING}
        return message

    crashed, running = later("CRASHED"), later("RUNNING")

    assert seen(crashed, crashed, running, crashed, folder="again") == ""
    assert "modelyard run FILE --continue" in seen(crashed, crashed, crashed, folder="over")


def test_where_prefect_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service file says where Prefect answers; the environment goes before it."""
    service = tmp_path / "prefect.json"
    before = prefect_api(service)
    service.write_text('{"address": "http://127.0.0.1:4200/"}')
    recorded = prefect_api(service)
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect:4200/api")

    assert (before, recorded) == (None, "http://127.0.0.1:4200/api")
    assert prefect_api(service) == "http://prefect:4200/api"
