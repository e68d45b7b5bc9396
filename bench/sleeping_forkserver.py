"""The fork server whose launches sleep for two seconds instead of fitting a model."""

import sys
import time

from bench.sweep_peers import SECONDS
from modelyard.contract import TrialResult
from modelyard.local import forkserver, preload
from modelyard.train.job import FitJob
from modelyard.trial import stages


def sleep(work: stages.Work, job: FitJob) -> TrialResult:
    """A trial that needs no core, and is as good as its learning rate is large."""
    del job
    work.reporter.phase("fitting", False)
    time.sleep(SECONDS)
    return TrialResult(metrics={"accuracy": float(work.spec.parameters["learning_rate"] or 0)})


if __name__ == "__main__":
    stages._fit = sleep
    # Warm from the first launch on, like the peers' workers; else it imports in quiet moments.
    preload.load_first()
    for step in preload.steps():
        step()
    sys.exit(forkserver.main(sys.argv))
