"""The client against a server that is played at the wire: waits, reconnects, refusals."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelyard.api import ENDED, Desired, StageState, StageView, SweepRequest, SweepState, SweepView
from modelyard.client import Client
from modelyard.errors import ExperimentError, Interrupted, ServerRefused, ServerUnreachable
from modelyard.settings import Settings

Reply = tuple[int, dict[str, str], bytes]
Script = Callable[[str, str, dict[str, str]], Reply]


@contextmanager
def played(script: Script) -> Iterator[str]:
    """A server on a port of its own whose every answer the script gives."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            self.rfile.read(int(headers.get("content-length", 0)))
            status, extra, body = script(self.command, self.path, headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def view(state: SweepState = SweepState.RUNNING, *stages: StageView) -> SweepView:
    return SweepView(
        id="aaaaaaaa",
        name="iris",
        project="default",
        state=state,
        desired=Desired.RUNNING,
        message="Ctrl-C" if state is SweepState.INTERRUPTED else "",
        created_at=0.0,
        total=2,
        stages=stages,
    )


def stage(state: StageState) -> StageView:
    return StageView(stage="prepare", state=state, started_at=0.0, seconds=1.0)


def answered(model: Any, status: int = 200, **headers: str) -> Reply:
    return status, headers, model.model_dump_json().encode()


def sse(*numbers: int, end: bool = False) -> Reply:
    body = ": heartbeat\n\n"
    for number in numbers:
        event = {
            "id": number,
            "sweep": "aaaaaaaa",
            "task": "0",
            "launch": 1,
            "received_at": 0.0,
            "body": {},
        }
        body += f"id: {number}\ndata: {json.dumps(event)}\n\n"
    return 200, {"Content-Type": "text/event-stream"}, (body + "event: end\n\n" * end).encode()


def test_events_reconnect_with_the_cursor() -> None:
    """A stream that breaks is taken up behind its last event, until the server says the end."""
    asked: list[str] = []
    answers = [sse(1, 2), sse(), sse(3, end=True)]

    def script(_method: str, path: str, _headers: dict[str, str]) -> Reply:
        asked.append(path)
        return answers[len(asked) - 1]

    with played(script) as address, Client(address) as client:
        seen = [event.id for event in client.events("aaaaaaaa")]

    assert seen == [1, 2, 3]
    assert asked == [f"/v1/events?after={n}&sweep=aaaaaaaa" for n in (0, 2, 2)]


def test_events_bear_a_server_whose_database_is_away() -> None:
    """It refuses to stream for a while; who asks for a sweep that there isn't is told at once."""
    answers: list[Reply] = [sse(1), (503, {}, b'{"error": "no answer"}'), sse(2, end=True)]

    with played(lambda *_: answers.pop(0)) as address, Client(address) as client:
        assert [event.id for event in client.events("aaaaaaaa")] == [1, 2]
    with (
        played(lambda *_: (404, {}, b'{"error": "no sweep"}')) as address,
        Client(address) as client,
        pytest.raises(ServerRefused, match="no sweep"),
    ):
        next(client.events("aaaaaaaa"))


def test_a_gateway_before_a_server_that_is_replaced_is_borne() -> None:
    """502 to 504 are answered for a pod that comes back; a refusal of our own is not waited for."""
    answers: list[Reply] = [
        (503, {}, b"<html>"),
        (502, {}, b""),
        answered(view(SweepState.COMPLETE)),
    ]

    with played(lambda *_: answers.pop(0)) as address, Client(address) as client:
        assert [one.state for one in client.follow("aaaaaaaa")] == [SweepState.COMPLETE]
    with (
        played(lambda *_: (404, {}, b'{"error": "no sweep"}')) as address,
        Client(address) as client,
        pytest.raises(ServerRefused, match="no sweep"),
    ):
        next(client.follow("aaaaaaaa"))


def test_somebody_else_at_the_address_is_no_server_of_ours() -> None:
    """A page of somebody else's, or a gateway without our server behind it, is not our health."""
    for status in (200, 404, 503):
        reply: Reply = (status, {}, b"<html>hello</html>")
        with (
            played(lambda *_, reply=reply: reply) as address,
            Client(address, remote=True) as client,
            pytest.raises(ServerUnreachable, match="no Modelyard server"),
        ):
            client.health()


def test_follow_yields_each_change_until_the_end() -> None:
    """Views come when something changed; a poll without news yields nothing."""
    asked: list[dict[str, str]] = []
    answers = [
        answered(view(), etag='"1-1"'),
        (304, {"etag": '"1-1"'}, b""),
        answered(view(SweepState.COMPLETE), etag='"1-2"'),
    ]

    def script(_method: str, _path: str, headers: dict[str, str]) -> Reply:
        asked.append(headers)
        return answers[len(asked) - 1]

    with played(script) as address, Client(address) as client:
        states = [seen.state for seen in client.follow("aaaaaaaa")]

    assert states == [SweepState.RUNNING, SweepState.COMPLETE]
    assert [one.get("if-none-match") for one in asked] == [None, '"1-1"', '"1-1"']
    assert asked[1]["prefer"] == "wait=10"


@pytest.mark.parametrize(("seconds", "looks"), [(60.0, 2), (0.0, 1)])
def test_a_wait_ends_with_what_it_waits_for_or_with_its_time(seconds: float, looks: int) -> None:
    """The view is the one that was waited for, or the last before the time was up."""
    answers = [answered(view(), etag='"1-1"'), answered(view(SweepState.CANCELLED), etag='"1-2"')]
    asked: list[str] = []

    def script(_method: str, path: str, _headers: dict[str, str]) -> Reply:
        asked.append(path)
        return answers[len(asked) - 1]

    with played(script) as address, Client(address) as client:
        seen = client.wait("aaaaaaaa", lambda one: one.state in ENDED, seconds=seconds)

    assert seen.state is (SweepState.CANCELLED if looks == 2 else SweepState.RUNNING)
    assert len(asked) == looks


def test_a_stage_is_asked_for_again_after_a_restart() -> None:
    """When another server process answers, the waited-for stage is started there too."""
    posts: list[str] = []
    polls = iter(
        [
            answered(view(SweepState.RUNNING, stage(StageState.RUNNING)), etag='"1-7"'),
            answered(view(SweepState.RUNNING, stage(StageState.RUNNING)), etag='"2-1"'),
            answered(view(SweepState.RUNNING, stage(StageState.COMPLETE)), etag='"2-2"'),
        ]
    )
    seen: list[SweepView] = []

    def script(method: str, path: str, _headers: dict[str, str]) -> Reply:
        if method == "POST":
            posts.append(path)
            return answered(stage(StageState.RUNNING))
        return next(polls)

    with played(script) as address, Client(address) as client:
        done = client.wait_stage("aaaaaaaa", "prepare", seen.append)

    assert done.state is StageState.COMPLETE
    assert posts == ["/v1/sweeps/aaaaaaaa/stages/prepare"] * 2
    assert len(seen) == 3


def test_a_recorded_stage_is_not_waited_for() -> None:
    """A stage that has ended is returned without a further question."""

    def script(method: str, _path: str, _headers: dict[str, str]) -> Reply:
        assert method == "POST"
        return answered(stage(StageState.COMPLETE))

    with played(script) as address, Client(address) as client:
        assert client.wait_stage("aaaaaaaa", "prepare").state is StageState.COMPLETE


def test_an_interrupted_stage_is_no_longer_waited_for() -> None:
    """The sweep was interrupted: whoever waits for its stage is told."""

    def script(method: str, _path: str, _headers: dict[str, str]) -> Reply:
        running = stage(StageState.RUNNING)
        if method == "POST":
            return answered(running)
        return answered(view(SweepState.INTERRUPTED, running), etag='"1-2"')

    with (
        played(script) as address,
        Client(address) as client,
        pytest.raises(Interrupted, match="Ctrl-C"),
    ):
        client.wait_stage("aaaaaaaa", "prepare")


def test_refusals_carry_the_servers_sentence() -> None:
    """An error of the server is raised with its status and its own words."""

    def script(_method: str, _path: str, _headers: dict[str, str]) -> Reply:
        return 409, {}, b'{"error": "sweep x already runs for process 7"}'

    with (
        played(script) as address,
        Client(address) as client,
        pytest.raises(ServerRefused, match="already runs for process 7") as refusal,
    ):
        client.continue_sweep("x")

    assert refusal.value.status == 409


def test_something_else_on_the_port() -> None:
    """A stranger's answer is shown as it came."""

    def script(_method: str, _path: str, _headers: dict[str, str]) -> Reply:
        return 502, {}, b"<html>bad gateway</html>"

    with (
        played(script) as address,
        Client(address) as client,
        pytest.raises(ServerRefused, match="bad gateway"),
    ):
        client.sweep()


def test_mistakes_arrive_as_an_experiment_error() -> None:
    """The mistakes of a refused experiment come back as those of a checked file."""
    mistake = {
        "path": "budget.trials",
        "message": "at least 1",
        "value": 0,
        "valid": ["1"],
        "nearest": None,
        "line": None,
    }

    def script(_method: str, _path: str, _headers: dict[str, str]) -> Reply:
        return 422, {}, json.dumps({"error": "1 mistake", "mistakes": [mistake]}).encode()

    with (
        played(script) as address,
        Client(address) as client,
        pytest.raises(ExperimentError) as refusal,
    ):
        client.create_sweep(SweepRequest(experiment={}))

    assert [(m.path, m.value, m.valid) for m in refusal.value.mistakes] == [
        ("budget.trials", 0, ("1",))
    ]


def test_nobody_answers() -> None:
    """A port where nobody listens is an unreachable server, also for a follower."""
    with Client("http://127.0.0.1:9", patience_seconds=0.0) as client:
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9 "):
            client.sweep()
        with pytest.raises(ServerUnreachable):
            next(client.follow("aaaaaaaa"))
        with pytest.raises(ServerUnreachable):
            next(client.events())


def test_no_server_of_this_home(tmp_path: Path) -> None:
    """Without a service file the sentence says how a server is started."""
    with pytest.raises(ServerUnreachable, match="modelyard up"):
        Client.connect(Settings(home=tmp_path))


def test_a_server_that_came_back_elsewhere(tmp_path: Path) -> None:
    """A follower finds the server again through its service file when the address changed."""
    file = Settings(home=tmp_path).paths.service("server")
    file.parent.mkdir()
    file.write_text('{"address": "http://127.0.0.1:9"}')

    def script(_method: str, _path: str, _headers: dict[str, str]) -> Reply:
        return answered(view(SweepState.COMPLETE), etag='"2-1"')

    with played(script) as address, Client.connect(Settings(home=tmp_path)) as client:
        file.write_text(json.dumps({"address": address}))

        assert next(client.follow("aaaaaaaa")).state is SweepState.COMPLETE
        assert client.address == address
