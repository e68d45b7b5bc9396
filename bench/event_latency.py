"""How fast an event goes from a trial to a subscriber, through intake, journal and stream.

A process posts metrics as a trial does, by the trial program's own poster; this one subscribes
as the board does. Both read the machine's one monotonic clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.served import serving
from bench.table import Row
from modelyard.client import Client
from modelyard.contract import LaunchKey, Metrics
from modelyard.trial.intake import Intake
from modelyard.trial.poster import Poster
from modelyard.trial.spool import Spool

EVENTS_A_SECOND = 100
SECONDS = 10
EVENTS = EVENTS_A_SECOND * SECONDS
KEY = LaunchKey(sweep="latency0", task="0", number=1)


def post(address: str, scratch: Path) -> None:
    """Post ``EVENTS`` metrics at their rate, each with the time of its own making."""
    with Intake(address, None) as intake:
        poster = Poster(
            send=lambda batch: intake.post(KEY, batch),
            spool=Spool(scratch / "spool"),
            on_stop=lambda _: None,
            on_end=lambda error: sys.exit(str(error)),
        )
        poster.start()
        began = time.monotonic()
        for number in range(EVENTS):
            time.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.monotonic()))
            poster.post(Metrics(step=number + 1, values={"made_at": time.monotonic()}))
        if not poster.close(30.0):
            sys.exit("not every event was acknowledged")


def latencies(address: str, scratch: Path) -> list[float]:
    """Seconds from the making of each event to its arrival here, sorted."""
    with Client(address) as client:
        stream = client.events(KEY.sweep, 0)
        argv = [sys.executable, "-m", "bench.event_latency", address, str(scratch)]
        with subprocess.Popen(argv) as poster:
            found = []
            for event in stream:
                found.append(time.monotonic() - event.body["values"]["made_at"])
                if len(found) == EVENTS:
                    break
        if poster.returncode:
            raise RuntimeError(f"the poster ended with {poster.returncode}")
    return sorted(found)


def rows() -> list[Row]:
    """The figures of this module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder / "home", [KEY]) as address:
            found = latencies(address, folder)
    median, high = (found[int(len(found) * share)] * 1000 for share in (0.5, 0.99))
    return [
        Row(
            what="event from trial to subscriber at 100 events/s, p50 / p99",
            ours=f"{median:.1f} ms / {high:.1f} ms",
            goal="p99 under 20 ms",
            met=high < 20,
            note=f"{EVENTS} events, all of them delivered once and in order",
        )
    ]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        post(sys.argv[1], Path(sys.argv[2]))
    else:
        print(json.dumps([vars(row) for row in rows()], indent=1))
