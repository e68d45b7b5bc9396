"""The typed client of our server: what the command line, flows and tools speak through.

Its calls are those of ``calls``; here is how it finds the server and waits for it. Waiting is
done with long polls (an ETag and ``Prefer: wait``, RFC 7240), so a change is seen at once and
silence costs nothing; a server that restarts meanwhile is found again through its service file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
from pydantic import SecretStr

from modelyard.api import (
    ENDED,
    EventView,
    StageState,
    StageView,
    SweepState,
    SweepView,
)
from modelyard.calls import Calls
from modelyard.connection import RETRY_SECONDS, Connection, is_away, recorded_address
from modelyard.errors import Interrupted, ServerRefused, ServerUnreachable
from modelyard.settings import Settings

COALESCE_SECONDS = 0.2
"""Shortest time between two views of a followed sweep."""

PATIENCE_SECONDS = 15.0
REMOTE_PATIENCE_SECONDS = 300.0

WAIT_SECONDS = 10
"""How long the server may hold a long poll."""

Value = TypeVar("Value")


class Client(Calls):
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
        super().__init__(
            Connection(
                address,
                service=service,
                patience_seconds=patience_seconds,
                api_key=api_key,
                remote=remote,
            )
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

    # waiting

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

    def follow(self, sweep: str) -> Iterator[SweepView]:
        """The sweep now and at each change, at most five times a second, until it has ended or
        is interrupted."""
        for _, view in self._follow(sweep):
            yield view
            if view.state in ENDED or view.state is SweepState.INTERRUPTED:
                return

    def wait(self, sweep: str, until: Callable[[SweepView], bool], *, seconds: float) -> SweepView:
        """A sweep once it is as it is waited for, else as it is when the time is up.

        Args:
            until: says whether it is.
            seconds: longest wait, to the next whole second; a first look is always taken.
        """
        view = None
        for _, view in self._follow(sweep, time.monotonic() + seconds):
            if until(view):
                break
        assert view is not None  # the first answer is a view
        return view

    def events(self, sweep: str | None = None, after: int = 0) -> Iterator[EventView]:
        """Stored events from a cursor on, for ever; of one sweep, until it has ended.

        Reconnects with the cursor of the last event, so none is missed or seen twice; a server
        that is away for a while is borne.
        """
        params = {"sweep": sweep} if sweep else {}
        away_since: float | None = None
        while True:
            try:
                for line in self._connection.lines("/v1/events", {"after": str(after), **params}):
                    away_since = None
                    if line == "event: end":
                        return
                    if line.startswith("data: {"):
                        event = EventView.model_validate_json(line.removeprefix("data: "))
                        after = event.id
                        yield event
            except (ServerUnreachable, ServerRefused) as error:
                away_since = away_since or time.monotonic()
                borne = time.monotonic() - away_since <= self._connection.patience_seconds
                if not (is_away(error) and borne):
                    raise
                self._connection.relocate()
            time.sleep(RETRY_SECONDS)

    # how it is done

    def _follow(self, sweep: str, deadline: float = math.inf) -> Iterator[tuple[_Tag, SweepView]]:
        """Views with their tags until the time is up; bears a server that is away for a while."""
        tag, path = _Tag(""), f"/v1/sweeps/{sweep}"
        while True:
            seconds = math.ceil(min(WAIT_SECONDS, max(0.0, deadline - time.monotonic())))
            answer = self._connection.patiently(partial(self._poll, path, tag, seconds))
            if answer.status_code != httpx.codes.NOT_MODIFIED:
                tag = _Tag(answer.headers.get("etag", ""), before=tag)
                yield tag, SweepView.model_validate_json(answer.content)
                time.sleep(COALESCE_SECONDS)
            if time.monotonic() >= deadline:
                return

    def _poll(self, path: str, tag: _Tag, seconds: int) -> httpx.Response:
        headers = {"Prefer": f"wait={seconds}", "If-None-Match": tag.value}
        return self._connection.send("GET", path, headers=headers if tag.value else {})


class _Tag:
    """An ETag ``"<epoch>-<version>"``: which server process answered, and its count of changes."""

    def __init__(self, value: str, *, before: _Tag | None = None) -> None:
        self.value = value
        self.epoch = value.strip('"').partition("-")[0]
        self.fresh_server = before is not None and before.epoch not in ("", self.epoch)
