"""A home of its own with the ``modelyard`` command, for tests that break things in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

from modelyard.api import SweepView, TrialView
from modelyard.client import Client
from modelyard.errors import ModelyardError
from modelyard.local import processes, services
from modelyard.settings import Paths, Settings

DEADLINE_SECONDS = 600.0
"""Longest that anything here may take; far beyond what it takes on a busy machine."""

PROGRAM = Path(sys.executable).with_name("modelyard")

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command came to: its exit code, and what it printed on both streams."""

    code: int
    text: str

    def holds(self, *words: str) -> bool:
        """Whether all these words were said; blanks and line ends count alike."""
        text = " ".join(self.text.split())
        assert not (missing := [word for word in words if word not in text]), (missing, self.text)
        return True


@dataclass(frozen=True, kw_only=True)
class Running:
    """A command that goes on beside the test, in a session of its own."""

    process: subprocess.Popen[bytes]
    output: Path

    def ended(self, seconds: float = DEADLINE_SECONDS) -> Said:
        """Wait for its end."""
        code = self.process.wait(timeout=seconds)
        return Said(code=code, text=self.output.read_text())


@dataclass(frozen=True, kw_only=True)
class Yard:
    """One home folder and everything that runs for it.

    Args:
        folder: where the experiment files lie and commands are typed.
        home: the home folder; need not exist.
        environment: variables beyond the test's own.
        begun: every command so far.
    """

    folder: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    begun: list[Running] = field(default_factory=list, repr=False)

    @property
    def paths(self) -> Paths:
        """The files of the home."""
        return Paths(self.home)

    def experiment(self, name: str, **sections: Any) -> Path:
        """Write an experiment file: a small network on iris, registered only."""
        document = {
            "name": name,
            "data": {"source": "sklearn:iris"},
            "model": "mlp",
            "search": {
                "sampler": "random",
                "pruner": "none",
                "space": {"learning_rate": {"float": [0.001, 0.01]}},
            },
            "budget": {"trials": 2, "parallel": 2},
            "train": {"epochs": 2},
            "deploy": None,
            **sections,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    def type(self, *words: object) -> Said:
        """A command line run to its end."""
        return self.begin(*words).ended()

    def begin(self, *words: object) -> Running:
        """A command line that goes on."""
        output = self.folder / f"{time.monotonic_ns()}.txt"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [str(PROGRAM), *map(str, words)],
                cwd=self.folder,
                env={
                    **os.environ,
                    "COLUMNS": "400",
                    "MODELYARD_HOME": str(self.home),
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(process=process, output=output)
        self.begun.append(running)
        return running

    def client(self) -> Client:
        """The server of this home."""
        return Client.connect(Settings(home=self.home))

    def sweep(self, name: str) -> SweepView:
        """The newest sweep of a name."""
        with self.client() as client:
            return client.sweep(name)

    def trials(self, name: str) -> list[TrialView]:
        """Its trials, by number."""
        with self.client() as client:
            return list(client.trials(client.sweep(name).id))

    def service(self, name: str) -> psutil.Process:
        """The first process of a running service."""
        found = services.running(name, self.paths)
        assert found is not None, f"{name} doesn't run"
        return psutil.Process(found.process)

    def fork_server(self) -> psutil.Process:
        """What trials are forked from."""
        for child in self.service("server").children():
            if not dead(child) and "modelyard.local.forkserver" in child.cmdline():
                return child
        raise LookupError("no fork server")

    def launch(self, sweep: str, task: str) -> psutil.Process:
        """The process of the running launch of a task, found by the log that it writes."""
        logs = f"{self.paths.log(f'trials/{sweep}')}".removesuffix(".log")
        for child in self.fork_server().children():
            if printing_to(child).startswith(f"{logs}-{task}-"):
                return child
        raise LookupError(f"no process of {sweep}-{task}")

    def living(self) -> list[str]:
        """Every process of this home: services, trials, flows and commands, with their argv."""
        marked = processes.marked(services.MARK, f"{self.home}|")
        at_home = processes.marked("MODELYARD_HOME", str(self.home))
        found = {process.pid: process for process in (*marked, *at_home)}
        return [described(process) for process in found.values() if not dead(process)]

    def down(self) -> None:
        """End everything, and see that it has ended."""
        for running in self.begun:
            running.process.kill()
            running.process.wait()
        said = self.type("down")
        assert said.code == 0, said.text
        until(lambda: not self.living(), "nothing of the home is left")


def until(condition: Callable[[], Found], what: str, seconds: float = DEADLINE_SECONDS) -> Found:
    """What the condition gives once it is true; one that can't be asked yet isn't."""
    deadline, nap = time.monotonic() + seconds, threading.Event()
    seen: object = None
    while time.monotonic() < deadline:
        # The server may be just coming up or going down, and a process ending.
        try:
            found = condition()
        except (ModelyardError, LookupError, StopIteration, psutil.Error) as error:
            seen = error
        else:
            if found:
                return found
            seen = found
        nap.wait(0.05)
    raise AssertionError(f"not in time: {what}; last seen {seen!r}")


def printing_to(process: psutil.Process) -> str:
    """The file that a process's standard output goes to; empty when it can't be told."""
    try:
        return os.readlink(f"/proc/{process.pid}/fd/1")
    except OSError:
        return ""


def described(process: psutil.Process) -> str:
    """Pid and command line."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid} (ended)"


def dead(process: psutil.Process) -> bool:
    """Whether it has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
