"""The calls of our server's API, typed: one method a path, one answer each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from modelyard.api import (
    Health,
    LogPage,
    Owner,
    RunRequest,
    ServingView,
    StageView,
    SweepRequest,
    SweepView,
    TrialView,
    VersionView,
)
from modelyard.connection import Connection
from modelyard.contract import Document, Metrics, PinnedVersion, TrialResult, Wire
from modelyard.store.manifest import digest_file

NOT_OURS = (404, 405, 500, 502, 503, 504)
"""What a gateway answers when our server isn't behind it; 503 is an answer of ours, too."""

CHECK_SECONDS = 120.0
"""Longest silence while a new sweep is checked: the server imports the plugins that it names."""

UPLOAD_SECONDS = 600.0
"""Longest silence of an upload: at its end the server passes the file on."""

ROLLBACK_SECONDS = 120.0
"""Longest silence of a rollback: a model server starts meanwhile."""

Answer = TypeVar("Answer", bound=Wire)


class Calls:
    """Everything that our server can be asked, over one connection.

    Raises:
        ServerUnreachable: from every method, when the server doesn't answer.
        ServerRefused: from every method, when it answers with an error; carries the status.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # sweeps

    def create_sweep(self, request: SweepRequest) -> SweepView:
        """Make a sweep, or find the one of the request's flow run.

        Raises:
            ExperimentError: the experiment has mistakes.
        """
        return self._post("/v1/sweeps", SweepView, request, timeout=CHECK_SECONDS)

    def sweeps(self) -> list[SweepView]:
        """The newest hundred sweeps, newest first."""
        return self._list("/v1/sweeps", SweepView)

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
        return self._list(f"/v1/sweeps/{sweep}/trials", TrialView)

    def logs(self, sweep: str, task: str | None = None, after: int = 0) -> LogPage:
        """What tasks printed, from a cursor on."""
        params = {"after": str(after), **({"task": task} if task is not None else {})}
        return self._get(f"/v1/sweeps/{sweep}/logs", LogPage, params)

    def task_metrics(self, sweep: str, task: str) -> list[Metrics]:
        """What a trial or stage reported, in order of steps."""
        return self._list(f"/v1/sweeps/{sweep}/tasks/{task}/metrics", Metrics)

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

    # models

    def versions(self, name: str) -> list[VersionView]:
        """The registered versions of a model, newest first."""
        return self._list(f"/v1/models/{name}", VersionView)

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
        return self._post(f"/v1/models/{name}/rollback", ServingView, timeout=ROLLBACK_SECONDS)

    def servings(self) -> list[ServingView]:
        """The model servers of this installation that run."""
        return self._list("/v1/servings", ServingView)

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

    def _list(self, path: str, model: type[Answer]) -> list[Answer]:
        return [model.model_validate(row) for row in self._connection.send("GET", path).json()]

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


def _owner(owner: Owner | None) -> dict[str, Any]:
    return {"owner": None if owner is None else owner.model_dump(mode="json")}
