"""What a run came to, for people: best trials, test metrics, gates, version, address."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from modelyard.api import (
    FailureView,
    GateView,
    RunView,
    StageState,
    SweepState,
    SweepView,
    TrialState,
    TrialView,
    VersionView,
)
from modelyard.cli import words
from modelyard.cli.terminal import print_line, print_table, program
from modelyard.client import Client
from modelyard.errors import InputError
from modelyard.experiment.model import Experiment
from modelyard.report import tables

SWEEP_TAG = "modelyard.sweep"
"""Tag of a version that names the sweep it was made from."""

REASONS = 3
"""Why trials failed: as many different reasons are shown."""

EXIT_CODES = {
    SweepState.COMPLETE: 0,
    SweepState.FAILED: 1,
    SweepState.REFUSED: 3,
    SweepState.CANCELLED: 130,
    SweepState.INTERRUPTED: 130,
}

BAD_INPUT = "configuration"
"""Category of what would fail the same way every time."""


def exit_code(view: SweepView) -> int:
    """Of ``modelyard run``, by what became of its sweep.

    What only the prepare stage could find wrong is bad input, as what the check finds is.
    """
    prepared = words.stage_of(view, "prepare")
    failure = None if prepared is None else prepared.failure
    if view.state is SweepState.FAILED and failure is not None and failure.category == BAD_INPUT:
        return InputError.exit_code
    return EXIT_CODES[view.state]


def run_view(client: Client, view: SweepView) -> RunView:
    """The document of a run: its sweep, the version it made, and who serves."""
    registered = words.stage_of(view, "register")
    if registered is None or registered.state is not StageState.COMPLETE:
        return RunView(sweep=view)
    version = next(
        (v for v in client.versions(view.name) if v.tags.get(SWEEP_TAG) == view.id), None
    )
    serving = next((s for s in client.servings() if s.name == view.name), None)
    return RunView(sweep=view, version=version, serving=serving)


def print_summary(
    run: RunView, trials: Sequence[TrialView], experiment: Experiment, out: Console
) -> None:
    """Everything that a run came to.

    Args:
        trials: of the sweep.
        experiment: it was made from.
    """
    objective = experiment.objective[0]
    if any(trial.state is TrialState.COMPLETE for trial in trials):
        print_table(
            tables.leaderboard(
                trials,
                metric=objective.metric,
                goal=objective.goal,
            ),
            out,
        )
    for line in why_trials_failed(run.sweep.name, trials):
        print_line(line, out)
    print_evaluation(run.sweep, out)
    out.print()
    for line in ending(run):
        print_line(line, out)


def why_trials_failed(sweep: str, trials: Sequence[TrialView]) -> list[str]:
    """Why trials came to nothing: each reason once, with the command that shows more.

    Args:
        sweep: name or id to type.
        trials: of the sweep.
    """
    reasons: dict[str, list[TrialView]] = {}
    for trial in trials:
        if trial.failure is not None and trial.state in (TrialState.FAILED, TrialState.INFEASIBLE):
            reasons.setdefault(trial.failure.summary, []).append(trial)
    lines = [
        f"trial {first.number} {first.state}"
        f"{f' and {len(rest)} more alike' if rest else ''}: {reason} "
        f"(`{program()} logs {sweep} {first.number}` shows more)"
        for reason, (first, *rest) in reasons.items()
    ]
    if len(lines) > REASONS:
        lines[REASONS:] = [f"and {len(lines) - REASONS} other reasons"]
    return ["", *lines] if lines else []


def print_evaluation(view: SweepView, out: Console) -> None:
    """Test metrics, confusion matrix and gates, as far as there are some."""
    evaluated = words.stage_of(view, "evaluate")
    if evaluated is None or evaluated.state is not StageState.COMPLETE:
        return
    outcome = evaluated.outcome
    if outcome.get("metrics"):
        print_table(tables.metrics(outcome["metrics"]), out)
    confusion = tables.confusion(outcome.get("confusion"))
    if confusion is not None:
        print_table(confusion, out)
    gates = tuple(GateView.model_validate(gate) for gate in outcome.get("gates", ()))
    if gates:
        print_table(tables.gates(gates), out)


def ending(run: RunView) -> list[str]:
    """The last lines: stages, how it ended, the version, where it answers, what to paste."""
    view = run.sweep
    lines = [f"{words.stage_times(view)} · total {words.duration(view.seconds)}"]
    if view.state is SweepState.FAILED:
        lines += [f"failed: {view.message}", *_remedies(view)]
    elif view.state is SweepState.CANCELLED:
        lines.append(f"cancelled: {view.message or 'somebody asked for it'}")
    if run.version is not None:
        lines.append(version_line(run.version))
        sentence = _verdict(view)
        lines += [sentence] if sentence else []
    if run.serving is not None:
        lines.append(
            f"{run.serving.name} version {run.serving.version} answers at {run.serving.address}"
        )
        lines += ["get a prediction:", run.serving.example] if run.serving.example else []
    elif (deployed := words.stage_of(view, "deploy")) and "sentence" in deployed.outcome:
        lines.append(str(deployed.outcome["sentence"]))
    return lines


def version_line(version: VersionView) -> str:
    """A version with its aliases, and its distance to the champion where there was one."""
    aliases = ", ".join(version.aliases) or "no alias"
    gap = "" if version.gap is None else f", {version.gap:+.4f} against the champion before it"
    return f"{version.name} version {version.version} ({version.semantic}): {aliases}{gap}"


def _verdict(view: SweepView) -> str:
    registered = words.stage_of(view, "register")
    return "" if registered is None else str(registered.outcome.get("sentence", ""))


def _remedies(view: SweepView) -> list[str]:
    failures: list[FailureView] = [s.failure for s in view.stages if s.failure is not None]
    return [failure.resolution for failure in failures if failure.resolution]
