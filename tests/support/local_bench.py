"""The bench of the executor contract over this machine's executor, and processes' ends."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.local.executor import LocalExecutor
from modelyard.settings import Paths
from tests.contract.executor_suite import Bench
from tests.support.intake import running_intake


@contextmanager
def local_bench(home: Path, patience_seconds: float = 30.0) -> Iterator[Bench]:
    """A local executor with its loop and intake; closed at the end."""
    with running_intake() as intake, asyncio.Runner() as runner:
        executor = LocalExecutor(paths=Paths(home), devices=(), patience_seconds=patience_seconds)
        store = (home / "artifacts").as_uri()
        yield Bench(runner=runner, executor=executor, intake=intake, store=store)
        runner.run(executor.close())


def ends(process: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds; a zombie has ended."""
    try:
        fd = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)
