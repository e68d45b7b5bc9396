"""A server in miniature: holds a local executor and one launch until somebody kills it.

``python -m tests.support.hold_executor HOME REQUEST`` prints "ready" once the launch runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from modelyard.contract import TrialSpec
from modelyard.executor import LaunchRequest, Resources
from modelyard.local.executor import LocalExecutor
from modelyard.settings import Paths


async def hold(home: Path, text: str) -> None:
    """Launch, and watch for ever."""
    order = json.loads(text)
    request = LaunchRequest(
        spec=TrialSpec.model_validate(order["spec"]),
        resources=Resources(),
        environment=order["environment"],
    )
    executor = LocalExecutor(paths=Paths(home), devices=())
    await executor.launch((request,))
    async for _ in executor.watch():
        pass


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]), sys.argv[2]))
