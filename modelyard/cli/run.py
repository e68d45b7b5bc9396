"""``modelyard run``: from an experiment file to a model that answers, watched all the way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from rich.console import Console

from modelyard.api import ENDED, Owner, RunView, SweepState, SweepView
from modelyard.cli.background import Background
from modelyard.cli.boot import Boot
from modelyard.cli.check import load_checked
from modelyard.cli.choose import Chosen, choose
from modelyard.cli.cluster_run import CannotBegin, run_on_cluster
from modelyard.cli.display import Display, display_for
from modelyard.cli.lineage import lineage
from modelyard.cli.owner import this_process
from modelyard.cli.signals import InterruptOnce
from modelyard.cli.sources import goes_to_cluster
from modelyard.cli.summary import exit_code, print_summary, run_view
from modelyard.cli.supervise import Supervision
from modelyard.cli.terminal import console, print_json, print_line, program
from modelyard.cli.wanted import Wanted
from modelyard.client import Client
from modelyard.code.folder import Folder
from modelyard.code.sending import send
from modelyard.errors import Interrupted, ModelyardError, ServerRefused
from modelyard.experiment.model import Experiment
from modelyard.settings import Settings

FALLBACK = "fallback"
"""Tag of a run that is here because the cluster could not be reached."""

INTERRUPT_SECONDS = 3.8
"""Deadline of the server for stopping the trials of an interrupted run."""

GRACE_SECONDS = 0.5
"""Between SIGTERM and SIGKILL for what an interrupted run had started."""

ORDERLY_SECONDS = 5.0
"""The same after a failure, when nobody waits: time to write down what is known."""


def run_command(wanted: Wanted) -> int:
    """Run an experiment, here or on the cluster.

    Returns:
        The exit code: 0 complete (or, on the cluster, left to itself), 1 failed, 2 what was to be
        prepared can't be used, 3 refused by a gate, 130 interrupted or cancelled.

    Raises:
        InputError: the file, the home folder or the sweep to go on with can't be used.
        ModelyardError: a server or the flow could not be kept up, or the cluster not be reached.
    """
    settings = Settings()
    if not goes_to_cluster(settings, wanted.on):
        return run_here(wanted, settings)
    try:
        return run_on_cluster(wanted, settings)
    except CannotBegin as away:
        if away.fallback != "local":
            raise
        note = f"The cluster could not be reached, so this runs here: {away}"
        return run_here(replace(wanted, on="local"), settings, fallback=note)


def run_here(wanted: Wanted, settings: Settings, *, fallback: str | None = None) -> int:
    """Run an experiment on this machine; see ``run_command``.

    Args:
        fallback: why it isn't on the cluster, where it was meant to be.
    """
    # Every mistake, of the file and against its data, is found before anything is started.
    checked = load_checked(wanted.file, wanted.sets)
    with InterruptOnce() as signals:
        run = LocalRun(
            wanted=wanted,
            settings=settings.embedded(),
            experiment=checked.experiment,
            code=checked.code,
            own_space=checked.own_space,
            fallback=fallback,
        )
        try:
            return run.to_the_end()
        except Interrupted as interruption:
            signals.disarm()
            return run.interrupt(str(interruption))
        except BaseException as error:
            signals.disarm()
            run.abandon(error)
            raise


@dataclass(kw_only=True)
class LocalRun:
    """One ``modelyard run`` while it goes on."""

    wanted: Wanted
    settings: Settings
    experiment: Experiment
    code: Folder | None = None
    own_space: bool = True
    fallback: str | None = None
    owner: Owner = field(default_factory=this_process)
    out: Console = field(init=False)
    display: Display = field(init=False)
    boot: Boot | None = None
    chosen: Chosen | None = None
    supervision: Supervision | None = None

    def __post_init__(self) -> None:
        self.out = console(json_output=self.wanted.json_output)
        self.display = display_for(self.out, self.experiment.objective[0].metric)

    def to_the_end(self) -> int:
        """Start the servers, run the sweep and say what it came to."""
        if self.fallback is not None:
            self.display.say("the cluster can't be reached; going on here")
        self.boot = Boot(self.settings, self.owner.run, self.display.say)
        server = self.boot.server.result().service
        with Client(server.address) as client:
            sent = None if self.code is None else send(self.code, client.upload)
            self.chosen = choose(
                client,
                self.experiment,
                owner=self.owner,
                tags={**self._tags(), **({} if sent is None else sent.tags)},
                code=None if sent is None else sent.digest,
                notes=() if self.fallback is None else (self.fallback,),
                own_space=self.own_space,
                go_on=self.wanted.go_on,
            )
            if self.chosen.finished:
                return self._nothing_to_do(client, self.chosen.view)
            self.display.say(f"sweep {self.chosen.view.id} of {self.experiment.name}")
            self.supervision = Supervision(
                settings=self.settings,
                boot=self.boot,
                server=server,
                chosen=self.chosen,
                owner=self.owner,
                display=self.display,
            )
            view = self.supervision.run()
            return self._finish(client, view)

    def interrupt(self, reason: str) -> int:
        """End everything of this run within five seconds; what has finished is kept."""
        deadline = time.monotonic() + INTERRUPT_SECONDS
        self.display.close()
        self._say(f"{reason}: stopping; what has finished is kept")
        if self.supervision is not None:
            self.supervision.ask_flow_to_end()
        view = self._stopped_view(reason, deadline)
        if self.supervision is not None:
            self.supervision.close(max(0.0, deadline - time.monotonic()))
        self._end_servers(GRACE_SECONDS)
        self._print_kept(view)
        if self.wanted.json_output and view is not None:
            print_json(RunView(sweep=view))
        return Interrupted.exit_code

    def abandon(self, error: BaseException) -> None:
        """After an error: stop the sweep so that it can be continued, and what was started."""
        self.display.close()
        deadline = time.monotonic() + INTERRUPT_SECONDS
        # Refused its renewal, since it had stood still: another run owns the sweep by now, or none.
        ours = not (isinstance(error, ServerRefused) and error.status == HTTPStatus.CONFLICT)
        if self.supervision is not None:
            self.supervision.ask_flow_to_end()
            last = self.supervision.last
            view = self._stopped_view("its run failed", deadline) if ours else last
            self.supervision.close(max(0.0, deadline - time.monotonic()))
            self._print_kept(view)
        self._end_servers(ORDERLY_SECONDS, ours=ours)

    def _tags(self) -> dict[str, str]:
        tags = lineage(self.wanted.file)
        return tags if self.fallback is None else {**tags, FALLBACK: self.fallback}

    def _finish(self, client: Client, view: SweepView) -> int:
        assert self.supervision is not None
        run, trials = run_view(client, view), client.trials(view.id)
        self.display.close()
        code = exit_code(view)
        print_summary(run, trials, self.experiment, self.out)
        self.supervision.close()
        if view.state in ENDED:
            client.release_owner(view.id)
        else:
            self._print_kept(view)
        if code == 0:
            self._say(f"the servers stay up until `{program()} down`")
        else:
            self._end_servers(ORDERLY_SECONDS)
        if self.wanted.json_output:
            print_json(run)
        return code

    def _nothing_to_do(self, client: Client, view: SweepView) -> int:
        self.display.close()
        self._say(
            f"sweep {view.id} of {view.name} is {view.state} already; there is nothing to go on "
            "with. Without --continue a new one is started."
        )
        if self.wanted.json_output:
            print_json(run_view(client, view))
        self._end_servers(ORDERLY_SECONDS)
        return 0

    def _stopped_view(self, reason: str, deadline: float) -> SweepView | None:
        """Ask the server to interrupt the sweep; the sweep as it is then, None when unknown."""
        chosen, boot = self.chosen, self.boot
        if chosen is None or boot is None:
            return None
        address = boot.server.result().service.address
        asked = Background(lambda: _interrupted_view(address, chosen.view.id, reason, deadline))
        seen = self.supervision.last if self.supervision is not None else chosen.view
        if not asked.wait(max(0.0, deadline - time.monotonic())):
            return seen
        try:
            return asked.result()
        except ModelyardError:
            return seen

    def _end_servers(self, grace_seconds: float, *, ours: bool = True) -> None:
        """End what this run started, unless others use it; its own sweep may be theirs by now."""
        if self.boot is None:
            return
        sweep = self.chosen.view.id if ours and self.chosen is not None else None
        if self.boot.end(sweep=sweep, grace_seconds=grace_seconds):
            self._say("the servers stay up: another run uses them")

    def _print_kept(self, view: SweepView | None) -> None:
        if view is None:
            self._say("nothing had begun")
            return
        self._say(f"sweep {view.id}: {view.counts.ended} of {view.total} trials are kept")
        if view.state not in ENDED or view.state is SweepState.FAILED:
            self._say(f"go on with: {self.wanted.line_to_go_on}")

    def _say(self, sentence: str) -> None:
        print_line(sentence, self.out)


def _interrupted_view(address: str, sweep: str, reason: str, deadline: float) -> SweepView:
    """Interrupt a sweep and wait until it has stopped or the time is up."""
    with Client(address, patience_seconds=0.0) as client:
        client.interrupt(sweep, reason)
        left = max(0.0, deadline - time.monotonic())
        return client.wait(sweep, lambda seen: seen.state is not SweepState.RUNNING, seconds=left)
