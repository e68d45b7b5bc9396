"""Fitting one configuration, whatever its family."""

from __future__ import annotations

from typing import cast

import torch

from modelyard.data.preprocess import Preprocessor
from modelyard.data.snapshot import SplitName
from modelyard.errors import InputError
from modelyard.evaluate.catalogue import metric_for
from modelyard.models.estimator import Array
from modelyard.models.families import family_named
from modelyard.models.family import Family
from modelyard.models.network import Scale, Shape, blank_module
from modelyard.models.own import read_family
from modelyard.train.classical import fit_classical
from modelyard.train.finetuning import Start
from modelyard.train.job import FitJob, FitOutcome
from modelyard.train.loading import Loader, whole
from modelyard.train.network import NetworkFit
from modelyard.train.observers.observed import (
    Fitted,
    Observers,
    count_nodes,
    observe_classical,
)
from modelyard.train.plan import NetworkPlan
from modelyard.train.plugged import plugged_hooks
from modelyard.train.recipe import Recipe, write_recipe
from modelyard.train.reporting import Reporter
from modelyard.train.tensors import find_device

__all__ = ["FitJob", "FitOutcome", "check_start", "fit"]


def fit(job: FitJob, report: Reporter) -> FitOutcome:
    """Fit one configuration on the training split and measure it on the validation split.

    Equal jobs give identical metrics on the same torch build, threads and CPU capability,
    resumed or not.

    Args:
        job: what to fit.
        report: told of phases, epochs and checkpoints; asked whether to stop.

    Raises:
        InputError: a parameter or key that doesn't fit the family or the task.
        Stopped, Diverged, CheckpointFailed, CheckpointUnusable: see ``train.errors``.
    """
    report.phase("loading", False)
    family = _family(job)
    recipe = _recipe(job, family)
    preprocessor = _preprocessor(job, family, recipe)
    fitter = _fit_network if family.network else _fit_trees
    return fitter(job, recipe, preprocessor, report)


def check_start(job: FitJob) -> None:
    """Look whether a fit can begin from the weights that the experiment names, and fit nothing.

    They fit one shape of the model alone, so no sampled value is needed to tell.

    Args:
        job: what would be fitted.

    Raises:
        InputError: they don't fit the model, the data or the family; every mismatch.
    """
    family, start = _family(job), _start(job)
    if start is None:
        return
    if not family.network:
        raise InputError(
            f"model.weights: {family.name} is no network and starts from nothing; name one under "
            "model.family"
        )
    if searched := [n for n in job.experiment.search.space or {} if n in family.parameters]:
        raise InputError(
            f"search.space: {', '.join(searched)} shape the model, and model.weights fit one shape "
            "alone"
        )
    recipe = _recipe(job, family)
    preprocessor = _preprocessor(job, family, recipe)
    shape = _shape(_loader(job, recipe, preprocessor, torch.device("cpu")))
    start.check(blank_module(job.family, recipe.parameters, shape, job.code))


def _recipe(job: FitJob, family: Family) -> Recipe:
    known = {} if job.weights is None else job.weights.parameters_for(family.name)
    return write_recipe(job.experiment, family, job.parameters, known)


def _family(job: FitJob) -> Family:
    return (
        family_named(job.family) if job.code is None else read_family(job.family, job.code.folder)
    )


def _preprocessor(job: FitJob, family: Family, recipe: Recipe) -> Preprocessor:
    card = job.snapshot.card
    if job.weights is not None and (known := job.weights.preprocessor_for(card)) is not None:
        packed = job.weights.parameters_for(family.name)
        if odd := [n for n in family.encoding if recipe.parameters[n] != packed.get(n)]:
            raise InputError(
                f"model.parameters: {', '.join(odd)} can't differ from what the weights were "
                "learnt with, as they bring their own encoding; leave it out"
            )
        return known
    limits = {name: cast(int, recipe.parameters[name]) for name in family.encoding}
    return Preprocessor.fit(job.snapshot.part("train"), card, **limits)


def _start(job: FitJob) -> Start | None:
    section = job.experiment.model.weights
    if section is None or job.weights is None:
        return None
    new_head = not job.weights.knows_classes(job.snapshot.card)
    return Start(section=section, weights=job.weights, new_head=new_head)


def _examples(job: FitJob, preprocessor: Preprocessor, split: SplitName) -> tuple[Array, Array]:
    features = whole(job.snapshot.part(split), preprocessor, torch.device("cpu"))
    return features.numpy(), job.snapshot.target(split)


def _fit_network(
    job: FitJob, recipe: Recipe, preprocessor: Preprocessor, report: Reporter
) -> FitOutcome:
    card = job.snapshot.card
    metric_for(job.experiment.objective[0].metric, card.task)
    device = find_device(recipe.train.device, job.experiment.resources.gpus)
    loader = _loader(job, recipe, preprocessor, device)
    plan = _plan(job, recipe, _shape(loader))
    data, validation = loader.load("train"), loader.load("validation")
    observers = Observers()
    hooks = (*plugged_hooks(recipe.train.hooks), *observers.hooks)
    fitting = NetworkFit(plan, data, validation, report, hooks=hooks)
    if job.resume is not None:
        fitting.resume(job.resume)
    fitting.run()
    observed = observers.result(
        Fitted(
            rows=len(data),
            inputs=loader.inputs,
            truth=validation.truth,
            output=fitting.answers(),
            classes=card.classes,
            metrics=fitting.kept_metrics,
            parameters=sum(weight.numel() for weight in fitting.module.parameters()),
            history=fitting.history,
        )
    )
    return FitOutcome(
        family=job.family,
        parameters=recipe.parameters,
        metrics=fitting.kept_metrics,
        step=fitting.kept_epoch,
        card=card,
        preprocessor=preprocessor,
        estimator=fitting.estimator(),
        observed=observed,
        code=job.code,
    )


def _loader(
    job: FitJob, recipe: Recipe, preprocessor: Preprocessor, device: torch.device
) -> Loader:
    regression = job.snapshot.card.task == "regression"
    return Loader(
        snapshot=job.snapshot,
        preprocessor=preprocessor,
        scale=Scale.of(job.snapshot.target("train")) if regression else None,
        device=device,
        train=recipe.train,
        memory_bytes=job.experiment.resources.memory_bytes,
    )


def _shape(loader: Loader) -> Shape:
    preprocessor = loader.preprocessor
    return Shape(
        inputs=loader.inputs,
        outputs=len(loader.snapshot.card.classes) or 1,
        scale=loader.scale,
        vocabulary=preprocessor.text.size if preprocessor.text else None,
        categories=preprocessor.ids,
    )


def _plan(job: FitJob, recipe: Recipe, shape: Shape) -> NetworkPlan:
    return NetworkPlan(
        family=job.family,
        parameters=recipe.parameters,
        shape=shape,
        task=job.snapshot.card.task,
        train=recipe.train,
        metric=job.experiment.objective[0].metric,
        measured=job.experiment.measured,
        epochs=job.epochs,
        seed=job.seed,
        snapshot=job.snapshot.digest,
        scratch=job.scratch,
        code=job.code,
        ranks=job.ranks,
        start=_start(job),
    )


def _fit_trees(
    job: FitJob, recipe: Recipe, preprocessor: Preprocessor, report: Reporter
) -> FitOutcome:
    card = job.snapshot.card
    if job.ranks.world > 1:
        raise InputError(
            f"{job.family} is fitted by one process; write resources.gpus: 1 and resources.nodes: 1"
        )
    train, held_out = (_examples(job, preprocessor, split) for split in ("train", "validation"))
    estimator, metrics, output = fit_classical(
        family=job.family,
        parameters=recipe.parameters,
        task=card.task,
        classes=len(card.classes),
        train=train,
        validation=held_out,
        seed=job.seed,
        threads=job.experiment.resources.threads,
        measured=job.experiment.measured,
        report=report,
    )
    observed = observe_classical(
        Fitted(
            rows=len(train[0]),
            inputs=train[0].shape[1:],
            truth=held_out[1],
            output=output,
            classes=card.classes,
            metrics=metrics,
            parameters=count_nodes(estimator.model),
        )
    )
    return FitOutcome(
        family=job.family,
        parameters=recipe.parameters,
        metrics=metrics,
        step=None,
        card=card,
        preprocessor=preprocessor,
        estimator=estimator,
        observed=observed,
    )
