"""Folds and repeats inside one trial: a fit each, reported as one step each.

The value of a trial is the mean over its folds. A checkpoint holds what the finished folds came
to, and that of the running fold, where its family has such:

    folds.json     what the fits are, and the results of the finished ones
    …              the running fit's own files
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.contract import Scalar
from modelyard.data.split import repeat_seed
from modelyard.train import checkpoint
from modelyard.train.errors import CheckpointFailed, CheckpointUnusable, Diverged, Stopped
from modelyard.train.fit import fit
from modelyard.train.job import FitJob
from modelyard.train.reporting import PhaseName, Reporter, Standing

FILE = "folds.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """What one fit came to.

    Args:
        step: number of the fit in its trial, from 1.
        repeat, fold: which one it is, each from 1.
        epoch: of the checkpoint that the metrics are of; None for a classical family.
        metrics: of the rows that the fold is measured on, plain names.
        health: its scores by name, see ``health.scores``; only those that were measured.
    """

    step: int
    repeat: int
    fold: int
    epoch: int | None
    metrics: dict[str, float]
    health: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class FoldsOutcome:
    """What a trial with folds came to.

    Args:
        family: of the model.
        parameters: the family's, all of them.
        folds: first to last.
    """

    family: str
    parameters: dict[str, Scalar]
    folds: tuple[FoldResult, ...]

    @property
    def mean(self) -> dict[str, float]:
        """The mean over the folds, by plain name."""
        return {name: float(np.mean(values)) for name, values in self._values().items()}

    @property
    def spread(self) -> dict[str, float]:
        """The sample standard deviation over the folds, by plain name.

        No standard error: folds share most of the rows that they learn from, and no unbiased
        estimate of that exists (Bengio and Grandvalet 2004, "No Unbiased Estimator of the
        Variance of K-Fold Cross-Validation").
        """
        return {name: float(np.std(values, ddof=1)) for name, values in self._values().items()}

    @property
    def health(self) -> dict[str, float]:
        """The mean over the folds of each score that was measured in all of them."""
        scores = [one.health for one in self.folds]
        measured = [name for name in scores[0] if all(name in each for each in scores)]
        return {name: float(np.mean([each[name] for each in scores])) for name in measured}

    def _values(self) -> dict[str, list[float]]:
        # One that a fold can't measure (auc, where its rows have one class) has no mean.
        names = [n for n in self.folds[0].metrics if all(n in one.metrics for one in self.folds)]
        return {name: [one.metrics[name] for one in self.folds] for name in names}


def fit_folds(job: FitJob, report: Reporter) -> FoldsOutcome:
    """Fit each fold of each repeat, one after the other.

    A fit is the very one that ``fit`` makes of the fold's rows: preprocessing is fitted on those
    that it learns from, and the seed is the job's for the first repeat, the next one for each
    that follows. What it came to is reported as one step; its epochs are not.

    Args:
        job: what to fit; the experiment says how many folds and repeats, and which share of the
            rows to learn from.
        report: told of phases, folds and checkpoints, whose numbers count the epochs of all
            folds; asked whether to stop.

    Raises:
        Stopped: also between two folds; see ``train.errors`` for this and the others.
    """
    done = _Finished.of(job)
    job.ranks.agree(len(done.folds), "the folds that are done")
    for one in done.folds:
        # Again, as the launch that fitted it may have been killed before it was heard.
        _say(one, report)
    for step in range(len(done.folds) + 1, job.experiment.data.fits + 1):
        if done.folds and report.should_stop():
            raise Stopped(len(done.folds) * job.epochs)
        done = _fit_one(job, step, done, report)
        job = replace(job, resume=None)
    return FoldsOutcome(family=job.family, parameters=done.parameters, folds=done.folds)


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """The folds that are done, as a checkpoint holds them.

    Args:
        identity: what the fits are; equal on both sides or the checkpoint is refused.
        parameters: the family's, all of them; {} before the first fold is done.
    """

    identity: dict[str, Any]
    parameters: dict[str, Scalar] = field(default_factory=dict)
    folds: tuple[FoldResult, ...] = ()

    @classmethod
    def of(cls, job: FitJob) -> _Finished:
        """Those in the checkpoint that the job goes on from; none without one.

        Raises:
            CheckpointUnusable: it is damaged, or of other fits.
        """
        identity = {
            "snapshot": job.snapshot.digest,
            "family": job.family,
            "parameters": dict(job.parameters),
            "seed": job.seed,
            "epochs": job.epochs,
        }
        if job.resume is None:
            return cls(identity=identity)
        try:
            state = json.loads((job.resume / FILE).read_text(encoding="utf-8"))
            found = cls(
                identity=state["identity"],
                parameters=state["parameters"],
                folds=tuple(FoldResult(**one) for one in state["folds"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointUnusable(job.resume, f"{type(error).__name__}: {error}") from error
        if found.identity != identity:
            raise CheckpointUnusable(job.resume, "it is of other folds")
        return found

    def write(self, folder: Path) -> None:
        """Add them to a checkpoint's files."""
        state = {"format": FORMAT, **asdict(self)}
        (folder / FILE).write_text(json.dumps(state), encoding="utf-8")


def _fit_one(job: FitJob, step: int, done: _Finished, report: Reporter) -> _Finished:
    """The next fold, reported and saved."""
    data = job.experiment.data
    repeat, fold = ((step - 1) // data.folds + 1, (step - 1) % data.folds + 1)
    within = _FoldReporter(job, step, done, report)
    snapshot = job.snapshot.fold(repeat, fold).sampled(data.sample, job.experiment.seed)
    going_on = job.resume is not None and (job.resume / checkpoint.STATE).exists()
    try:
        fitted = fit(
            replace(
                job,
                snapshot=snapshot,
                seed=repeat_seed(job.seed, repeat),
                scratch=job.scratch / "fold",
                resume=job.resume if going_on else None,
            ),
            within,
        )
    except Stopped as stopped:
        raise type(stopped)(within.number(stopped.epoch), saved=stopped.saved) from stopped
    except Diverged as error:
        raise Diverged(
            step=error.step,
            epoch=error.epoch,
            learning_rate=error.learning_rate,
            loss=error.loss,
            fold=step,
        ) from error
    result = FoldResult(
        step=step,
        repeat=repeat,
        fold=fold,
        epoch=fitted.step,
        metrics=fitted.metrics,
        health=fitted.observed.health,
    )
    _say(result, report)
    done = replace(done, parameters=fitted.parameters, folds=(*done.folds, result))
    if job.ranks.leads:
        _save(done, job.scratch, within.number(job.epochs), report)
    return done


def _say(result: FoldResult, report: Reporter) -> None:
    values = {f"validation_{name}": value for name, value in result.metrics.items()}
    report.metrics(result.step, values)


def _save(done: _Finished, scratch: Path, number: int, report: Reporter) -> None:
    """A checkpoint between two folds."""
    folder = scratch / f"{number:06d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done.write(folder)
        report.checkpoint(number, folder)
    except OSError as error:
        raise CheckpointFailed(number, folder, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _FoldReporter:
    """The ``Reporter`` of one fold's fit: what it says, as part of the whole.

    Args:
        job: of all folds.
        step: number of this one.
        done: those before it; they go into its checkpoints.
        report: of the trial.
    """

    def __init__(self, job: FitJob, step: int, done: _Finished, report: Reporter) -> None:
        self._job = job
        self._step = step
        self._done = done
        self._report = report

    def number(self, epoch: int) -> int:
        """Epochs that are done over all folds, where the fold has done so many."""
        return (self._step - 1) * self._job.epochs + epoch

    def phase(self, name: PhaseName, steps: bool) -> None:
        """See ``Reporter``."""
        self._report.phase(name, steps)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Not passed on: a trial's steps are its folds, which pruners compare one by one."""

    def progress(self, standing: Standing) -> None:
        """Folds take the place of epochs."""
        fits = self._job.experiment.data.fits
        self._report.progress(
            replace(
                standing,
                epoch=self._step,
                epochs=fits,
                fraction=(self._step - 1 + standing.fraction) / fits,
                epoch_fraction=standing.fraction,
            )
        )

    def wants_checkpoint(self) -> bool:
        """See ``Reporter``."""
        return self._report.wants_checkpoint()

    def checkpoint(self, epoch: int, folder: Path) -> None:
        """With what the finished folds came to, under its number among all epochs."""
        if epoch == self._job.epochs:
            return  # the fold's own result follows at once
        number = self.number(epoch)
        # By number too: a store that takes its time knows a checkpoint by the folder's name.
        named = folder.rename(self._job.scratch / f"{number:06d}")
        try:
            self._done.write(named)
            self._report.checkpoint(number, named)
        finally:
            shutil.rmtree(named, ignore_errors=True)

    def should_stop(self) -> bool:
        """See ``Reporter``."""
        return self._report.should_stop()
