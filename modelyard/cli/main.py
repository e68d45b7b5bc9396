"""The command line. Nothing heavy is imported before a command runs: ``--help`` is instant."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from modelyard import __version__
from modelyard.cli.options import File, Json, On, Sets, Sweep, Where
from modelyard.cli.signals import InterruptOnce
from modelyard.errors import InputError, ModelyardError, ServerRefused

APP = typer.Typer(
    name="modelyard",
    help="One experiment file in; a gated, registered, serving model out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="modelyard COMMAND -h tells a command's options. A first run: modelyard new baseline "
    "first.yaml, then modelyard run first.yaml. What it keeps lies in .modelyard here, or where "
    "MODELYARD_HOME says.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DATA = typer.Typer(help="Published datasets.", no_args_is_help=True, rich_markup_mode=None)
APP.add_typer(DATA, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@APP.callback()
def modelyard(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """One experiment file in; a gated, registered, serving model out."""


@APP.command()
def new(
    template: Annotated[str, typer.Argument(help="baseline, image, own, tabular or text.")],
    file: File,
    data: Annotated[
        Path | None, typer.Option(help="The data file or folder that the experiment is for.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to predict; needed for a table.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="With text: the column to read; left out, the longest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    json_output: Json = False,
) -> None:
    """Write an experiment file that fits your data."""
    from modelyard.cli.new import new, show

    show(new(template, file, data, target, text, force), json_output=json_output)


@APP.command()
def check(file: File, sets: Sets = None, on: Where = None, json_output: Json = False) -> None:
    """Find every mistake of an experiment file; nothing is started."""
    from modelyard.cli.check import check_command

    check_command(file, sets or [], json_output, on)


@APP.command()
def schema(
    all_models: Annotated[
        bool, typer.Option("--all", help="Also the models of every --json document.")
    ] = False,
) -> None:
    """Print the JSON Schema of the experiment file."""
    from modelyard.cli.schema import schema_command

    schema_command(all_models)


@APP.command()
def run(
    file: File,
    sets: Sets = None,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Go on with the newest sweep of this name.")
    ] = False,
    on: Where = None,
    json_output: Json = False,
) -> None:
    """Run an experiment from its data to a serving model."""
    from modelyard.cli.run import run_command
    from modelyard.cli.wanted import Wanted

    wanted = Wanted(file=file, sets=tuple(sets or ()), go_on=go_on, on=on, json_output=json_output)
    raise typer.Exit(run_command(wanted))


@APP.command()
def follow(sweep: Sweep = None, on: On = None, json_output: Json = False) -> None:
    """Watch a sweep to its end; Ctrl-C ends the watching alone."""
    from modelyard.cli.follow import follow_command

    raise typer.Exit(follow_command(sweep, json_output, on))


@APP.command()
def status(sweep: Sweep = None, on: On = None, json_output: Json = False) -> None:
    """Show where a sweep stands."""
    from modelyard.cli.look import status_command

    status_command(sweep, json_output, on)


@APP.command()
def trials(sweep: Sweep = None, on: On = None, json_output: Json = False) -> None:
    """List the trials of a sweep."""
    from modelyard.cli.look import trials_command

    trials_command(sweep, json_output, on)


@APP.command()
def leaderboard(
    sweep: Sweep = None,
    limit: Annotated[int, typer.Option(min=1, help="How many trials at most.")] = 10,
    on: On = None,
    json_output: Json = False,
) -> None:
    """List the best trials of a sweep."""
    from modelyard.cli.look import leaderboard_command

    leaderboard_command(sweep, limit, json_output, on)


@APP.command()
def logs(
    sweep: Sweep = None,
    trial: Annotated[
        str | None, typer.Argument(help="A trial's number or a stage; left out, all.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the sweep has ended.")
    ] = False,
    on: On = None,
    json_output: Json = False,
) -> None:
    """Print what trials and stages printed."""
    from modelyard.cli.look import logs_command

    logs_command(sweep, trial, follow, json_output, on)


@APP.command()
def report(
    sweep: Sweep = None,
    trial: Annotated[
        int | None, typer.Argument(help="A trial's number; left out, the sweep's model.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; left out, NAME-report or NAME-TRIAL-report here."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the page in a browser.")
    ] = False,
    on: On = None,
    json_output: Json = False,
) -> None:
    """Draw a model: one HTML page, and PNG files where there is a Chromium."""
    from modelyard.cli.report import report_command

    report_command(sweep, trial, out, open_page, json_output, on)


@APP.command()
def cancel(sweep: Sweep = None, on: On = None, json_output: Json = False) -> None:
    """End a sweep for good."""
    from modelyard.cli.steer import cancel_command

    cancel_command(sweep, json_output, on)


@APP.command()
def predict(
    file: Annotated[
        Path, typer.Option(help="Rows as CSV, TSV, JSON or Parquet; a text; a picture.")
    ],
    name: Annotated[
        str | None, typer.Argument(help="The model; left out, the only one that serves.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Get predictions for the rows of a file."""
    from modelyard.cli.predict import predict_command

    predict_command(name, file, json_output)


@APP.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    on: On = None,
    json_output: Json = False,
) -> None:
    """Let the version serve that was champion before."""
    from modelyard.cli.steer import rollback_command

    rollback_command(name, json_output, on)


@DATA.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="The set, as in data.source.", show_default=False)],
    json_output: Json = False,
) -> None:
    """Download a published set: mnist, cifar-10, imdb, kepler and others; see docs/datasets.md."""
    from modelyard.cli.data import get_command

    get_command(name, json_output)


@APP.command()
def plugins(json_output: Json = False) -> None:
    """List the installed plugins and their states."""
    from modelyard.cli.plugins import plugins_command

    plugins_command(json_output)


@APP.command()
def migrate() -> None:
    """Bring the stores of this home to the newest schema."""
    from modelyard.cli.steer import migrate_command

    migrate_command()


@APP.command()
def up(json_output: Json = False) -> None:
    """Start our server, Prefect's, a worker and the MLflow UI."""
    from modelyard.cli.up import up_command

    up_command(json_output)


@APP.command()
def down(json_output: Json = False) -> None:
    """End every process of this home."""
    from modelyard.cli.up import down_command

    down_command(json_output)


def main() -> int:
    """Run the command line of this process.

    Returns:
        The exit code: 0, 1 failed, 2 bad input, 3 refused by a gate, 130 interrupted.
    """
    try:
        with InterruptOnce():
            APP()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except ModelyardError as error:
        return _explain(error)
    return 0


def _explain(error: ModelyardError) -> int:
    """Say what is wrong in plain words; a client's mistake that the server found is bad input."""
    print(f"error: {error}", file=sys.stderr)
    if "--json" in sys.argv:
        print(json.dumps({"error": str(error), "mistakes": _mistakes(error)}, default=str))
    refused = isinstance(error, ServerRefused) and 400 <= error.status < 500
    return InputError.exit_code if refused else error.exit_code


def _mistakes(error: ModelyardError) -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(mistake) for mistake in getattr(error, "mistakes", ())]
