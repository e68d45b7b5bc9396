"""What each stage of a launch does: the rooms' work in order, and a result out of it.

Each stage imports its own work when it begins: preparing brings pandas, fitting torch's
compiler, seconds that the other stages need not pay. A fork server has imported it before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.code.archive import ARCHIVE
from modelyard.code.importing import Code, open_code
from modelyard.code.reference import Reference
from modelyard.contract import PinnedVersion, Scalar, Stage, TrialResult, TrialSpec
from modelyard.data.snapshot import Snapshot, open_snapshot
from modelyard.errors import DigestMismatch, InputError
from modelyard.experiment.model import Experiment
from modelyard.experiment.search import Parameter
from modelyard.experiment.space import is_possible
from modelyard.models.families import family_named, resolve
from modelyard.models.spaces import suited, why
from modelyard.store.store import Store, join
from modelyard.train.reporting import Reporter
from modelyard.trial.checkpoints import Resumption

if TYPE_CHECKING:
    from modelyard.models.pretrained import Pretrained
    from modelyard.train.job import FitJob
    from modelyard.train.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a stage needs.

    Args:
        spec: what to do.
        experiment: of the document.
        store: where artifacts lie, below ``store_base``.
        folder: URI of this launch's own artifacts.
        scratch: local folder for temporary files.
        resumption: the checkpoint to go on from.
        code: URI of the committed folder with the user's own code, None without such.
        weights: the registered version that the experiment starts from, None without such.
        reporter: told how it goes.
    """

    spec: TrialSpec
    experiment: Experiment
    store: Store
    store_base: str
    folder: str
    scratch: Path
    resumption: Resumption
    code: str | None
    weights: PinnedVersion | None
    reporter: Reporter


def do_stage(work: Work) -> TrialResult:
    """Do a launch's work.

    Returns:
        The result, without its times and sizes.

    Raises:
        Exception: whatever the work raises; ``failures.py`` knows what it is called.
    """
    match work.spec.stage:
        case Stage.PREPARE:
            return _prepare(work)
        case Stage.TRIAL | Stage.TRAIN:
            with _ranks(work) as ranks:
                job = _job(work, _snapshot(work), ranks)
                return (_fit_folds if _has_folds(work) else _fit)(work, job)
        case Stage.EVALUATE:
            return _evaluate(work)


def _prepare(work: Work) -> TrialResult:
    from modelyard.data.prepare import prepare

    prepared = prepare(
        work.experiment.data,
        seed=work.experiment.seed,
        base=Path.cwd(),
        store=work.store,
        store_base=work.store_base,
        scratch=work.scratch,
    )
    if work.experiment.model.weights is not None:
        _check_start(work, open_snapshot(work.store.fetch(prepared.uri)))
    return TrialResult(
        outcome={
            "snapshot": prepared.uri,
            "digest": prepared.digest,
            "card": prepared.card.model_dump(mode="json"),
        }
    )


def _check_start(work: Work, snapshot: Snapshot) -> None:
    """Weights that don't fit would end every trial alike."""
    from modelyard.train.fit import check_start
    from modelyard.train.ranks import ALONE

    check_start(_job(work, snapshot, ALONE))


def follow_stage(work: Work) -> None:
    """Take part in the fit of a launch that another process reports of.

    Args:
        work: as that process has it, but for the reporter.

    Raises:
        Exception: whatever the fit raises.
    """
    from modelyard.train.fit import fit
    from modelyard.train.folds import fit_folds

    with _ranks(work) as ranks:
        job = _job(work, _snapshot(work), ranks)
        (fit_folds if _has_folds(work) else fit)(job, work.reporter)


def _ranks(work: Work) -> AbstractContextManager[Ranks]:
    from modelyard.trial.peers import place_of, together

    wanted = work.experiment.resources
    place = place_of(os.environ, nodes=wanted.nodes, gpus=wanted.gpus)
    return together(place, work.scratch, work.resumption.epoch or 0)


def _has_folds(work: Work) -> bool:
    return work.spec.stage is Stage.TRIAL and work.experiment.data.fits > 1


def _job(work: Work, snapshot: Snapshot, ranks: Ranks) -> FitJob:
    """The fit of a stage: trials are compared on a sample, the winner learns from all."""
    from modelyard.train.job import FitJob

    data = work.experiment.data
    family = resolve(work.experiment, snapshot.card)
    if work.spec.stage is Stage.TRIAL and data.fits == 1:
        snapshot = snapshot.sampled(data.sample, work.experiment.seed)
    return FitJob(
        snapshot=snapshot,
        experiment=work.experiment,
        family=family,
        parameters=work.spec.parameters,
        seed=work.spec.seed,
        epochs=work.spec.epochs or work.experiment.train.epochs,
        scratch=work.scratch / "checkpoints",
        resume=work.resumption.folder,
        code=_code(work, family),
        ranks=ranks,
        weights=_weights(work),
    )


def _fit(work: Work, job: FitJob) -> TrialResult:
    from modelyard.health.numbers import write
    from modelyard.train.fit import fit
    from modelyard.trial.rebuilt import check_rebuilt

    snapshot = job.snapshot
    fitted = fit(job, work.reporter)
    for note in fitted.preprocessor.notes:
        print(note)
    work.reporter.phase("saving", False)
    packed = work.scratch / "model"
    fitted.pack(packed)
    if fitted.code is not None:
        check_rebuilt(packed, fitted, snapshot.part("validation"))
    write(fitted.observed.kept, work.scratch / "numbers")
    return TrialResult(
        metrics=fitted.metrics,
        step=fitted.step,
        model=work.store.commit(packed, join(work.folder, "model")),
        health=fitted.observed.health,
        outcome={
            "numbers": work.store.commit(work.scratch / "numbers", join(work.folder, "numbers")),
            **_what(work, job, fitted.parameters),
        },
    )


def _fit_folds(work: Work, job: FitJob) -> TrialResult:
    """Mean and spread over folds. There are as many models as folds, and none of them is kept:
    the winner's is fitted by the stage train."""
    from modelyard.train.folds import fit_folds

    found = fit_folds(job, work.reporter)
    spread = found.spread
    wanted = [objective.metric for objective in work.experiment.objective]
    if missing := [name for name in wanted if name not in spread]:
        raise InputError(
            f"objective.metric: {', '.join(missing)} can't be measured in every fold, as one with "
            "a single class has none; take another metric, or fewer folds"
        )
    return TrialResult(
        metrics={**found.mean, **{f"{name}_std": spread[name] for name in wanted}},
        health=found.health,
        outcome={
            **_what(work, job, found.parameters),
            "folds": [asdict(one) for one in found.folds],
            "spread": spread,
        },
    )


def _what(work: Work, job: FitJob, parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """Which model it is, and why that one."""
    return {
        "family": job.family,
        "parameters": dict(parameters),
        "why": why(work.experiment, job.snapshot.card, _searched(work, job)),
    }


def _searched(work: Work, job: FitJob) -> Mapping[str, Parameter]:
    """The space of this fit's parameters. A default one that the server has filled in stands in no
    document: of it those dimensions are known that have a value here."""
    if (space := work.experiment.search.space) is not None:
        return space
    own, values = suited(family_named(job.family), job.snapshot.card).space, job.parameters
    return {n: p for n, p in own.items() if n in values and is_possible(p, values[n])}


def _weights(work: Work) -> Pretrained | None:
    """What the experiment starts from, on this machine."""
    section = work.experiment.model.weights
    if section is None:
        return None
    from modelyard.trial.weights import weights_of

    return weights_of(
        section.source,
        work.weights,
        store=work.store,
        store_base=work.store_base,
        scratch=work.scratch,
    )


def _code(work: Work, family: str) -> Code | None:
    """The user's own code, unpacked into this launch's own folder."""
    if Reference.of(family) is None:
        return None
    if work.code is None:
        raise InputError(f"{family} is own code, and none was sent with the experiment")
    archive = work.store.fetch(work.code) / ARCHIVE
    code = open_code(archive, work.scratch / "code")
    if code.digest != work.code.rsplit("/", 1)[-1]:
        raise DigestMismatch(f"{archive} is not the code that was sent: its BLAKE3 differs")
    return code


def _evaluate(work: Work) -> TrialResult:
    from modelyard.trial.evaluation import Place, evaluate

    snapshot = _snapshot(work)
    work.reporter.phase("evaluating", False)
    return evaluate(
        snapshot=snapshot,
        experiment=work.experiment,
        place=Place(
            store=work.store,
            folder=work.folder,
            scratch=work.scratch,
            should_stop=work.reporter.should_stop,
        ),
        model=_input(work, "model"),
        champion=work.spec.inputs.get("champion"),
    )


def _snapshot(work: Work) -> Snapshot:
    uri = _input(work, "snapshot")
    try:
        return open_snapshot(work.store.fetch(uri))
    except FileNotFoundError as error:
        raise InputError(f"{error}: the prepare stage has to write it first") from error


def _input(work: Work, role: str) -> str:
    try:
        return work.spec.inputs[role]
    except KeyError:
        given = ", ".join(sorted(work.spec.inputs)) or "none"
        raise InputError(
            f"a launch of the stage {work.spec.stage} needs the input {role!r}; given: {given}"
        ) from None
