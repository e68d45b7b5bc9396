"""What the server answers to those who draw: metrics, results and kept files of a task."""

from __future__ import annotations

from pathlib import Path

import httpx

from modelyard.contract import Metrics, TrialResult
from modelyard.server.core import Core
from modelyard.store.folder import FolderStore
from tests.unit.serverkit import add_launch, add_sweep, batch, step
from tests.unit.test_server_api import problem, served


def left(folder: Path) -> TrialResult:
    """A result whose numbers are in a store."""
    made = folder / "numbers"
    made.mkdir()
    (made / "numbers.json").write_text("{}")
    (made / "secret.txt").write_text("nobody asked for it")
    uri = FolderStore().commit(made, (folder / "store" / "numbers").as_uri())
    return TrialResult(metrics={"accuracy": 0.5}, outcome={"numbers": uri})


def test_a_tasks_metrics_are_one_curve(tmp_path: Path) -> None:
    """Metrics come in order of steps, of all attempts, the first value of each step."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        sweep = add_sweep(core.journal).id
        core.journal.append([(add_launch(core.journal, sweep), batch(step(1), step(2)))])
        again = add_launch(core.journal, sweep, number=2)
        core.journal.append([(again, batch(step(2, 9.0), step(3)))])
        core.journal.append([(add_launch(core.journal, sweep, "1"), batch(step(7)))])

        answer = await http.get(f"/v1/sweeps/{sweep}/tasks/0/metrics")

        found = [Metrics.model_validate(one) for one in answer.json()]
        assert found == [step(1), step(2), step(3)]

    served(tmp_path, scenario)


def test_files_of_a_result_are_handed_out(tmp_path: Path) -> None:
    """What a task kept is answered by role and name, and nothing else that lies there."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        sweep = add_sweep(core.journal).id
        key = add_launch(core.journal, sweep)
        result = left(tmp_path)
        core.journal.append([(key, batch(result))])
        task = f"/v1/sweeps/{sweep}/tasks/0"

        told = await http.get(f"{task}/result")
        file = await http.get(f"{task}/files/numbers/numbers.json")

        assert TrialResult.model_validate_json(told.content) == result
        assert file.text == "{}"
        for other in ("numbers/secret.txt", "predictions/predictions.parquet", "model/model.json"):
            refused = problem(await http.get(f"{task}/files/{other}"), 404)
            assert "there is numbers/numbers.json" in refused.error

    served(tmp_path, scenario)


def test_a_task_without_a_result_has_none(tmp_path: Path) -> None:
    """404 for a trial that hasn't ended, and for one that never was."""

    async def scenario(http: httpx.AsyncClient, core: Core) -> None:
        sweep = add_sweep(core.journal).id
        add_launch(core.journal, sweep)
        for task in ("0", "5", "evaluate"):
            answer = await http.get(f"/v1/sweeps/{sweep}/tasks/{task}/result")
            assert "has no result" in problem(answer, 404).error

    served(tmp_path, scenario)
