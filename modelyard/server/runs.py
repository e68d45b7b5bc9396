"""Sweeps as they are asked for: checked, given an id, and written down."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from modelyard.api import SweepRequest
from modelyard.contract import Document
from modelyard.errors import ExperimentError, Mistake
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.load import experiment_from
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import is_mounted, is_path
from modelyard.experiment.space import SEARCHABLE, written
from modelyard.experiment.weights import is_version
from modelyard.journal.rows import SweepRow
from modelyard.models.family import Family
from modelyard.server.own_code import sent_code
from modelyard.server.weights import pinned_weights
from modelyard.sweep.plugged import plugged

if TYPE_CHECKING:
    from modelyard.server.core import Core


def make_sweep(core: Core, request: SweepRequest) -> SweepRow:
    """A new sweep, or the one of the request's flow run.

    Raises:
        ExperimentError: the experiment has mistakes.
    """
    if (known := _led_already(core, request.flow_run)) is not None:
        return known
    experiment = experiment_from(request.experiment)
    if core.settings.executor == "kubernetes":
        _require_reachable(experiment)
    store = core.settings.store_base
    code = sent_code(experiment, request.code, store=core.store, base=store)
    check_experiment(experiment, None if code is None else code.family)
    weights = pinned_weights(experiment, core.library, core.store)
    document = Document(
        experiment=experiment.to_document(),
        store=store,
        code=None if code is None else code.uri,
        weights=weights,
        written=_written(experiment),
    )
    tags = dict(request.tags)
    if weights is not None:
        tags |= {"weights": weights.version, "weights_digest": weights.digest}
    whole = request.model_copy(update={"experiment": document.experiment, "tags": tags})
    return core.journal.create_sweep(new_id(), whole, document)


def _written(experiment: Experiment) -> tuple[str, ...] | None:
    """Keys that the default space is to leave alone, where it waits for a look at the data."""
    if experiment.search.space is not None:
        return None
    return tuple(sorted(written(experiment.train).intersection(SEARCHABLE))) or None


def _led_already(core: Core, flow_run: str | None) -> SweepRow | None:
    """The sweep of a flow run that was started again: made once, whatever its version is now."""
    if flow_run is None:
        return None
    return core.journal.sweep_of_flow_run(flow_run)


def check_experiment(experiment: Experiment, own: Family | None = None) -> None:
    """All that can be told without a look at the data, which the prepare stage takes.

    Args:
        experiment: validated.
        own: the family that the user's own code is, where the experiment names such.

    Raises:
        ExperimentError: every mistake that was found.
    """
    family = experiment.model.family
    known = plugged(experiment)
    families = known.families if own is None else {**known.families, own.name: own}
    catalogue = Catalogue(
        families=families,
        metrics=known.metrics,
        chosen=family if family in families else None,
        plugins=known.names,
    )
    told = {mistake.path for mistake in known.mistakes}
    found = [mistake for mistake in check(experiment, catalogue) if mistake.path not in told]
    if mistakes := (*known.mistakes, *found):
        raise ExperimentError("experiment", mistakes)


def _require_reachable(experiment: Experiment) -> None:
    """A file's path means nothing to pods, unless they mount the volume that it is on."""
    from modelyard.k8s.settings import KubernetesSettings  # where there is a cluster alone

    volumes = (*experiment.resources.volumes, *KubernetesSettings().volumes)
    named = {"data.source": experiment.data.source}
    weights = experiment.model.weights
    if weights is not None and not is_version(weights.source):
        named["model.weights.source"] = weights.source
    far = "give s3://bucket/key or sklearn:<name>, "
    for path, source in named.items():
        if is_path(source) and not is_mounted(source, volumes):
            message = (
                f"{source!r} is a path that no pod of the cluster has; upload the file with "
                f"`modelyard run FILE --on cluster`, {far if path == 'data.source' else ''}or "
                "mount its volume by resources.volumes"
            )
            mistake = Mistake(path=path, message=message, value=source)
            raise ExperimentError("experiment", (mistake,))


def new_id() -> str:
    """A random sweep id: eight letters and digits."""
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(8))
