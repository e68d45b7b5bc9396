"""Which sweep a run works on, and that its owner is heard: against a server at the wire."""

from __future__ import annotations

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.api import Owner, SweepState
from modelyard.cli.choose import choose
from modelyard.cli.owner import Renewal, this_process
from modelyard.client import Client
from modelyard.contract import Document
from modelyard.errors import InputError, ModelyardError, ServerRefused
from modelyard.experiment.model import Experiment

OWNER = Owner(run="abc", process=1, started=1.0)
EXPERIMENT = Experiment.model_validate({"name": "digits", "data": {"source": "sklearn:digits"}})
DOCUMENT = Document(experiment=EXPERIMENT.to_document(), store="file:///x")


def view(state: SweepState) -> dict[str, Any]:
    """The body of a sweep as the server sends it."""
    return {
        "id": "abcdefgh",
        "name": "digits",
        "project": "default",
        "state": state,
        "desired": "running",
        "created_at": 0.0,
        "total": 20,
        "flow_run": "flow-before",
        "document": DOCUMENT.digest,
    }


class Wire(http.server.ThreadingHTTPServer):
    """Answers each request by method and path as told, and keeps what was asked."""

    def __init__(self, answers: dict[str, tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def requests(self) -> list[str]:
        """Method and path of each request so far."""
        found = []
        while not self.asked.empty():
            found.append(self.asked.get()[0])
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    """See ``Wire``."""

    server: Wire

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        asked = f"{self.command} {self.path}"
        self.server.asked.put((asked, body))
        status, content = self.server.answers[asked]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A server that knows no sweep of the name, and makes one."""
    answers = {
        "GET /v1/sweeps/digits": (404, {"error": "no sweep digits"}),
        "POST /v1/sweeps": (200, view(SweepState.RUNNING)),
        f"GET /v1/documents/{DOCUMENT.digest}": (200, DOCUMENT.model_dump(mode="json")),
    }
    with Wire(answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def chosen(
    wire: Wire, *, go_on: bool, experiment: Experiment = EXPERIMENT, own_space: bool = True
) -> Any:
    with Client(wire.address) as client:
        return choose(
            client,
            experiment,
            owner=OWNER,
            tags={"user": "me"},
            own_space=own_space,
            go_on=go_on,
        )


@pytest.mark.parametrize("go_on", [False, True])
def test_a_new_sweep_is_owned_and_tagged(go_on: bool, wire: Wire) -> None:
    """Without --continue, or with it and no sweep of the name, a new one is made."""
    result = chosen(wire, go_on=go_on)

    asked = [wire.asked.get() for _ in range(1 + go_on)]
    assert asked[-1][0] == "POST /v1/sweeps"
    assert asked[-1][1]["owner"] == OWNER.model_dump()
    assert asked[-1][1]["tags"] == {"user": "me"}
    assert asked[-1][1]["experiment"] == {"name": "digits", "data": {"source": "sklearn:digits"}}
    assert (result.finished, result.earlier_flow_run) == (False, None)


@pytest.mark.parametrize("state", [SweepState.COMPLETE, SweepState.REFUSED, SweepState.CANCELLED])
def test_a_finished_sweep_is_left_alone(state: SweepState, wire: Wire) -> None:
    """--continue finds nothing to do, and changes nothing."""
    wire.answers["GET /v1/sweeps/digits"] = (200, view(state))

    assert chosen(wire, go_on=True).finished
    assert wire.requests() == ["GET /v1/sweeps/digits"]


@pytest.mark.parametrize("state", [SweepState.INTERRUPTED, SweepState.FAILED])
def test_an_unfinished_sweep_goes_on(state: SweepState, wire: Wire) -> None:
    """It is continued with us as its owner, and its old flow run isn't used again."""
    wire.answers["GET /v1/sweeps/digits"] = (200, view(state))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (200, view(SweepState.RUNNING))

    result = chosen(wire, go_on=True)

    assert result.view.state is SweepState.RUNNING
    assert result.earlier_flow_run == "flow-before"


def test_a_running_sweep_is_refused(wire: Wire) -> None:
    """The server's sentence, which names the owner's process, is passed on."""
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.RUNNING))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (409, {"error": "runs for process 7"})

    with pytest.raises(ServerRefused, match="runs for process 7"):
        chosen(wire, go_on=True)


def test_another_experiment_is_refused_with_the_keys_that_differ(wire: Wire) -> None:
    """--continue needs the same experiment; a larger budget is another one too."""
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.INTERRUPTED))
    larger = EXPERIMENT.model_copy(
        update={"budget": EXPERIMENT.budget.model_copy(update={"trials": 30})}
    )

    with pytest.raises(InputError, match=r"budget\.trials: 20 became 30"):
        chosen(wire, go_on=True, experiment=larger)


def test_a_default_space_that_follows_the_data_is_no_change(wire: Wire) -> None:
    """What nobody wrote may have become another since; a space of the file's own may not."""
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.INTERRUPTED))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (200, view(SweepState.RUNNING))
    other = Experiment.model_validate(
        {**EXPERIMENT.to_request(), "search": {"space": {"hidden": {"int": [8, 16]}}}}
    )

    assert chosen(wire, go_on=True, experiment=other, own_space=False).view.id == "abcdefgh"
    with pytest.raises(InputError, match=r"search\.space"):
        chosen(wire, go_on=True, experiment=other)


@pytest.mark.parametrize(
    ("space", "written", "mine", "refused"),
    [
        (None, None, None, True),
        (None, ("batch_size",), None, False),
        ({"batch_size": {"int": [4, 16]}}, None, {}, True),
        ({"batch_size": {"int": [4, 16]}}, None, {"batch_size": {"int": [4, 8]}}, False),
        ({"hidden": {"int": [4, 16]}}, None, {"hidden": {"int": [4, 8]}}, False),
    ],
    ids=["left open", "fixed before", "searched", "of trees", "not searched"],
)
def test_a_key_that_a_sweep_searches_cant_be_fixed_later(
    space: Any, written: Any, mine: Any, refused: bool, wire: Wire
) -> None:
    """Fixed in the file since, at the value that the document has, it is named as a change."""
    meant = {**EXPERIMENT.to_document(), "search": {"space": space}}
    before = Document(
        experiment=Experiment.model_validate(meant).to_document(), store="", written=written
    )
    document = before.model_dump(mode="json")
    wire.answers[f"GET /v1/documents/{DOCUMENT.digest}"] = (200, document)
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.INTERRUPTED))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (200, view(SweepState.RUNNING))
    file = {"search": {"space": mine}, "train": {"batch_size": 64, "epochs": 20}}
    fixed = Experiment.model_validate({**EXPERIMENT.to_request(), **file})

    if refused:
        with pytest.raises(InputError, match=r"changes, .*: train\.batch_size: .* became 64$"):
            chosen(wire, go_on=True, experiment=fixed, own_space=False)
    else:
        assert chosen(wire, go_on=True, experiment=fixed, own_space=False).view.id == "abcdefgh"


def test_what_an_older_server_kept_fixed_is_no_change(wire: Wire) -> None:
    """It noted no written keys: those that differ from their defaults were left alone."""
    file = {"search": {"space": None}, "train": {"batch_size": 32, "epochs": 20}}
    same = Experiment.model_validate({**EXPERIMENT.to_request(), **file})
    before = Document(experiment=same.to_document(), store="")
    wire.answers[f"GET /v1/documents/{DOCUMENT.digest}"] = (200, before.model_dump(mode="json"))
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.INTERRUPTED))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (200, view(SweepState.RUNNING))

    assert chosen(wire, go_on=True, experiment=same, own_space=False).view.id == "abcdefgh"


def test_a_key_that_an_older_server_lacks_counts_where_it_is_written(wire: Wire) -> None:
    """Left out, it is no difference to --continue; written, it is one."""
    older = EXPERIMENT.to_document()
    del older["explain"], older["train"]["ema"], older["objective"][0]["goal"]
    wire.answers[f"GET /v1/documents/{DOCUMENT.digest}"] = (200, {"experiment": older, "store": ""})
    wire.answers["GET /v1/sweeps/digits"] = (200, view(SweepState.INTERRUPTED))
    wire.answers["POST /v1/sweeps/abcdefgh/continue"] = (200, view(SweepState.RUNNING))

    assert chosen(wire, go_on=True).view.state is SweepState.RUNNING
    written = Experiment.model_validate({**EXPERIMENT.to_request(), "train": {"ema": 0.9}})
    with pytest.raises(InputError, match=r"these changes, .*: train\.ema: None became 0\.9$"):
        chosen(wire, go_on=True, experiment=written)


def test_the_owner_is_renewed_until_it_is_refused(wire: Wire) -> None:
    """The renewal says who we are, and tells once when the sweep isn't ours any more."""
    wire.answers["POST /v1/sweeps/abcdefgh/owner"] = (409, {"error": "owned by process 7"})
    lost: queue.SimpleQueue[ModelyardError] = queue.SimpleQueue()

    Renewal(wire.address, "abcdefgh", OWNER, lost.put)

    assert "owned by process 7" in str(lost.get(timeout=120))
    assert wire.asked.get(timeout=120)[1] == {"owner": OWNER.model_dump()}


def test_this_process_is_named_by_pid_and_start() -> None:
    """Two runs have two ids, and a reused pid isn't taken for either."""
    one, other = this_process(), this_process()

    assert one.run != other.run
    assert (one.process, one.started) == (other.process, other.started)
