"""What stages hand on: the winner, whether it is fitted again, inputs that must stay the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.api import StageState, TrialState
from modelyard.contract import LaunchKey, Stage, TrialResult, TrialSpec
from modelyard.errors import InputError, ModelyardError
from modelyard.experiment.model import Experiment
from modelyard.journal.rows import StageRow, TrialRow
from modelyard.server import handover, web
from modelyard.server.changes import Changes
from modelyard.server.live import LiveJournal
from tests.unit.serverkit import add_sweep, batch, experiment, open_journal


def with_journal(folder: Path, scenario: Callable[[LiveJournal], None]) -> None:
    async def run() -> None:
        journal = open_journal(folder, Changes(asyncio.get_running_loop()))
        scenario(journal)
        journal.close()

    asyncio.run(run())


def finish(journal: LiveJournal, sweep: str, number: int, value: float) -> None:
    """A trial that ran to its end."""
    key = LaunchKey(sweep=sweep, task=str(number), number=1)
    journal.commit_launches([TrialSpec(key=key, stage=Stage.TRIAL, document="d")])
    result = TrialResult(metrics={"accuracy": value}, outcome={"family": "mlp"}, model="file:///m")
    journal.append([(key, batch(result))])
    journal.put_trial(
        TrialRow(
            sweep=sweep,
            number=number,
            state=TrialState.COMPLETE,
            parameters={"hidden": number},
            values=(value,),
        )
    )


def test_the_winner_comes_with_its_result(tmp_path: Path) -> None:
    """The best trial is handed on with what its launch brought."""

    def scenario(journal: LiveJournal) -> None:
        sweep = add_sweep(journal)
        for number, value in enumerate((0.5, 0.9, 0.7)):
            finish(journal, sweep.id, number, value)

        found = handover.winner(journal, sweep)

        assert (found.trial.number, found.result.metrics) == (1, {"accuracy": 0.9})

    with_journal(tmp_path, scenario)


def test_without_a_complete_trial_there_is_no_model(tmp_path: Path) -> None:
    """A sweep of failed trials has nothing to train."""

    def scenario(journal: LiveJournal) -> None:
        with pytest.raises(ModelyardError, match="no trial of sweep aaaaaaaa is complete"):
            handover.winner(journal, add_sweep(journal))

    with_journal(tmp_path, scenario)


@pytest.mark.parametrize(
    ("family", "sections", "taken"),
    [
        ("mlp", {}, True),
        ("mlp", {"search": {"epochs": 20}}, True),
        ("mlp", {"search": {"epochs": 5}}, False),
        ("random-forest", {"search": {"epochs": 5}}, True),
        ("mlp", {"data": {"source": "sklearn:digits", "folds": 3}}, False),
        ("random-forest", {"data": {"source": "sklearn:digits", "repeats": 2}}, False),
        ("random-forest", {"data": {"source": "sklearn:digits", "sample": 0.5}}, False),
    ],
)
def test_the_winners_own_checkpoint(family: str, sections: dict[str, Any], taken: bool) -> None:
    """It is taken when training again would give the same model."""
    trial = TrialRow(sweep="s", number=0, state=TrialState.COMPLETE, parameters={})
    found = handover.Winner(trial=trial, result=TrialResult(outcome={"family": family}))

    given = Experiment.model_validate(experiment(model=family, **sections))

    assert handover.is_full_length(given, found) is taken


def test_outcomes_only_of_complete_stages(tmp_path: Path) -> None:
    """What a stage came to is handed on once it is complete."""

    def scenario(journal: LiveJournal) -> None:
        sweep = add_sweep(journal).id
        row = journal.begin_stage(sweep, "prepare")
        with pytest.raises(ModelyardError, match="prepare of sweep aaaaaaaa is not complete"):
            handover.outcome(journal, sweep, "prepare")

        done = StageRow(
            sweep=sweep,
            stage="prepare",
            state=StageState.COMPLETE,
            started_at=row.started_at,
            outcome={"snapshot": "file:///s"},
        )
        journal.end_stage(done)

        assert handover.outcome(journal, sweep, "prepare") == {"snapshot": "file:///s"}

    with_journal(tmp_path, scenario)


def test_an_open_launch_keeps_its_inputs(tmp_path: Path) -> None:
    """A committed launch is given the same again; once it has ended the next one may differ."""

    def scenario(journal: LiveJournal) -> None:
        sweep = add_sweep(journal).id
        key = LaunchKey(sweep=sweep, task="evaluate", number=1)
        inputs = {"model": "file:///m", "champion": "file:///c"}
        spec = TrialSpec(key=key, stage=Stage.EVALUATE, document="d", inputs=inputs)
        before = handover.open_inputs(journal, sweep, "evaluate")
        journal.commit_launches([spec])
        meanwhile = handover.open_inputs(journal, sweep, "evaluate")
        journal.end_launch(key)

        after = handover.open_inputs(journal, sweep, "evaluate")

        assert (before, meanwhile, after) == (None, inputs, None)

    with_journal(tmp_path, scenario)


def test_a_port_that_is_taken() -> None:
    """A port that was asked for and is taken is named; without one another is found."""
    with web.listen(None) as first, web.listen(None) as second:
        port = first.getsockname()[1]

        with pytest.raises(InputError, match=f"port {port} "):
            web.listen(port)

        assert second.getsockname()[1] != port
        assert isinstance(first, socket.socket)
