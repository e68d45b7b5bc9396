"""kill -9 and SIGSTOP anywhere in the chain: no process is left, and the executor goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from modelyard.contract import Exit, LaunchKey
from modelyard.executor import JobPhase
from modelyard.local.executor import LocalExecutor
from tests.contract.executor_suite import Bench, has_ended
from tests.support.local_bench import ends, local_bench

pytestmark = pytest.mark.integration

GONE_SECONDS = 120.0
"""Longest that an end may take; far beyond what it takes on a busy machine."""

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One executor for the module; its fork servers die and come back."""
    with local_bench(tmp_path_factory.mktemp("home")) as bench:
        yield bench


def running(bench: Bench) -> tuple[psutil.Process, LaunchKey]:
    """An endless launch; its process once it is training, and its key."""
    request = bench.endless()
    key = request.spec.key
    bench.run(bench.executor.launch((request,)))
    bench.wait_for(key, "checkpoint")
    return psutil.Process(bench.told(key, "started")[0].process), key


def family(process: psutil.Process) -> list[int]:
    """The fork server of a launch with all its children."""
    server = process.parent()
    assert server is not None
    return [server.pid, *(child.pid for child in server.children(recursive=True))]


def test_killed_fork_server_takes_its_launches_along_and_is_replaced(bench: Bench) -> None:
    """Running launches fail with evidence, no process is left, and new launches run."""
    process, key = running(bench)
    everybody = family(process)
    os.kill(everybody[0], signal.SIGKILL)
    lost = bench.run(bench.reaches(key, has_ended))
    after = bench.run(bench.carry_out(bench.request()))

    assert (lost.phase, lost.evidence.reason) == (JobPhase.FAILED, "ForkServerLost")
    assert [pid for pid in everybody if not ends(pid, GONE_SECONDS)] == []
    assert after.evidence.exit_code == Exit.ACCEPTED


def test_frozen_fork_server_doesn_t_keep_a_launch_alive(tmp_path: Path) -> None:
    """A fork server that does nothing is killed when a stop is overdue; its launch goes too."""
    with local_bench(tmp_path, patience_seconds=0.1) as bench:
        process, key = running(bench)
        everybody = family(process)
        os.kill(everybody[0], signal.SIGSTOP)
        bench.run(bench.executor.stop(key, 0.0))
        job = bench.run(bench.reaches(key, has_ended))

    assert job.evidence.reason == "ForkServerLost"
    assert [pid for pid in everybody if not ends(pid, GONE_SECONDS)] == []


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "with a frozen fork server"])
def test_killed_server_leaves_nothing(bench: Bench, tmp_path: Path, frozen: bool) -> None:
    """kill -9 of the process that holds the executor: fork server, spares and launch all end."""
    request = bench.endless()
    key = request.spec.key
    order = {"spec": request.spec.model_dump(mode="json"), "environment": request.environment}
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.support.hold_executor", str(tmp_path), json.dumps(order)],
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        bench.wait_for(key, "checkpoint")
        launch = bench.told(key, "started")[0].process
        everybody = family(psutil.Process(launch))
        if frozen:
            os.kill(everybody[0], signal.SIGSTOP)
    finally:
        holder.kill()
        holder.wait()

    # A frozen fork server can't end by itself; what trains does all the same.
    left = [pid for pid in everybody if not (frozen and pid == everybody[0])]
    assert launch in left
    assert [pid for pid in left if not ends(pid, GONE_SECONDS)] == []
    if frozen:
        with suppress(ProcessLookupError):  # the kernel has ended it with its parent already
            os.kill(everybody[0], signal.SIGCONT)
        assert ends(everybody[0], GONE_SECONDS)


def test_close_leaves_nothing(tmp_path: Path) -> None:
    """Close ends launches, spares and the fork server; repeated, it is no error."""
    with local_bench(tmp_path) as bench:
        everybody = family(running(bench)[0])
        bench.run(bench.executor.close())

        assert [pid for pid in everybody if not ends(pid, GONE_SECONDS)] == []


def test_close_before_the_fork_server_is_ready(tmp_path: Path) -> None:
    """Nothing is left of a fork server that was still importing."""
    with local_bench(tmp_path) as bench:
        executor = bench.executor
        assert isinstance(executor, LocalExecutor)

        async def start_and_close() -> list[int]:
            before = {child.pid for child in psutil.Process().children()}
            await executor.launch((bench.request(),))
            await asyncio.sleep(0)  # lets the fork server's start begin
            found = {child.pid for child in psutil.Process().children()}
            await executor.close()
            return sorted(found - before)

        pids = bench.run(start_and_close())

    assert len(pids) == 1
    assert ends(pids[0], GONE_SECONDS)
