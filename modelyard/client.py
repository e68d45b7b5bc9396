"""The typed client of our server: what the command line, flows and tools speak through.

One method a path. Waiting is done with long polls (an ETag and ``Prefer: wait``, RFC 7240), so
a change is seen at once and silence costs nothing; a server that restarts meanwhile is found
again through its service file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from modelyard.api import (
    ENDED,
    EventView,
    Health,
    LogPage,
    Owner,
    RunRequest,
    ServingView,
    StageState,
    StageView,
    SweepRequest,
    SweepState,
    SweepView,
    TrialView,
    VersionView,
)
from modelyard.connection import RETRY_SECONDS, Connection, recorded_address
from modelyard.contract import Document, Metrics, PinnedVersion, TrialResult, Wire
from modelyard.errors import (
    Interrupted,
    ServerUnreachable,
)
from modelyard.settings import Settings
from modelyard.store.manifest import digest_file

COALESCE_SECONDS = 0.2
"""Shortest time between two views of a followed sweep."""

PATIENCE_SECONDS = 15.0
REMOTE_PATIENCE_SECONDS = 300.0

WAIT_SECONDS = 10
"""How long the server may hold a long poll."""

NOT_OURS = (404, 405, 500, 502, 503, 504)
"""What a gateway answers when our server isn't behind it; 503 is an answer of ours, too."""

CHECK_SECONDS = 120.0
"""Longest silence while a new sweep is checked: the server imports the plugins that it names."""

UPLOAD_SECONDS = 600.0
"""Longest silence of an upload: at its end the server passes the file on."""

Answer = TypeVar("Answer", bound=Wire)
Value = TypeVar("Value")


class Client:
    """Speaks to one server. Not thread-safe in its waits; each thread takes its own.

    Args:
        address: base URL, ``http://127.0.0.1:4300``.
        service: the server's service file; where it is asked for the address again when the
            server went away during a wait.
        patience_seconds: how long a wait bears a server that doesn't answer.
        api_key: shown to a server that asks for one.
        remote: it isn't this machine's to start.

    Raises:
        ServerUnreachable: from every method, when the server doesn't answer.
        ServerRefused: from every method, when it answers with an error; carries the status.
    """

    def __init__(
        self,
        address: str,
        *,
        service: Path | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        api_key: SecretStr | None = None,
        remote: bool = False,
    ) -> None:
        self._connection = Connection(
            address,
            service=service,
            patience_seconds=patience_seconds,
            api_key=api_key,
            remote=remote,
        )

    @classmethod
    def connect(cls, settings: Settings, *, patience_seconds: float | None = None) -> Client:
        """A client of the server that the settings name, else of the home's own.

        Args:
            patience_seconds: fifteen seconds for a server of this machine and five minutes for
                a cluster's, whose pod may be moved, when left out.

        Raises:
            ServerUnreachable: no server of this home is recorded.
            InputError: the settings' address or key can't be used.
        """
        if settings.server is not None:
            return cls(
                settings.server,
                patience_seconds=patience_seconds or REMOTE_PATIENCE_SECONDS,
                api_key=settings.api_key,
                remote=True,
            )
        file = settings.paths.service("server")
        address = recorded_address(file)
        if address is None:
            raise ServerUnreachable(
                f"no Modelyard server runs for {settings.paths.home}; "
                "start one with `modelyard up` or `modelyard run FILE`"
            )
        return cls(
            address,
            service=file,
            patience_seconds=patience_seconds or PATIENCE_SECONDS,
            api_key=settings.api_key,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def patiently(self, call: Callable[[], Value]) -> Value:
        """Call, and again while the server is away, for as long as that is borne.

        Args:
            call: of this client, and one that may be repeated.
        """
        return self._connection.patiently(call)

    def close(self) -> None:
        """Free the connections."""
        self._connection.close()

    @property
    def address(self) -> str:
        """Base URL at which the server was met last."""
        return self._connection.address

    # sweeps

    def create_sweep(self, request: SweepRequest) -> SweepView:
        """Make a sweep, or find the one of the request's flow run.

        Raises:
            ExperimentError: the experiment has mistakes.
        """
        return self._post("/v1/sweeps", SweepView, request, timeout=CHECK_SECONDS)

    def sweeps(self) -> list[SweepView]:
        """The newest hundred sweeps, newest first."""
        return [
            SweepView.model_validate(row)
            for row in self._connection.send("GET", "/v1/sweeps").json()
        ]

    def sweep(self, reference: str | None = None) -> SweepView:
        """A sweep by id, the newest of a name, or the newest of all."""
        return self._get(f"/v1/sweeps/{reference or 'newest'}", SweepView)

    def continue_sweep(self, sweep: str, owner: Owner | None = None) -> SweepView:
        """Let an interrupted or failed sweep go on; a complete one is returned as it is.

        Raises:
            ServerRefused: 409 when it runs; the message names the owner's pid.
        """
        return self._post(f"/v1/sweeps/{sweep}/continue", SweepView, None, _owner(owner))

    def renew_owner(self, sweep: str, owner: Owner) -> None:
        """Say that the owner lives; due every second.

        Raises:
            ServerRefused: 409 when somebody else owns the sweep by now.
        """
        self._connection.send("POST", f"/v1/sweeps/{sweep}/owner", json=_owner(owner))

    def release_owner(self, sweep: str) -> None:
        """End the ownership in good order; the sweep is left as it is."""
        self._connection.send("DELETE", f"/v1/sweeps/{sweep}/owner")

    def attach_flow_run(self, sweep: str, flow_run: str) -> SweepView:
        """Tie the sweep to a Prefect flow run, whose cancellation then cancels it."""
        body = {"flow_run": flow_run}
        return self._post(f"/v1/sweeps/{sweep}/flow-run", SweepView, None, body)

    def cancel(self, sweep: str, reason: str = "") -> SweepView:
        """End the sweep for good; it is cancelled once its trials have ended."""
        return self._post(f"/v1/sweeps/{sweep}/cancel", SweepView, None, {"reason": reason})

    def interrupt(self, sweep: str, reason: str = "") -> SweepView:
        """Stop the sweep with checkpoints; it can be continued."""
        return self._post(f"/v1/sweeps/{sweep}/interrupt", SweepView, None, {"reason": reason})

    def trials(self, sweep: str) -> list[TrialView]:
        """The trials of a sweep by number."""
        answer = self._connection.send("GET", f"/v1/sweeps/{sweep}/trials")
        return [TrialView.model_validate(row) for row in answer.json()]

    def logs(self, sweep: str, task: str | None = None, after: int = 0) -> LogPage:
        """What tasks printed, from a cursor on."""
        params = {"after": str(after), **({"task": task} if task is not None else {})}
        return self._get(f"/v1/sweeps/{sweep}/logs", LogPage, params)

    def task_metrics(self, sweep: str, task: str) -> list[Metrics]:
        """What a trial or stage reported, in order of steps."""
        answer = self._connection.send("GET", f"/v1/sweeps/{sweep}/tasks/{task}/metrics")
        return [Metrics.model_validate(row) for row in answer.json()]

    def task_result(self, sweep: str, task: str) -> TrialResult | None:
        """The accepted result of a trial or stage; None without one."""
        there = f"/v1/sweeps/{sweep}/tasks/{task}/result"
        answer = self._connection.send("GET", there, accepted=(404,))
        return TrialResult.model_validate_json(answer.content) if answer.is_success else None

    def task_file(self, sweep: str, task: str, role: str, name: str) -> bytes:
        """A file that a task kept.

        Args:
            role, name: keys and values of ``report.gather.ROLES``.
        """
        there = f"/v1/sweeps/{sweep}/tasks/{task}/files/{role}/{name}"
        return self._connection.send("GET", there).content

    def document(self, digest: str) -> Document:
        """What all launches of a sweep share, its experiment among it."""
        return self._get(f"/v1/documents/{digest}", Document)

    # runs

    def create_run(self, request: RunRequest) -> SweepView:
        """Make a sweep whose flow the server has Prefect start.

        Raises:
            ExperimentError: the experiment has mistakes.
        """
        return self._post("/v1/runs", SweepView, request, timeout=CHECK_SECONDS)

    def continue_run(self, sweep: str) -> SweepView:
        """Let an interrupted or failed sweep go on under a new flow run; one that runs is left
        alone unless nobody leads it, and a complete one is returned as it is.

        Raises:
            ServerRefused: 409 when it was cancelled.
        """
        return self._post(f"/v1/runs/{sweep}/continue", SweepView)

    def upload(self, path: Path, name: str) -> str:
        """Send a file to the server's store, unless it has one of these bytes.

        Args:
            path: local file.
            name: what it is called there; its ending says what it is.

        Returns:
            Its BLAKE3: the file is ``upload:<digest>/<name>`` from now on.

        Raises:
            ServerRefused: 413 when it is larger than the server takes.
        """
        digest = digest_file(path)
        there = f"/v1/uploads/{digest}/{quote(name, safe='')}"
        if self._connection.send("HEAD", there, accepted=(404,)).is_success:
            return digest
        with path.open("rb") as file:
            self._connection.send("PUT", there, content=file, timeout=UPLOAD_SECONDS)
        return digest

    # stages

    def run_stage(self, sweep: str, stage: str) -> StageView:
        """Start a stage, or return what it came to; returns at once."""
        return self._post(f"/v1/sweeps/{sweep}/stages/{stage}", StageView)

    def stage(self, sweep: str, stage: str) -> StageView:
        """A stage that was started."""
        return self._get(f"/v1/sweeps/{sweep}/stages/{stage}", StageView)

    def wait_stage(
        self, sweep: str, stage: str, on_change: Callable[[SweepView], None] | None = None
    ) -> StageView:
        """Run a stage to its end.

        Args:
            on_change: given the sweep at each change meanwhile, at most five times a second.

        Raises:
            Interrupted: the sweep was interrupted before the stage ended.
        """
        view = self._connection.patiently(lambda: self.run_stage(sweep, stage))
        if view.state is not StageState.RUNNING:
            return view
        for tag, seen in self._follow(sweep):
            if tag.fresh_server:
                self._connection.patiently(lambda: self.run_stage(sweep, stage))
            if on_change is not None:
                on_change(seen)
            view = next((s for s in seen.stages if s.stage == stage), view)
            if view.state is not StageState.RUNNING:
                return view
            if seen.state is SweepState.INTERRUPTED:
                raise Interrupted(f"sweep {sweep} was interrupted during {stage}: {seen.message}")
        return view

    # waiting

    def follow(self, sweep: str) -> Iterator[SweepView]:
        """The sweep now and at each change, at most five times a second, until it has ended or
        is interrupted."""
        for _, view in self._follow(sweep):
            yield view
            if view.state in ENDED or view.state is SweepState.INTERRUPTED:
                return

    def events(self, sweep: str | None = None, after: int = 0) -> Iterator[EventView]:
        """Stored events from a cursor on, for ever; of one sweep, until it has ended.

        Reconnects with the cursor of the last event, so none is missed or seen twice.
        """
        heard = time.monotonic()
        while True:
            try:
                for event in self._stream(sweep, after):
                    if event is None:
                        return
                    after, heard = event.id, time.monotonic()
                    yield event
            except ServerUnreachable:
                if time.monotonic() - heard > self._connection.patience_seconds:
                    raise
                self._connection.relocate()
            time.sleep(RETRY_SECONDS)

    # models

    def versions(self, name: str) -> list[VersionView]:
        """The registered versions of a model, newest first."""
        answer = self._connection.send("GET", f"/v1/models/{name}")
        return [VersionView.model_validate(row) for row in answer.json()]

    def weights(self, source: str, family: str) -> PinnedVersion:
        """The version that a source of weights means now, in an experiment of a family.

        Args:
            source: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
            family: its name, or ``auto``.

        Raises:
            ExperimentError: there is no such version, or no network could start from it.
        """
        return self._get("/v1/weights", PinnedVersion, {"source": source, "family": family})

    def rollback(self, name: str) -> ServingView:
        """Serve the version that was champion before."""
        answer = self._connection.send("POST", f"/v1/models/{name}/rollback", timeout=120.0)
        return ServingView.model_validate_json(answer.content)

    def servings(self) -> list[ServingView]:
        """The model servers of this installation that run."""
        answer = self._connection.send("GET", "/v1/servings")
        return [ServingView.model_validate(row) for row in answer.json()]

    # the server itself

    def health(self) -> Health:
        """Whether the server and what it depends on are well; also when they aren't."""
        answer = self._connection.send("GET", "/readyz", accepted=NOT_OURS)
        try:
            return Health.model_validate_json(answer.content)
        except ValueError:
            raise self._connection.strange() from None

    def shutdown(self) -> None:
        """End the server; its trials stop with a checkpoint."""
        self._connection.send("POST", "/v1/shutdown")

    # how it is done

    def _get(self, path: str, model: type[Answer], params: dict[str, str] | None = None) -> Answer:
        return model.model_validate_json(self._connection.send("GET", path, params=params).content)

    def _post(
        self,
        path: str,
        model: type[Answer],
        body: Wire | None = None,
        content: dict[str, Any] | None = None,
        **options: Any,
    ) -> Answer:
        sent = content if body is None else body.model_dump(mode="json", exclude_defaults=True)
        answer = self._connection.send("POST", path, json=sent, **options)
        return model.model_validate_json(answer.content)

    def _follow(self, sweep: str) -> Iterator[tuple[_Tag, SweepView]]:
        """Views with their tags for ever; bears a server that is away for a while."""
        tag = _Tag("")
        while True:
            answer = self._connection.patiently(partial(self._poll, f"/v1/sweeps/{sweep}", tag))
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                continue
            tag = _Tag(answer.headers.get("etag", ""), before=tag)
            yield tag, SweepView.model_validate_json(answer.content)
            time.sleep(COALESCE_SECONDS)

    def _poll(self, path: str, tag: _Tag) -> httpx.Response:
        headers = {"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": tag.value}
        return self._connection.send("GET", path, headers=headers if tag.value else {})

    def _stream(self, sweep: str | None, after: int) -> Iterator[EventView | None]:
        """Events of one connection; None when the server says that no more will come."""
        params = {"after": str(after), **({"sweep": sweep} if sweep else {})}
        for line in self._connection.lines("/v1/events", params):
            if line == "event: end":
                yield None
            elif line.startswith("data: {"):
                yield EventView.model_validate_json(line.removeprefix("data: "))


class _Tag:
    """An ETag ``"<epoch>-<version>"``: which server process answered, and its count of changes."""

    def __init__(self, value: str, *, before: _Tag | None = None) -> None:
        self.value = value
        self.epoch = value.strip('"').partition("-")[0]
        self.fresh_server = before is not None and before.epoch not in ("", self.epoch)


def _owner(owner: Owner | None) -> dict[str, Any]:
    return {"owner": None if owner is None else owner.model_dump(mode="json")}
