"""Many posters like trials in one process: the trial program's own, without what it computes.

``python -m tests.support.posters ADDRESS SWEEP FIRST COUNT FOLDER`` posts for trials FIRST and on.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from modelyard.contract import LaunchKey, Metrics, Phase, TrialResult, Variable
from modelyard.trial.intake import Intake
from modelyard.trial.poster import Poster
from modelyard.trial.spool import Spool

EPOCHS, EPOCH_SECONDS = 6, 5.0
EVENTS = EPOCHS + 2
"""Of each trial: a phase, as many metrics as epochs, a result."""

PATIENCE_SECONDS = 120.0


def post(address: str, keys: list[LaunchKey], folder: Path) -> None:
    """Post what trials say whose epochs take five seconds, begun one after the other within that.

    Metrics carry the time at which they were made, in seconds since 1970.

    Raises:
        SystemExit: not every event was acknowledged.
    """
    with ExitStack() as stack:
        posters = [_poster(stack, address, key, folder) for key in keys]
        began = time.monotonic()
        for epoch in range(EPOCHS + 1):
            for number, poster in enumerate(posters):
                due = began + (epoch + number / len(posters)) * EPOCH_SECONDS
                time.sleep(max(0.0, due - time.monotonic()))
                if epoch == 0:
                    poster.post(Phase(name="training", steps=True))
                else:
                    poster.post(Metrics(step=epoch, values={"made_at": time.time()}))
        for poster in posters:
            poster.post(TrialResult(metrics={"accuracy": 0.5}, step=EPOCHS))
        if not all(poster.close(PATIENCE_SECONDS) for poster in posters):
            sys.exit("not every event was acknowledged")


def _poster(stack: ExitStack, address: str, key: LaunchKey, folder: Path) -> Poster:
    intake = stack.enter_context(Intake(address, os.environ[Variable.TOKEN.value]))
    poster = Poster(
        send=lambda batch: intake.post(key, batch),
        spool=Spool(folder / str(key)),
        on_stop=lambda _: None,
        on_end=lambda error: print(f"{key} was refused: {error}", file=sys.stderr),
    )
    poster.start()
    return poster


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    server, sweep, first, count, scratch = sys.argv[1:]
    tasks = range(int(first), int(first) + int(count))
    post(server, [LaunchKey(sweep=sweep, task=str(n), number=1) for n in tasks], Path(scratch))
