"""Runs that the server submits: one flow run a sweep, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.api import Problem, SweepState, SweepView
from modelyard.server.app import create_app
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.parts import build
from modelyard.server.prefect_rest import Prefect
from modelyard.server.submit import WAITS, Submitter, key_of
from modelyard.settings import Settings
from tests.support.prefect_wire import PrefectWire
from tests.unit.serverkit import add_sweep, experiment, open_journal

Scenario = Callable[[httpx.AsyncClient, Core, PrefectWire], Awaitable[None]]

API = "http://prefect:4200/api"


@pytest.fixture(autouse=True)
def _prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", API)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)


def served(folder: Path, scenario: Scenario, wire: PrefectWire | None = None) -> None:
    """Play a scenario against the routes, with Prefect at the wire."""

    async def run() -> None:
        settings, played = Settings(home=folder / "home"), wire or PrefectWire()
        settings.paths.home.mkdir()
        changes = Changes(asyncio.get_running_loop())
        journal = open_journal(settings.paths.home, changes)
        core = build(
            settings,
            journal=journal,
            changes=changes,
            epoch=1,
            address="http://127.0.0.1:1",
            run=None,
            ending=Ending(),
        )
        async with httpx.AsyncClient(transport=played.transport) as http:
            prefect = Prefect(folder / "none.json", http)
            core = replace(core, prefect=prefect, submitter=Submitter(journal, prefect))
            transport = httpx.ASGITransport(create_app(core), raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:4300"
            ) as client:
                await scenario(client, core, played)
        await core.supervisor.close()
        journal.close()

    asyncio.run(run())


async def post(http: httpx.AsyncClient, path: str, body: dict[str, Any] | None = None) -> SweepView:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return SweepView.model_validate_json(answer.content)


async def begin(http: httpx.AsyncClient, **sections: Any) -> SweepView:
    return await post(
        http, "/v1/runs", {"experiment": experiment(**sections), "tags": {"user": "ada"}}
    )


def test_a_run_is_a_sweep_that_a_flow_run_leads(tmp_path: Path) -> None:
    """The flow gets the whole experiment and the sweep's id, and the sweep the flow run's."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        made = await begin(http)

        whole = core.journal.sweep(made.id).experiment
        assert wire.runs == {"run-1": {"experiment": whole, "sweep": made.id}}
        assert (made.flow_run, made.message) == ("run-1", "")
        assert made.tags == {"user": "ada", "deployment": "pipeline/cluster"}

    served(tmp_path, scenario)


def test_what_is_left_out_is_filled_in(tmp_path: Path) -> None:
    """The keys that were written make the same document, by its digest, as the whole experiment."""
    written = {"name": "iris", "data": {"source": "sklearn:iris"}, "model": "mlp"}

    async def scenario(http: httpx.AsyncClient, core: Core, _: PrefectWire) -> None:
        of_keys = await post(http, "/v1/runs", {"experiment": written})
        of_whole = await post(http, "/v1/runs", {"experiment": experiment()})

        assert core.journal.sweep(of_keys.id).experiment == experiment()
        assert of_keys.document == of_whole.document

    served(tmp_path, scenario)


def test_written_keys_are_told_from_defaults(tmp_path: Path) -> None:
    """Those of ``train`` are kept with a sweep whose space is yet to be filled in, at whatever
    value; a space of the file's own asks for none."""
    fixed = {"train": {"batch_size": 64, "dropout": 0.3, "epochs": 5}}
    written = {"name": "iris", "data": {"source": "sklearn:iris"}, "model": "mlp", **fixed}
    space = {"search": {"space": {"layers": [1, 2]}}}

    async def scenario(http: httpx.AsyncClient, core: Core, _: PrefectWire) -> None:
        for more, keys in (({}, ("batch_size", "dropout")), (space, None)):
            made = await post(http, "/v1/runs", {"experiment": {**written, **more}})
            document = core.journal.document(made.document)
            assert document is not None
            assert document.written == keys

    served(tmp_path, scenario)


def test_mistakes_are_told_and_nothing_is_made(tmp_path: Path) -> None:
    """A run's experiment is checked as a sweep's is."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        bad = {**experiment(), "objective": {"metric": "acuracy"}}
        answer = await http.post("/v1/runs", json={"experiment": bad})

        problem = Problem.model_validate_json(answer.content)
        assert answer.status_code == 422
        assert [m["path"] for m in problem.mistakes] == ["objective.0.metric"]
        assert (core.journal.sweeps(), wire.runs) == ([], {})

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (PrefectWire(away=True), f"doesn't answer at {API}"),
        (PrefectWire(deployment="pipeline/other"), "no deployment pipeline/cluster"),
        (PrefectWire(credentials="Basic eDp5"), "PREFECT_API_AUTH_STRING"),
    ],
    ids=["away", "no deployment", "refused"],
)
def test_prefect_that_cannot_is_asked_again(tmp_path: Path, wire: PrefectWire, said: str) -> None:
    """The sweep is made all the same, says what it waits for, and is submitted later, once."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        made = await begin(http)
        await core.submitter.look()
        waiting = core.journal.sweep(made.id)
        wire.away, wire.deployment, wire.credentials = False, "pipeline/cluster", ""
        await core.submitter.look()
        await core.submitter.look()
        submitted = core.journal.sweep(made.id)

        assert (made.flow_run, waiting.flow_run) == (None, None)
        assert made.message.startswith(WAITS)
        assert said in made.message
        assert (submitted.flow_run, submitted.message) == ("run-1", "")
        assert len(wire.runs) == 1

    served(tmp_path, scenario, wire)


def test_the_key_for_prefect_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's own variable for a password is followed."""
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pass")

    async def scenario(http: httpx.AsyncClient, _: Core, __: PrefectWire) -> None:
        assert (await begin(http)).flow_run == "run-1"

    served(tmp_path, scenario, PrefectWire(credentials="Basic YWRtaW46cGFzcw=="))


def test_a_server_that_died_between_asking_and_writing(tmp_path: Path) -> None:
    """Asked again with the same key, Prefect gives the flow run that it made before."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        wire.away = True
        made = await begin(http)
        wire.away = False
        row = core.journal.sweep(made.id)
        lost = await core.prefect.submit(
            "pipeline/cluster", name="x", parameters={"sweep": made.id}, key=key_of(row)
        )
        await core.submitter.look()

        assert core.journal.sweep(made.id).flow_run == lost
        assert len(wire.runs) == 1

    served(tmp_path, scenario)


def test_a_cancelled_sweep_is_not_submitted(tmp_path: Path) -> None:
    """Cancelled while Prefect was away, it never gets a flow run; the reason stays."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        wire.away = True
        made = await begin(http)
        await post(http, f"/v1/sweeps/{made.id}/cancel", {"reason": "no longer wanted"})
        wire.away = False
        await core.submitter.look()
        row = core.journal.sweep(made.id)

        assert (row.state, row.message) == (SweepState.CANCELLED, "no longer wanted")
        assert (row.flow_run, wire.runs) == (None, {})

    served(tmp_path, scenario)


def test_other_sweeps_are_left_alone(tmp_path: Path) -> None:
    """A sweep that a flow or a local run made is nobody's to submit."""

    async def scenario(_: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        add_sweep(core.journal)
        await core.submitter.look()

        assert wire.runs == {}

    served(tmp_path, scenario)


@pytest.mark.parametrize("state", [SweepState.FAILED, SweepState.INTERRUPTED])
def test_an_unfinished_run_goes_on_under_a_new_flow_run(tmp_path: Path, state: SweepState) -> None:
    """Its flow has ended, so another leads it; the sweep is the same."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        made = await begin(http)
        core.journal.update_sweep(made.id, state=state, message="it failed")
        again = await post(http, f"/v1/runs/{made.id}/continue")

        assert (again.id, again.state, again.flow_run) == (made.id, SweepState.RUNNING, "run-2")
        assert again.tags["earlier_flow_run"] == "run-1"
        assert [parameters["sweep"] for parameters in wire.runs.values()] == [made.id] * 2

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("RUNNING", "run-1"),
        ("SCHEDULED", "run-1"),
        ("CRASHED", "run-2"),
        ("FAILED", "run-2"),
        ("ODD", "run-1"),
    ],
)
def test_a_running_run_needs_another_flow_run_only_when_its_own_is_over(
    tmp_path: Path, state: str, expected: str
) -> None:
    """Continuing what goes on changes nothing; what nobody leads any more is led again."""

    async def scenario(http: httpx.AsyncClient, _: Core, wire: PrefectWire) -> None:
        made = await begin(http)
        wire.states["run-1"] = state
        assert (await post(http, f"/v1/runs/{made.id}/continue")).flow_run == expected

    served(tmp_path, scenario)


def test_what_has_ended_is_not_continued(tmp_path: Path) -> None:
    """Complete comes back as it is; cancelled is final."""

    async def scenario(http: httpx.AsyncClient, core: Core, wire: PrefectWire) -> None:
        made, other = await begin(http), await begin(http, name="other")
        core.journal.update_sweep(made.id, state=SweepState.COMPLETE)
        await post(http, f"/v1/sweeps/{other.id}/cancel", {})
        same = await post(http, f"/v1/runs/{made.id}/continue")
        refused = await http.post(f"/v1/runs/{other.id}/continue")

        assert (same.state, same.flow_run) == (SweepState.COMPLETE, "run-1")
        assert (refused.status_code, len(wire.runs)) == (409, 2)

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("sklearn:iris", False),
        ("upload:" + "0" * 64 + "/x.csv", False),
        ("/data/x.csv", False),
        ("/other/x.csv", True),
        ("x.csv", True),
    ],
)
def test_a_path_that_no_pod_has_is_refused(tmp_path: Path, source: str, refused: bool) -> None:
    """In a cluster a file is uploaded, in a bucket or on a mounted volume: the mistake says so."""
    volume = {"mount_path": "/data", "persistentVolumeClaim": {"claimName": "d"}}

    async def scenario(_: httpx.AsyncClient, core: Core, __: PrefectWire) -> None:
        settings = core.settings.model_copy(update={"executor": "kubernetes"})
        asked = experiment(data={"source": source, "target": "y"}, resources={"volumes": [volume]})
        answer = await _asked(replace(core, settings=settings), asked)

        assert answer.status_code == (422 if refused else 200), answer.text
        assert ("mount its volume by resources.volumes" in answer.text) == refused

    served(tmp_path, scenario)


async def _asked(core: Core, asked: dict[str, Any]) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(core), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4300") as http:
        return await http.post("/v1/runs", json={"experiment": asked})
