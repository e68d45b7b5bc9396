"""Which files of a folder travel, in what archive, and what Git says of them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from modelyard.code import archive, requirements
from modelyard.code.errors import OwnCodeError
from modelyard.code.folder import Folder, survey
from modelyard.code.sending import send
from tests.support.own_code import FILES, write

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and what lies about in such folders."""
    rest = {
        ".env": "TOKEN=hunter2\n",
        ".venv/lib/a.py": "",
        "venv/pyvenv.cfg": "",
        "venv/lib/b.py": "",
        "__pycache__/my_net.cpython-311.pyc": "",
        "keys/server.pem": "secret",
        "id_rsa": "secret",
        "words/list.txt": "a\nb\n",
    }
    return write(tmp_path / "code", {**FILES, **rest})


def git(folder: Path, *arguments: str) -> str:
    """Run Git as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def look(folder: Path, limit_bytes: int = 100_000, without: tuple[Path, ...] = ()) -> Folder:
    """What of a folder travels."""
    return survey(folder, needed="my_net.py", limit_bytes=limit_bytes, without=without)


def test_without_git_all_but_hidden_compiled_and_secret_files_travel(folder: Path) -> None:
    """Environments and keys stay at home."""
    assert look(folder).files == ("helpers.py", "late.py", "my_net.py", "words/list.txt")


@needs_git
def test_what_git_ignores_stays_at_home(folder: Path) -> None:
    """Untracked files travel, ignored ones don't, nor secrets that somebody committed."""
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("words/\nvenv/\n")
    git(folder, "add", "my_net.py", "helpers.py", "-f", ".env")
    (folder / "helpers.py").unlink()

    assert look(folder).files == ("late.py", "my_net.py")


@needs_git
def test_a_model_that_git_ignores_is_refused(folder: Path) -> None:
    """Nothing would be left to run."""
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("my_*\n")

    with pytest.raises(OwnCodeError, match=r"my_net\.py wouldn't travel .* Git ignores it"):
        look(folder)


def test_data_and_home_are_no_code(folder: Path) -> None:
    """What is named as no code stays at home, with all that lies in it."""
    home, table = folder / "words", folder / "late.py"

    assert look(folder, without=(home, table)).files == ("helpers.py", "my_net.py")


def test_a_report_beside_the_model_is_no_code(folder: Path) -> None:
    """To look at a model's pictures changes no digest."""
    before = look(folder).digest
    write(folder, {"digits-report/report.html": "<html>", "digits-report/roc.png": "PNG"})

    assert look(folder).digest == before


def test_too_large_a_folder_is_refused_with_its_biggest_files(folder: Path) -> None:
    """Three are named, with their bytes, and the limit's setting."""
    (folder / "weights.bin").write_bytes(bytes(5_000))

    with pytest.raises(OwnCodeError) as caught:
        look(folder, limit_bytes=4_000)

    assert "weights.bin (5,000), my_net.py" in str(caught.value)
    assert "4,000 (MODELYARD_CODE_LIMIT_BYTES)" in str(caught.value)


def test_the_same_files_have_the_same_digest_wherever_they_lie(folder: Path) -> None:
    """Times, modes and folders don't count; every byte of a file does."""
    copy = folder.parent / "elsewhere"
    shutil.copytree(folder, copy)
    os.utime(copy / "my_net.py", (1, 1))
    (copy / "helpers.py").chmod(0o700)
    assert look(copy).digest == look(folder).digest

    (copy / "late.py").write_text("SCALE = 2.0\n")
    assert look(copy).digest != look(folder).digest


def test_an_archive_comes_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    """Unpacked, the files have their names and contents."""
    file = tmp_path / "code.tar"
    file.write_bytes(look(folder).archive)

    archive.unpack(file, tmp_path / "back")

    assert (tmp_path / "back" / "words" / "list.txt").read_text() == "a\nb\n"
    assert archive.read_member(file, "late.py") == b"SCALE = 1.0\n"
    assert archive.read_member(file, "nothing.py") is None


def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    """No file is written beside the folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        made.addfile(tarfile.TarInfo("../out.py"))
    file = tmp_path / "code.tar"
    file.write_bytes(buffer.getvalue())

    with pytest.raises(OwnCodeError, match="is no archive of code"):
        archive.unpack(file, tmp_path / "in")
    assert not (tmp_path / "out.py").exists()


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    """Ours has plain files alone."""
    file = tmp_path / "code.tar"
    with tarfile.open(file, mode="w") as made:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)

    with pytest.raises(OwnCodeError, match="'link', which is no plain file"):
        archive.unpack(file, tmp_path / "in")


@needs_git
def test_commit_and_diff_are_sent_with_the_code(folder: Path) -> None:
    """The diff is of tracked files that travel; a clean checkout has none."""
    git(folder, "init", "-q")
    git(folder, "add", "my_net.py", "helpers.py", "late.py", "-f", ".env")
    git(folder, "commit", "-qm", "first")
    sent: dict[str, bytes] = {}

    def upload(path: Path, name: str) -> str:
        sent[name] = path.read_bytes()
        return f"digest of {name}"

    clean = send(look(folder), upload)
    assert clean.tags == {
        "code": "digest of code.tar",
        "git_commit": git(folder, "rev-parse", "HEAD"),
        "git_dirty": "false",
    }
    assert list(sent) == ["code.tar"]

    (folder / "late.py").write_text("SCALE = 3.0\n")
    (folder / ".env").write_text("TOKEN=hunter3\n")
    changed = send(look(folder), upload)
    assert changed.tags["git_dirty"] == "true"
    assert changed.tags["git_diff"] == "digest of code.diff"
    assert b"+SCALE = 3.0" in sent["code.diff"]
    assert b"hunter" not in sent["code.diff"] + sent["code.tar"]


def test_requirements_beyond_a_trials_own_are_named(tmp_path: Path) -> None:
    """What a trial has anyway asks for nothing; tools of the servers aren't there."""
    lines = "# ours\ntorch\nScikit_Learn>=1.0 # fine\nnumpy>=99\neinops\noptuna\n-e .\n\n"
    (tmp_path / "requirements.txt").write_text(lines)

    assert requirements.extra(tmp_path) == ("numpy>=99", "einops", "optuna", "-e .")
    assert requirements.extra(tmp_path / "nowhere") == ()
