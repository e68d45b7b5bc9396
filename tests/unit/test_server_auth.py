"""Who may speak to a server that has a key: its holders, and trials with their sweep's token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from modelyard.api import Problem
from modelyard.contract import Metrics
from modelyard.errors import InputError
from modelyard.server import auth
from modelyard.server.app import create_app
from modelyard.server.changes import Changes
from modelyard.server.core import Core
from modelyard.server.ending import Ending
from modelyard.server.parts import build
from modelyard.server.tokens import Tokens, hashed
from modelyard.settings import Settings
from tests.unit.serverkit import add_launch, add_sweep, batch, experiment, open_journal

KEY = "the-key-of-the-installation"

Scenario = Callable[[httpx.AsyncClient, Core], Awaitable[None]]


def served(folder: Path, scenario: Scenario, **settings: Any) -> None:
    """A scenario against a server's parts, called by the address of its settings."""

    async def run() -> None:
        given = Settings(home=folder / "home", **{"api_key": SecretStr(KEY), **settings})
        given.paths.home.mkdir()
        changes = Changes(asyncio.get_running_loop())
        journal = open_journal(given.paths.home, changes)
        core = build(
            given,
            journal=journal,
            changes=changes,
            epoch=1,
            address="http://127.0.0.1:1",
            run=None,
            ending=Ending(),
        )
        core.intake.start()
        transport = httpx.ASGITransport(create_app(core), raise_app_exceptions=False)
        try:
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:4300"
            ) as http:
                await scenario(http, core)
        finally:
            await asyncio.to_thread(core.intake.stop)
            journal.close()

    asyncio.run(run())


def shown(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def posted(sequence: int = 1) -> str:
    return batch(Metrics(step=1, values={}), first=sequence).model_dump_json()


@pytest.mark.parametrize(
    "headers",
    [{}, shown("wrong"), shown(""), {"Authorization": f"Basic {KEY}"}, {"Authorization": KEY}],
)
def test_without_the_key_nothing_is_told(tmp_path: Path, headers: dict[str, str]) -> None:
    """401 as a Problem with a challenge, that repeats nothing of what was shown."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        answer = await http.get("/v1/sweeps", headers=headers)

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "MODELYARD_API_KEY" in Problem.model_validate_json(answer.content).error
        assert "wrong" not in answer.text

    served(tmp_path, scenario)


def test_the_key_opens_everything(tmp_path: Path) -> None:
    """Whoever shows it makes sweeps and posts events of any launch."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        made = await http.post("/v1/sweeps", json={"experiment": experiment()}, headers=shown(KEY))
        key = add_launch(core.journal, add_sweep(core.journal, "bbbbbbbb").id)
        path = f"/v1/launches/{key.sweep}/{key.task}/{key.number}/events"
        answer = await http.post(path, content=posted(), headers=shown(KEY))

        assert (made.status_code, answer.status_code) == (200, 200)

    served(tmp_path, scenario)


def test_a_token_opens_its_own_sweeps_launches_and_document_only(tmp_path: Path) -> None:
    """Another sweep's launches and documents, and everything else, stay shut."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        mine, other = add_sweep(core.journal), add_sweep(core.journal, "bbbbbbbb", name="other")
        add_launch(core.journal, mine.id)
        add_launch(core.journal, other.id)
        headers = shown(await core.tokens.issue(mine.id))

        async def status(method: str, path: str) -> int:
            content = posted() if method == "POST" else None
            answer = await http.request(method, path, content=content, headers=headers)
            return answer.status_code

        found = {
            path: await status(method, path)
            for method, path in (
                ("POST", f"/v1/launches/{mine.id}/0/1/events"),
                ("GET", f"/v1/documents/{mine.document}"),
                ("POST", f"/v1/launches/{other.id}/0/1/events"),
                ("GET", f"/v1/documents/{other.document}"),
                ("GET", f"/v1/sweeps/{mine.id}"),
                ("GET", f"/v1/launches/{mine.id}"),
                ("GET", "/openapi.json"),
            )
        }

        assert mine.document != other.document
        assert list(found.values()) == [200, 200, 401, 401, 401, 401, 401]

    served(tmp_path, scenario)


def test_a_token_outlives_its_sweep_and_a_newer_one_replaces_it(tmp_path: Path) -> None:
    """Late posts are answered by fencing; the old token is void once another was issued."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        key = add_launch(core.journal, add_sweep(core.journal).id)
        path = f"/v1/launches/{key.sweep}/{key.task}/{key.number}/events"
        first = await core.tokens.issue(key.sweep)
        core.journal.end_launch(key)
        late = await http.post(path, content=posted(), headers=shown(first))
        second = await core.tokens.issue(key.sweep)
        old = await http.post(path, content=posted(), headers=shown(first))
        new = await http.post(path, content=posted(), headers=shown(second))

        assert [late.status_code, old.status_code, new.status_code] == [409, 401, 409]

    served(tmp_path, scenario)


def test_the_next_server_knows_the_tokens_of_the_last(tmp_path: Path) -> None:
    """The journal keeps a hash, from which the token can't be read."""

    async def scenario(_: httpx.AsyncClient, core: Core) -> None:
        sweep = add_sweep(core.journal)
        token = await core.tokens.issue(sweep.id)
        restarted = Tokens(core.journal)

        holder = await restarted.holder(token)

        assert holder is not None
        assert (holder.sweep, holder.document) == (sweep.id, sweep.document)
        assert core.journal.sweep_of_token(token) is None
        assert core.journal.sweep_of_token(hashed(token)) == sweep.id

    served(tmp_path, scenario)


def test_a_known_token_is_not_looked_up_again(tmp_path: Path) -> None:
    """Posts go on being let in without a look into the journal."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        sweep = add_sweep(core.journal)
        token = await core.tokens.issue(sweep.id)
        path = f"/v1/documents/{sweep.document}"
        await http.get(path, headers=shown(token))
        core.journal.set_token(sweep.id, "another")

        assert (await http.get(path, headers=shown(token))).status_code == 200

    served(tmp_path, scenario)


def test_a_refusal_is_said_once_without_what_was_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each source and reason, however often it is tried."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        with caplog.at_level(logging.WARNING, auth.__name__):
            for _ in range(3):
                await http.get("/v1/sweeps", headers=shown("a-guess"))
                await http.get("/v1/sweeps")

        assert len(caplog.messages) == 2
        assert not any("a-guess" in message for message in caplog.messages)

    served(tmp_path, scenario)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_the_clusters_questions_are_open(tmp_path: Path, path: str) -> None:
    """They need no key, and are asked by a pod's address instead of a name."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        answer = await http.get(path, headers={"Host": "10.244.0.17:4300"})

        assert answer.status_code in (200, 503)

    served(tmp_path, scenario)


def test_an_embedded_server_asks_for_nothing(tmp_path: Path) -> None:
    """Without a key everybody of this machine is let in."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        assert (await http.get("/v1/sweeps")).status_code == 200

    served(tmp_path, scenario, api_key=None)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("modelyard.team.svc:4300", 200),
        ("yard.example", 200),
        ("127.0.0.1:4300", 200),
        ("evil.example", 421),
    ],
)
def test_the_names_of_a_cluster(tmp_path: Path, host: str, status: int) -> None:
    """Named in the settings, or by the address that trials use."""

    async def scenario(http: httpx.AsyncClient, _: Core) -> None:
        headers = {**shown(KEY), "Host": host}
        assert (await http.get("/v1/sweeps", headers=headers)).status_code == status

    served(tmp_path, scenario, hosts=("yard.example",), address="http://modelyard.team.svc:4300")


@pytest.mark.parametrize(
    ("host", "key", "fine"),
    [
        ("127.0.0.1", None, True),
        ("localhost", None, True),
        ("::1", None, True),
        ("0.0.0.0", KEY, True),
        ("0.0.0.0", None, False),
        ("10.0.0.7", "", False),
        ("modelyard", None, False),
    ],
)
def test_others_never_reach_a_server_without_a_key(
    tmp_path: Path, host: str, key: str | None, fine: bool
) -> None:
    """Listening to more than this machine takes a key; the message names both ways out."""
    settings = Settings(home=tmp_path, host=host, api_key=None if key is None else SecretStr(key))
    if fine:
        assert auth.key_of(settings) == key
    else:
        with pytest.raises(InputError, match=r"MODELYARD_API_KEY.*MODELYARD_HOST"):
            auth.key_of(settings)
