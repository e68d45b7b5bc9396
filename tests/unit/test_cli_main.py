"""The command line as such: help, errors, exit codes, and what its page in the docs says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from modelyard.cli import main
from modelyard.errors import InputError, ModelyardError, ServerRefused
from modelyard.settings import Settings

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
GROUP = typer.main.get_command(main.APP)
assert isinstance(GROUP, TyperGroup)
COMMANDS = GROUP.commands

HEAVY = ("prefect", "torch", "pandas", "numpy", "sklearn", "rich", "httpx", "pydantic", "mlflow")


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["modelyard", *arguments])
    code = main.main()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def section(command: str) -> str:
    """The docs' section of a command."""
    return re.split(r"^## ", DOCS.partition(f"## `modelyard {command}")[2], flags=re.M)[0]


def test_help_imports_nothing_heavy() -> None:
    """Showing the help loads none of the libraries that commands work with."""
    program = (
        "import sys; sys.argv = ['modelyard', '--help']\n"
        "from modelyard.cli.main import main\n"
        "main()\n"
        f"print(*sorted({{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r})))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == ""
    assert "leaderboard" in done.stdout


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_and_option_is_documented(command: str) -> None:
    """The docs have a section for each command that names each of its options."""
    text = section(command)
    options = {name for parameter in COMMANDS[command].params for name in parameter.opts}

    assert text
    assert [o for o in options if o.startswith("-") and f"`{o}" not in text] == []


def test_the_docs_name_no_command_that_is_not_there() -> None:
    """Each section of the docs is about a command."""
    assert set(re.findall(r"^## `modelyard (\w+)", DOCS, flags=re.M)) == set(COMMANDS)


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["run"], ["status", "--nothing"], ["run", "x.yaml", "--on", "moon"]]
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown command, option or value, or a missing argument, is bad input."""
    code, out, err = call(monkeypatch, capsys, *arguments)

    assert code == 2
    assert "Usage" in out + err


def test_version_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--version prints the version alone."""
    assert call(monkeypatch, capsys, "--version")[:2] == (0, f"{main.__version__}\n")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError("no"), 2),
        (ModelyardError("no"), 1),
        (ServerRefused(404, "no"), 2),
        (ServerRefused(500, "no"), 1),
    ],
)
def test_an_error_has_its_exit_code_and_no_traceback(
    error: ModelyardError,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An expected error is one sentence on standard error and its own exit code."""

    def refuse() -> None:
        raise error

    monkeypatch.setattr(main, "APP", refuse)
    assert call(monkeypatch, capsys, "status") == (expected, "", "error: no\n")


def test_json_says_errors_as_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json standard output holds the mistakes of a file, each with its path."""
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ndata: {source: 'sklearn:iris'}\nbudget: {trials: 0}\n")

    code, out, _ = call(monkeypatch, capsys, "run", str(file), "--json")

    assert code == 2
    assert [m["path"] for m in json.loads(out)["mistakes"]] == ["budget.trials"]


@pytest.mark.parametrize("command", ["status", "trials", "leaderboard", "logs", "cancel"])
def test_an_unused_home_is_said(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing was ever run no server is started; the home is named."""
    code, _, err = call(monkeypatch, capsys, command)

    assert (code, "nothing was run in" in err) == (2, True)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MODELYARD_START_SECONDS", "soon", "valid number"),
        ("MODELYARD_EXECUTOR", "slurm", "'local' or 'kubernetes'"),
        ("MODELYARD_SERVER", "cluster:4300", "http://"),
        ("MODELYARD_HOSTS", "a,b", "list in brackets"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    variable: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bad value in the environment is bad input: the variable and what it takes are said."""
    monkeypatch.setenv(variable, value)

    code, _, err = call(monkeypatch, capsys, "status")

    assert code == 2
    assert f"environment variable {variable} is" in err
    assert words in err


def test_a_home_that_is_set_to_nothing_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable never makes the working directory itself the home."""
    monkeypatch.setenv("MODELYARD_HOME", "")

    assert Settings().home == Path(".modelyard")


def test_down_of_an_unused_home_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """down may be typed at any time, and makes no folder."""
    code, out, _ = call(monkeypatch, capsys, "down")

    assert (code, "nothing of" in out) == (0, True)
