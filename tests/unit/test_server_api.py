"""The HTTP side over real parts: documents, errors as Problems, foreign pages refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from modelyard.api import Problem, SweepState, SweepView
from modelyard.contract import Document, Reply, Stop
from modelyard.server.app import create_app, without_port
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.parts import build
from modelyard.settings import Settings
from tests.unit.serverkit import GONE, add_launch, add_sweep, batch, experiment, open_journal, step

Scenario = Callable[[httpx.AsyncClient, Core], Awaitable[None]]

SELF = {
    "run": "r1",
    "process": os.getpid(),
    "started": psutil.Process().create_time(),
}


@asynccontextmanager
async def parts(folder: Path) -> AsyncIterator[Core]:
    settings = Settings(home=folder / "home")
    settings.paths.home.mkdir()
    changes = Changes(asyncio.get_running_loop())
    core = build(
        settings,
        journal=open_journal(settings.paths.home, changes),
        changes=changes,
        epoch=1,
        address="http://127.0.0.1:1",
        run=None,
        ending=Ending(),
    )
    core.intake.start()
    try:
        yield core
    finally:
        await core.supervisor.close()
        await asyncio.to_thread(core.intake.stop)
        core.journal.close()


def served(folder: Path, scenario: Scenario) -> None:
    async def run() -> None:
        async with parts(folder) as core:
            transport = httpx.ASGITransport(create_app(core), raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:4300"
            ) as http:
                await scenario(http, core)

    asyncio.run(run())


async def create(http: httpx.AsyncClient, **request: Any) -> SweepView:
    body = {"experiment": experiment(), **request}
    answer = await http.post("/v1/sweeps", json=body)
    assert answer.status_code == 200, answer.text
    return SweepView.model_validate_json(answer.content)


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    return Problem.model_validate_json(answer.content)


def test_a_sweep_is_made_and_found(tmp_path: Path) -> None:
    """A sweep is found by id, by name, as the newest and in the list."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        await create(http)
        made = await create(http, tags={"user": "ada"})

        found = [(await http.get(f"/v1/sweeps/{ref}")).json()["id"] for ref in (made.id, "iris")]
        newest = (await http.get("/v1/sweeps/newest")).json()
        listed = (await http.get("/v1/sweeps")).json()

        assert found == [made.id, made.id]
        assert (newest["id"], newest["tags"]) == (made.id, {"user": "ada"})
        assert listed[0]["id"] == made.id
        assert len(listed) == 2

    served(tmp_path, scenario)


def test_one_sweep_a_flow_run(tmp_path: Path) -> None:
    """A flow that starts again from the top gets the sweep that it made before."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        first = await create(http, flow_run="f1")
        again = await create(http, flow_run="f1")
        other = await create(http, flow_run="f2")

        assert (again.id == first.id, other.id == first.id) == (True, False)

    served(tmp_path, scenario)


def test_the_document_holds_every_default(tmp_path: Path) -> None:
    """What launches fetch is the whole experiment, by the digest that the sweep names."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        made = await create(http, experiment={"name": "x", "data": {"source": "sklearn:iris"}})
        answer = await http.get(f"/v1/documents/{made.document}")
        document = Document.model_validate_json(answer.content)

        assert answer.json().keys() == {"experiment", "store"}  # an older reader knows no more
        assert document.digest == made.document
        assert document.experiment["train"]["epochs"] == 20
        assert document.store == core.settings.paths.artifacts.as_uri()
        assert problem(await http.get("/v1/documents/none"), 404)

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"search": {"sampler": "annealing"}}, "search.sampler"),
        ({"model": "perceptron"}, "model"),
        ({"objective": {"metric": "acuracy"}}, "objective"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, bad: dict[str, Any], path: str) -> None:
    """An experiment that can't be run is refused whole, with every mistake."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        body = {"experiment": {"name": "x", "data": {"source": "sklearn:iris"}, **bad}}

        told = problem(await http.post("/v1/sweeps", json=body), 422)

        assert any(mistake["path"].startswith(path) for mistake in told.mistakes)
        assert core.journal.sweeps() == []

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/sweeps/unknown", 404),
        ("GET", "/v1/sweeps/newest", 404),
        ("PUT", "/v1/sweeps", 405),
        ("POST", "/v1/sweeps", 422),
        ("GET", "/v1/events?after=x", 422),
        ("POST", "/v1/sweeps/aaaaaaaa/stages/fly", 422),
    ],
)
def test_every_refusal_is_a_problem(tmp_path: Path, method: str, path: str, status: int) -> None:
    """Whatever is wrong with a request is said in the same shape."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        assert problem(await http.request(method, path), status).error

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:4300"}, 200),
        ({"Host": "[::1]:4300"}, 200),
        ({"Host": "evil.example:4300"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Origin": "http://127.0.0.1:4300"}, 200),
        ({"Origin": "https://evil.example"}, 421),
        ({"Origin": "null"}, 421),
    ],
)
def test_foreign_pages_are_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """Only this machine's own names are answered, as Host and as Origin."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        assert (await http.get("/healthz", headers=headers)).status_code == status

    served(tmp_path, scenario)


@pytest.mark.parametrize(
    ("host", "name"),
    [("127.0.0.1", "127.0.0.1"), ("Localhost:80", "localhost"), ("[::1]", "[::1]")],
)
def test_host_without_port(host: str, name: str) -> None:
    """The port of a Host header is taken off, whether it has one or not."""
    assert without_port(host) == name


def test_batches_are_stored_and_answered(tmp_path: Path) -> None:
    """A launch posts, is told to stop, and is refused once it has ended."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        key = add_launch(core.journal, add_sweep(core.journal).id)
        path = f"/v1/launches/{key.sweep}/0/1/events"

        stored = await http.post(path, content=batch(step(1)).model_dump_json())
        core.journal.stop_launch(key, Stop.PRUNED)
        told = await http.post(path, content=batch(step(2), first=2).model_dump_json())
        core.journal.end_launch(key)
        late = await http.post(path, content=batch(step(3), first=3).model_dump_json())

        assert Reply.model_validate_json(stored.content) == Reply(accepted=1)
        assert Reply.model_validate_json(told.content).stop is Stop.PRUNED
        assert "has ended" in problem(late, 409).error

    served(tmp_path, scenario)


def test_bad_batches_are_refused(tmp_path: Path) -> None:
    """What isn't a batch, or repeats a number within itself, is never stored."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        key = add_launch(core.journal, add_sweep(core.journal).id)
        path = f"/v1/launches/{key.sweep}/0/1/events"
        event = batch(step(1)).model_dump(mode="json")["events"][0]

        assert "not a batch" in problem(await http.post(path, content=b"{"), 422).error
        twice = await http.post(path, json={"events": [event, event]})
        assert "must grow" in problem(twice, 422).error
        assert core.journal.cursor() == 0

    served(tmp_path, scenario)


def test_a_long_poll_waits_for_a_change(tmp_path: Path) -> None:
    """With the tag of what is known the answer comes with the next change, or says none."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        made = await create(http)
        path = f"/v1/sweeps/{made.id}"
        tag = (await http.get(path)).headers["etag"]
        known = {"If-None-Match": tag}

        same = await http.get(path, headers=known)
        waiting = asyncio.create_task(http.get(path, headers={**known, "Prefer": "wait=20"}))
        await asyncio.to_thread(core.journal.update_sweep, made.id, note="a grid")
        changed = await waiting

        assert (same.status_code, changed.status_code) == (304, 200)
        assert changed.json()["notes"] == ["a grid"]
        assert changed.headers["etag"] != tag

    served(tmp_path, scenario)


def test_a_long_poll_ends_when_only_the_reason_for_waiting_changed(tmp_path: Path) -> None:
    """Nothing was stored, yet whoever follows learns what the scheduler says now."""
    words = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        made = await create(http)
        core.journal.begin_stage(made.id, "prepare")
        path = f"/v1/sweeps/{made.id}"
        tag = (await http.get(path)).headers["etag"]
        headers = {"If-None-Match": tag, "Prefer": "wait=20"}

        asked = asyncio.create_task(http.get(path, headers=headers))
        core.journal.set_waiting(made.id, {"prepare": words})
        stages = SweepView.model_validate_json((await asked).content).stages

        assert [stage.waiting for stage in stages] == [words]

    served(tmp_path, scenario)


def test_two_runs_of_one_study(tmp_path: Path) -> None:
    """Continuing what runs is refused with the pid of whose it is."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        made = await create(http, owner=SELF)

        answer = await http.post(f"/v1/sweeps/{made.id}/continue", json={"owner": SELF})

        assert f"process {os.getpid()}" in problem(answer, 409).error

    served(tmp_path, scenario)


def test_a_dead_owners_sweep_is_continued_at_once(tmp_path: Path) -> None:
    """Nobody waits for the silence of a process that can be seen to be gone."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        made = await create(http, owner=GONE.model_dump())

        answer = await http.post(f"/v1/sweeps/{made.id}/continue", json={"owner": SELF})
        renewed = await http.post(f"/v1/sweeps/{made.id}/owner", json={"owner": SELF})
        stranger = {"owner": GONE.model_dump()}

        assert answer.json()["state"] == "running"
        assert renewed.status_code == 204
        assert problem(await http.post(f"/v1/sweeps/{made.id}/owner", json=stranger), 409)

    served(tmp_path, scenario)


def test_released_is_owned_by_nobody(tmp_path: Path) -> None:
    """After an orderly end of the run the sweep stays as it is, without an owner."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        made = await create(http, owner=SELF)

        answer = await http.delete(f"/v1/sweeps/{made.id}/owner")

        row = core.journal.sweep(made.id)
        assert (answer.status_code, row.owner, row.state) == (204, None, SweepState.RUNNING)

    served(tmp_path, scenario)


def test_cancel_and_interrupt(tmp_path: Path) -> None:
    """Both are carried out at once where nothing runs, and say the reason they were given."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        first, second = await create(http), await create(http)

        interrupted = await http.post(f"/v1/sweeps/{first.id}/interrupt", json={"reason": "tea"})
        cancelled = await http.post(f"/v1/sweeps/{second.id}/cancel", json={"reason": "no"})

        assert [(a.json()["state"], a.json()["message"]) for a in (interrupted, cancelled)] == [
            ("interrupted", "tea"),
            ("cancelled", "no"),
        ]

    served(tmp_path, scenario)


def test_a_stage_that_was_not_started(tmp_path: Path) -> None:
    """Asking for a stage says which were started; one out of order says what comes before."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        made = await create(http)

        unknown = problem(await http.get(f"/v1/sweeps/{made.id}/stages/sweep"), 404)
        early = problem(await http.post(f"/v1/sweeps/{made.id}/stages/sweep"), 409)

        assert "started so far: none" in unknown.error
        assert "comes after prepare" in early.error

    served(tmp_path, scenario)


def test_metrics_count_events_and_states(tmp_path: Path) -> None:
    """Prometheus sees what was stored and refused, and sweeps by state."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        key = add_launch(core.journal, add_sweep(core.journal).id)
        path = f"/v1/launches/{key.sweep}/0/{{}}/events"
        await http.post(path.format(1), content=batch(step(1), step(2)).model_dump_json())
        await http.post(path.format(9), content=batch(step(1)).model_dump_json())

        text = (await http.get("/metrics")).text

        assert "modelyard_events_total 2.0" in text
        assert 'modelyard_batches_total{answer="refused"} 1.0' in text
        assert 'modelyard_sweeps{state="running"} 1.0' in text

    served(tmp_path, scenario)


def test_readiness_names_what_is_wrong(tmp_path: Path) -> None:
    """A server whose executor isn't followed answers, and says that it isn't ready."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        core.settings.paths.mlflow.write_text("this is no database, whatever its name may say")

        answer = await http.get("/readyz")

        checks = answer.json()["checks"]
        assert (answer.status_code, checks["journal"], checks["optuna"]) == (503, "ok", "ok")
        assert "doesn't report" in checks["executor"]
        assert "not a database" in checks["mlflow"]

    served(tmp_path, scenario)
