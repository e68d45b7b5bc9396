"""Gathering what pictures are drawn from, from wherever it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from modelyard.contract import Metrics, Stage, TrialResult
from modelyard.evaluate import explanation, predictions
from modelyard.evaluate.explanation import Explanation
from modelyard.health import numbers
from modelyard.report.material import Material

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 20_000_000
"""Cells of predictions that are drawn from: 160 MB, beside whatever else a server holds."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "numbers": (numbers.FILE, numbers.ARRAYS),
    "predictions": (predictions.FILE,),
    "explanation": (explanation.FILE,),
}
"""Names under which a result's outcome has the folders that are read, and the files in each."""

Value = TypeVar("Value")


class Source(Protocol):
    """Where results, metrics and files of one sweep's tasks are kept."""

    def result(self, task: str) -> TrialResult | None:
        """The accepted result of a trial or stage; None without one."""

    def metrics(self, task: str) -> Sequence[Metrics]:
        """What a task reported, in order of steps, the first value of each."""

    def folder(self, task: str, role: str) -> Path:
        """A local folder with the files of a role, see ``ROLES``.

        Raises:
            Exception: it can't be had.
        """


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model that the pictures are of.

    Args:
        title: of the page.
        task: that fitted it: a trial's number, or ``train``.
        evaluated: it is the one that the stage evaluate measured.
        metric: the first objective's.
        classes: of the data's card; () for a regression.
        fits: names of its fits where there are several, one a fold.
    """

    title: str
    task: str
    evaluated: bool
    metric: str
    classes: tuple[str, ...]
    fits: tuple[str, ...] = ()


def subject_of(
    name: str,
    experiment: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    *,
    trial: int | None = None,
    best: int | None = None,
) -> Subject | None:
    """What a report on a sweep, or on one of its trials, is about.

    Args:
        name: of the sweep.
        experiment: its whole document.
        stages: outcomes of the complete stages.
        trial: the one that is asked for; None for the sweep's model.
        best: the best trial so far, which it is until a model was trained.

    Returns:
        None where there is neither a model nor a complete trial.
    """
    trained = stages.get(Stage.TRAIN)
    model = None if trained is None else str(trained.get("taken_from_trial", Stage.TRAIN.value))
    task = str(trial) if trial is not None else model or (None if best is None else str(best))
    if task is None:
        return None
    card = stages.get(Stage.PREPARE, {}).get("card", {})
    what = f", trial {task}" if task.isdecimal() else ""
    return Subject(
        title=f"{name}{what}",
        task=task,
        evaluated=task == model,
        metric=str(experiment["objective"][0]["metric"]),
        classes=tuple(card.get("classes", ())),
        fits=_fits(experiment["data"]) if task.isdecimal() else (),
    )


def gather(source: Source, subject: Subject) -> Material:
    """Everything there is on a model; what can't be read is in the material's problems."""
    problems: list[str] = []

    def tried(what: str, read: Callable[[], Value], *, there: bool = True) -> Value | None:
        try:
            return read() if there else None
        except Exception as error:
            # A damaged or missing part costs its own pictures alone.
            problems.append(f"{what} can't be read: {error}")
            return None

    fitted = source.result(subject.task)
    if fitted is None:
        problems.append(f"{subject.task} has no result: it failed, was stopped or still runs")
    said = fitted.outcome if fitted else {}
    test = source.result(Stage.EVALUATE) if subject.evaluated else None
    judged = test.outcome if test else {}
    metrics = test.metrics if test else fitted.metrics if fitted else {}
    return Material(
        title=subject.title,
        metric=subject.metric,
        family=str(said.get("family", "")),
        parameters=said.get("parameters", {}),
        step=fitted.step if fitted else None,
        metrics=metrics,
        split="test" if test else "validation",
        classes=subject.classes,
        fits=subject.fits,
        history=tried("the history", lambda: source.metrics(subject.task)) or (),
        outcome=judged,
        kept=tried(
            "the trial's numbers",
            lambda: numbers.read(source.folder(subject.task, "numbers")),
            there="numbers" in said,
        ),
        predictions=tried(
            "the test predictions", lambda: _predictions(source), there="predictions" in judged
        ),
        explanation=tried(
            "the explanation", lambda: _explanation(source), there="explanation" in judged
        ),
        problems=tuple(problems),
    )


def first_of_each_step(found: Sequence[Metrics]) -> list[Metrics]:
    """Reported metrics by step; of a step that a resumed attempt repeats the first values stand."""
    steps: dict[int, dict[str, float]] = {}
    for one in found:
        steps[one.step] = {**one.values, **steps.get(one.step, {})}
    return [Metrics(step=step, values=values) for step, values in sorted(steps.items())]


def _fits(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a trial's fits in order, by the experiment's data section; () for a single one."""
    folds, repeats = int(data.get("folds", 1)), int(data.get("repeats", 1))
    if folds * repeats == 1:
        return ()
    return tuple(
        ", ".join(
            [f"repeat {repeat}"] * (repeats > 1) + [f"fold {fold}"] * (folds > 1),
        )
        for repeat in range(1, repeats + 1)
        for fold in range(1, folds + 1)
    )


def _predictions(source: Source) -> pd.DataFrame:
    import pandas  # late: half a second that a page without predictions need not pay
    import pyarrow.parquet as pq

    file = source.folder(Stage.EVALUATE, "predictions") / predictions.FILE
    about = pq.read_metadata(file)
    if about.num_rows * about.num_columns > MOST_CELLS:
        raise ValueError(
            f"{about.num_rows:,} rows of {about.num_columns:,} columns are too many to draw; "
            f"they are in {predictions.FILE}"
        )
    return pandas.read_parquet(file)


def _explanation(source: Source) -> Explanation:
    file = source.folder(Stage.EVALUATE, "explanation") / explanation.FILE
    return Explanation.model_validate_json(file.read_bytes())
