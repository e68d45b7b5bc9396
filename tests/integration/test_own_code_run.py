"""``modelyard run`` with a model of one's own: code travels by digest, and stays with the model."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.settings import Paths
from tests.support.home import DEADLINE_SECONDS, command, document, whole_home
from tests.support.own_code import HELPERS, write

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EXPERIMENT = """
name: own
data: {source: "sklearn:iris"}
model: my_net.py:Net
search: {pruner: none, space: {width: {int: [8, 16]}, learning_rate: {float: [0.005, 0.02]}}}
budget: {trials: 2}
train: {epochs: 4, batch_size: 16}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """One home for the module."""
    with whole_home(tmp_path_factory.mktemp("own")) as paths:
        yield paths


@pytest.fixture(scope="module")
def folder(home: Paths) -> Path:
    """A checkout with an experiment and its model."""
    code = write(home.home.parent / "code")
    (code / "own.yaml").write_text(EXPERIMENT)
    git(code, "init", "-q")
    git(code, "add", ".")
    git(code, "commit", "-qm", "first")
    return code


def git(folder: Path, *arguments: str) -> str:
    """Run Git as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def run(home: Paths, folder: Path) -> dict[str, Any]:
    """A run to its end, which is a version."""
    done = command(home, "run", str(folder / "own.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    return document(done)


def test_own_code_goes_all_the_way_and_a_change_of_it_makes_the_next_version(
    home: Paths, folder: Path
) -> None:
    """Registered with its digest and commit, it answers with its source gone; the next version
    is compared with it, each by its own code."""
    first = run(home, folder)
    rest = HELPERS.replace("nn.ReLU()", "nn.Tanh()")
    (folder / "helpers.py").write_text(rest)
    second = run(home, folder)

    tags = [told["version"]["tags"] for told in (first, second)]
    assert tags[0]["modelyard.code"] != tags[1]["modelyard.code"]
    assert {t["modelyard.git_commit"] for t in tags} == {git(folder, "rev-parse", "HEAD")}
    assert [t["modelyard.git_dirty"] for t in tags] == ["false", "true"]
    assert second["version"]["gap"] is not None
    (diff,) = home.home.rglob(f"{second['sweep']['run']}/artifacts/code.diff")
    assert "+    return nn.Sequential(nn.Linear(before, after), nn.Tanh())" in diff.read_text()

    for file in folder.glob("*.py"):
        file.rename(file.with_suffix(".gone"))
    answer = httpx.post(
        f"{second['serving']['address']}/invocations",
        content=(home.models / "own" / "example.json").read_bytes(),
        headers={"content-type": "application/json"},
        timeout=DEADLINE_SECONDS,
    )
    for file in folder.glob("*.gone"):
        file.rename(file.with_suffix(".py"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["confidence"] > 0.3


def test_an_error_in_own_code_is_shown_with_its_place_and_other_code_is_another_sweep(
    home: Paths, folder: Path
) -> None:
    """The run fails with file and line; mended, the code is not what ``--continue`` means."""
    (folder / "late.py").write_text("SCALE = 1.0\nprint(undefined_name)\n")
    broken = command(home, "run", str(folder / "own.yaml"))
    (folder / "late.py").write_text("SCALE = 1.0\n")
    again = command(home, "run", str(folder / "own.yaml"), "--continue")

    assert broken.returncode == 1
    assert "late.py line 2" in broken.stdout + broken.stderr
    assert again.returncode == 2, again.stdout
    assert "own code" in again.stderr
