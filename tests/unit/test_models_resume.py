"""Every network family: a fit that was stopped and resumed is the unbroken one, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from modelyard.models.families import FAMILIES
from modelyard.models.network import NetworkEstimator
from modelyard.train.errors import Stopped
from modelyard.train.fit import FitOutcome, fit
from tests.support.fitting import SMALL, Recorder, digits, job, table, texts

DATA = {"image": digits, "table": table, "text": texts}
CASES = [(f.name, kind) for f in FAMILIES.values() if f.network for kind in f.kinds]


def weights(outcome: FitOutcome) -> dict[str, torch.Tensor]:
    """The fitted network's weights and buffers."""
    assert isinstance(outcome.estimator, NetworkEstimator)
    return outcome.estimator.module.state_dict()


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_resumed_fit_is_the_unbroken_one(family: str, kind: str, tmp_path: Path) -> None:
    """Stopped in an epoch's middle and resumed in another random state, with dropout: the same
    metrics and weights."""
    rest: dict[str, Any] = {
        "snapshot": DATA[kind](tmp_path / "data", rows=100),
        "scratch": tmp_path / "scratch",
        "family": family,
        "epochs": 3,
        "parameters": SMALL[family],
        "train": {"dropout": 0.3, "batch_size": 16},
    }
    unbroken = fit(job(**rest), Recorder())
    with pytest.raises(Stopped) as stopped:
        fit(job(**rest), Recorder(tmp_path / "kept", stop_after=6))
    torch.manual_seed(99)
    resume = tmp_path / "kept" / f"{stopped.value.epoch:06d}"
    resumed = fit(job(resume=resume, **rest), Recorder())

    assert (resumed.metrics, resumed.step) == (unbroken.metrics, unbroken.step)
    ours, theirs = weights(resumed), weights(unbroken)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
