"""The executor contract over processes of this machine, and what is this executor's own."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelyard.executor import JobPhase
from modelyard.local import gpus, memory
from modelyard.local.executor import LocalExecutor
from modelyard.local.memory import memory_bytes
from modelyard.local.protocol import Ready
from tests.contract.executor_suite import Bench, ExecutorSuite, has_ended
from tests.support.local_bench import local_bench


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder for all tests of this module: starting a fork server takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bench(home: Path) -> Iterator[Bench]:
    """One executor, loop and intake for all tests; each uses keys of its own."""
    with local_bench(home) as bench:
        yield bench


def process_of(bench: Bench, key: Any) -> int:
    """The launch's pid, as it told it."""
    bench.wait_for(key, "started")
    return int(bench.told(key, "started")[0].process)


class TestLocalExecutor(ExecutorSuite):
    """The contract."""


def test_a_frozen_launch_is_killed_after_its_grace(bench: Bench) -> None:
    """A launch that can't answer SIGTERM is killed once the grace is over."""
    request = bench.endless()
    key = request.spec.key
    bench.run(bench.executor.launch((request,)))
    process = process_of(bench, key)
    os.kill(process, signal.SIGSTOP)
    bench.run(bench.executor.stop(key, 0.2))
    job = bench.run(bench.reaches(key, has_ended))

    assert job.evidence.signal == signal.SIGKILL
    assert not psutil.pid_exists(process)


def test_a_killed_launch_is_told_with_its_signal(bench: Bench) -> None:
    """kill -9 from anywhere is seen, with what the launch printed last."""
    request = bench.endless()
    key = request.spec.key
    bench.run(bench.executor.launch((request,)))
    os.kill(process_of(bench, key), signal.SIGKILL)
    job = bench.run(bench.reaches(key, has_ended))

    assert job.phase is JobPhase.FAILED
    assert (job.evidence.exit_code, job.evidence.signal) == (None, signal.SIGKILL)


def test_the_fork_server_has_one_thread(bench: Bench) -> None:
    """What forks has one thread, but for that of pyarrow's allocator, which handles forks."""
    request = bench.endless()
    key = request.spec.key
    bench.run(bench.executor.launch((request,)))
    parent = psutil.Process(process_of(bench, key)).ppid()
    tasks = Path(f"/proc/{parent}/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    bench.run(bench.executor.clean(key))

    assert [name for name in names if name != "jemalloc_bg_thd"] == ["python"]


def test_a_launch_that_was_expected_runs_as_any_other(bench: Bench) -> None:
    """It is told the same, whether its process rehearsed it or one of another sweep."""
    expected, foreign = bench.request(), bench.request(epochs=3)
    bench.run(bench.executor.expect(expected, 3))
    jobs = [bench.run(bench.carry_out(request)) for request in (expected, foreign)]
    bench.run(bench.executor.retire(expected.spec.key.sweep))

    assert [job.phase for job in jobs] == [JobPhase.SUCCEEDED] * 2
    assert [len(bench.told(one.spec.key, "started")) for one in (expected, foreign)] == [1, 1]


def test_a_launch_without_a_fork_server_is_sent_to_the_next(bench: Bench) -> None:
    """While a dead one is cleared away a launch is taken, and told to the one that follows."""
    executor, request = bench.executor, bench.request()
    assert isinstance(executor, LocalExecutor)
    bench.run(bench.carry_out(bench.request()))  # now there is one

    async def come_between() -> None:
        executor._link, link = None, executor._link
        await executor.launch((request,))
        executor._link = link
        executor._hear(Ready())

    bench.run(come_between())
    job = bench.run(bench.reaches(request.spec.key, has_ended))

    assert job.phase is JobPhase.SUCCEEDED


def test_output_and_scratch_lie_under_the_home(bench: Bench, home: Path) -> None:
    """What a launch prints is in its log after its scratch folder was cleaned away."""
    request = bench.request(document="0" * 64)
    key = request.spec.key
    bench.run(bench.carry_out(request))
    scratch = home / "scratch" / str(key)
    before = scratch.is_dir()
    bench.run(bench.executor.clean(key))

    assert before
    assert not scratch.exists()
    assert "no such document" in (home / "logs" / "trials" / f"{key}.log").read_text()


def test_the_memory_limit_ignores_mapped_files(tmp_path: Path) -> None:
    """Pages of a file that is only read can be given back, so they don't count."""
    file = tmp_path / "data"
    file.write_bytes(os.urandom(1 << 20) * 64)
    before = memory_bytes(os.getpid())
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        touched = sum(mapped[offset] for offset in range(0, len(mapped), 4096))
        during = memory_bytes(os.getpid())

    assert touched > 0
    assert during - before < 32 << 20


def test_memory_that_is_held_counts() -> None:
    """Memory of one's own is counted, and a process that is gone has none."""
    before = memory_bytes(os.getpid())
    block = bytearray(64 << 20)
    during = memory_bytes(os.getpid())

    # What was free before may have been given back meanwhile.
    assert abs(during - before - len(block)) < 32 << 20
    assert memory_bytes(2**22 - 1) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists children")
@pytest.mark.parametrize(("variables", "counted"), [({"RANK": "1"}, True), ({}, False)])
def test_the_memory_of_further_ranks_counts(variables: dict[str, str], counted: bool) -> None:
    """They run in the launch's container; what else it starts may share its pages."""
    code = "import sys; block = bytearray(96 << 20); print(flush=True); sys.stdin.read()"
    before = memory_bytes(os.getpid())
    with subprocess.Popen(
        (sys.executable, "-S", "-c", code),
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        during = memory_bytes(os.getpid())
        child.stdin.close()

    assert (during - before >= 64 << 20) is counted


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists children")
def test_what_a_further_rank_starts_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It inherits the rank's variables, and may share its pages."""
    started = {10: (11,), 11: (12,), 12: ()}
    monkeypatch.setattr(memory, "_ranks", started.__getitem__)
    monkeypatch.setattr(memory, "_own_bytes", lambda process: process)

    assert memory_bytes(10) == 21


def test_gpus_go_to_those_with_the_fewest_launches() -> None:
    """Launches spread over the GPUs, share them when there are more, and may want none."""
    devices = ("a", "b", "c")

    assert gpus.assign(1, devices, []) == ("a",)
    assert gpus.assign(1, devices, [("a",)]) == ("b",)
    assert gpus.assign(2, devices, [("b",), ("b",)]) == ("a", "c")
    assert gpus.assign(1, devices, [("a",), ("b",), ("c",)]) == ("a",)
    assert gpus.assign(0, devices, []) == ()
    assert gpus.assign(1, (), []) == ()
    assert gpus.assign(9, devices, []) == devices


def test_gpus_that_the_user_hid_stay_hidden() -> None:
    """CUDA_VISIBLE_DEVICES of our own environment is the limit."""
    assert gpus.installed({gpus.VISIBLE: "2, 3"}) == ("2", "3")
    assert gpus.installed({gpus.VISIBLE: ""}) == ()
