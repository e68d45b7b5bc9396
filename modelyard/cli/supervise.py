"""Follows a sweep to its end while keeping its flow alive."""

from __future__ import annotations

import queue
import time

from modelyard.api import ENDED, Owner, StageState, SweepState, SweepView
from modelyard.cli import words
from modelyard.cli.background import NAP_SECONDS, Background
from modelyard.cli.boot import Boot
from modelyard.cli.choose import Chosen
from modelyard.cli.display import Display
from modelyard.cli.flow import FORGIVEN_SECONDS, FlowChild
from modelyard.cli.owner import Renewal
from modelyard.cli.programs import base_environment, prefect_environment
from modelyard.cli.servers import Attached, log_tail
from modelyard.cli.waits import waiting_for
from modelyard.client import Client
from modelyard.errors import ModelyardError, ServerUnreachable
from modelyard.local import services
from modelyard.local.services import Service
from modelyard.settings import Settings

RESTARTS = 3
"""How often a flow that died is started again."""

FLOW_END_SECONDS = 60.0
"""Longest that the flow may take to tell Prefect of its end; it costs a second usually."""


class Supervision:
    """One sweep, its flow child and its owner's renewal. Belongs to the main thread.

    Args:
        settings: of this installation.
        boot: the servers; Prefect's may still be coming up.
        server: ours.
        chosen: the sweep.
        owner: this process.
        display: told of each change.

    Attributes:
        last: the sweep as it was last seen.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        boot: Boot,
        server: Service,
        chosen: Chosen,
        owner: Owner,
        display: Display,
    ) -> None:
        self._settings, self._boot, self._server = settings, boot, server
        self._display = display
        self._sweep, self._after = chosen.view.id, chosen.earlier_flow_run
        self.last = chosen.view
        self._news: queue.SimpleQueue[SweepView | ModelyardError] = queue.SimpleQueue()
        self._client = Client(server.address)
        self._renewal = Renewal(server.address, self._sweep, owner, self._news.put)
        self._follower = Background(self._follow)
        self._coming: Background[Attached] | None = boot.prefect
        self._prefect: Service | None = None
        self._child: FlowChild | None = None
        self._restarts = 0
        self._ended_at: float | None = None

    def run(self) -> SweepView:
        """The sweep as it ended or was interrupted by somebody else.

        Raises:
            ModelyardError: server, Prefect or flow can't be had; the sweep hasn't ended.
        """
        while True:
            try:
                view = self._next_view()
                if view is not None:
                    self.last = view
                    self._display.show(view)
                    if view.state in ENDED or view.state is SweepState.INTERRUPTED:
                        return view
                    self._lead(view)
            except ServerUnreachable:
                # Whoever found out first: that it has ended says more than that it is silent.
                self._require_server()
                raise
            self._require_server()
            self._keep_flow()

    def ask_flow_to_end(self) -> None:
        """Stop following, renewing and leading; the child is told and not waited for."""
        self._renewal.stop()
        if self._child is not None:
            self._child.ask_to_end()

    def close(self, flow_seconds: float = FLOW_END_SECONDS) -> None:
        """Renew no more, and let the flow end in its own way for so long."""
        self._renewal.stop()
        if self._child is not None:
            with waiting_for("the flow to tell Prefect its end", flow_seconds, self._display.say):
                self._child.wait(flow_seconds)

    def _require_server(self) -> None:
        if not services.alive(self._server):
            raise ServerUnreachable(
                "the Modelyard server ended, and its trials with it; what they had finished "
                f"is kept. Its log is {self._settings.paths.log('server')}"
            )

    def _follow(self) -> None:
        try:
            with Client(self._server.address) as client:
                for view in client.follow(self._sweep):
                    self._news.put(view)
        except ModelyardError as error:
            self._news.put(error)

    def _next_view(self) -> SweepView | None:
        try:
            news = self._news.get(timeout=NAP_SECONDS)
        except queue.Empty:
            return None
        if isinstance(news, ModelyardError):
            raise news
        return news

    def _lead(self, view: SweepView) -> None:
        """Begin preparing and searching while Prefect comes up: stages are idempotent, so the
        flow finds them begun."""
        if self._child is not None:
            return
        prepare = words.stage_of(view, "prepare")
        if prepare is None:
            self._client.run_stage(self._sweep, "prepare")
        elif prepare.state is StageState.COMPLETE and words.stage_of(view, "sweep") is None:
            self._client.run_stage(self._sweep, "sweep")

    def _keep_flow(self) -> None:
        """Start the flow once Prefect answers, and again when it died before the sweep ended."""
        if self._coming is not None:
            if self._coming.done:
                self._prefect = self._coming.result().service
                self._coming = None
                self._start_flow(self._prefect.address)
        elif self._prefect is not None and not services.alive(self._prefect):
            self._display.say("the Prefect server ended; starting it again")
            self._coming = self._boot.again()
        elif self._flow_is_gone():
            self._restart_flow()

    def _start_flow(self, address: str) -> None:
        environment = {
            **base_environment(self._settings),
            **prefect_environment(self._settings.paths, address),
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
        if self._child is None:
            self._child = FlowChild(self._sweep, after=self._after, paths=self._settings.paths)
        self._child.start(environment)
        self._ended_at = None

    def _flow_is_gone(self) -> bool:
        """Whether the flow ended although the sweep goes on; after an orderly end the news of
        the sweep's own may still be on its way."""
        if self._child is None or self._child.running:
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        orderly = self._child.exit_code == 0
        return not orderly or time.monotonic() - self._ended_at > FORGIVEN_SECONDS

    def _restart_flow(self) -> None:
        assert self._child is not None
        if self._restarts == RESTARTS:
            tail = log_tail(self._child.log_name, self._settings.paths)
            raise ModelyardError(f"the flow ended {RESTARTS + 1} times before the sweep did{tail}")
        self._restarts += 1
        self._display.say(f"the flow ended ({_how(self._child.exit_code)}); starting it again")
        self._coming = self._boot.again()


def _how(exit_code: int | None) -> str:
    return (
        f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"code {exit_code}"
    )
