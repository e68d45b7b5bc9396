"""Following a sweep that goes on without us: the same picture as of a run on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from modelyard.api import ENDED, RunView, SweepState, SweepView
from modelyard.cli.ask import asking
from modelyard.cli.display import Display, display_for
from modelyard.cli.signals import InterruptOnce
from modelyard.cli.sources import goes_to_cluster
from modelyard.cli.summary import exit_code, print_summary, run_view
from modelyard.cli.terminal import console, print_json, print_line
from modelyard.client import Client
from modelyard.errors import Interrupted, ServerUnreachable
from modelyard.experiment.model import Experiment
from modelyard.settings import Settings


def follow_command(sweep: str | None, json_output: bool, on: str | None) -> int:
    """Follow a sweep to its end.

    Args:
        sweep: name or id; None for the newest.
        json_output: print the ``RunView`` at the end.
        on: ``local`` or ``cluster``; None for where runs go by themselves.

    Returns:
        The exit code, as of ``modelyard run``; 0 when Ctrl-C ended only the looking.
    """
    settings, out = Settings(), console(json_output=json_output)
    with asking(settings, on) as client:
        view = client.sweep(sweep)
        document = client.document(view.document).experiment
        experiment = Experiment.model_validate(document)
        followed = Followed(
            client=client,
            experiment=experiment,
            out=out,
            display=display_for(out, experiment.objective[0].metric),
            suffix=suffix_of(settings, on),
            json_output=json_output,
        )
        return followed.to_the_end(view)


def suffix_of(settings: Settings, on: str | None) -> str:
    """What a printed command needs so that it asks the same server."""
    by_itself = goes_to_cluster(settings, None)
    meant = goes_to_cluster(settings, on)
    return "" if meant is by_itself else f" --on {'cluster' if meant else 'local'}"


@dataclass(kw_only=True)
class Followed:
    """A sweep that is looked at until it ends, or until somebody has seen enough.

    Args:
        client: of its server; bears that it is away for a while.
        experiment: that it was made from.
        out: for people's text.
        display: of its progress.
        suffix: of commands that are printed.
        json_output: print the ``RunView`` at the end.
        line_to_go_on: command that goes on with a sweep that was interrupted or failed.
    """

    client: Client
    experiment: Experiment
    out: Console
    display: Display
    suffix: str = ""
    json_output: bool = False
    line_to_go_on: str = ""

    def to_the_end(self, view: SweepView) -> int:
        """Show each change; returns the exit code.

        Raises:
            ServerUnreachable: the server is away for too long; the sweep goes on without us.
        """
        last = view
        with InterruptOnce() as signals:
            try:
                self.display.show(view)
                for last in self.client.follow(view.id):
                    self.display.show(last)
                return self._finish(last)
            except Interrupted as interruption:
                signals.disarm()
                return self._detach(last, str(interruption))
            except ServerUnreachable as error:
                self.display.close()
                come_back = self._command("follow", last)
                raise ServerUnreachable(
                    f"{error}. Sweep {last.id} goes on without us; come back with: {come_back}"
                ) from error
            finally:
                self.display.close()

    def _finish(self, view: SweepView) -> int:
        run, trials = self.client.patiently(
            lambda: (run_view(self.client, view), self.client.trials(view.id))
        )
        self.display.close()
        print_summary(run, trials, self.experiment, self.out)
        unfinished = view.state not in ENDED or view.state is SweepState.FAILED
        if unfinished and self.line_to_go_on:
            self._say(f"go on with: {self.line_to_go_on}")
        if self.json_output:
            print_json(run)
        return exit_code(view)

    def _detach(self, view: SweepView, reason: str) -> int:
        self.display.close()
        self._say(f"{reason}: sweep {view.id} of {view.name} goes on without us")
        self._say(f"come back with: {self._command('follow', view)}")
        self._say(f"end it for good with: {self._command('cancel', view)}")
        if self.json_output:
            print_json(RunView(sweep=view))
        return 0

    def _command(self, name: str, view: SweepView) -> str:
        return f"modelyard {name} {view.id}{self.suffix}"

    def _say(self, sentence: str) -> None:
        print_line(sentence, self.out)
