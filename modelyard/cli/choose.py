"""Which sweep a run works on: a new one, or the one that ``--continue`` means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.api import ENDED, Owner, RunRequest, SweepRequest, SweepState, SweepView
from modelyard.client import Client
from modelyard.contract import Document
from modelyard.errors import InputError, ServerRefused
from modelyard.experiment.model import Experiment
from modelyard.experiment.space import SEARCHABLE, as_written, written

NOT_FOUND = 404
FINISHED = ENDED - {SweepState.FAILED}
"""What ``--continue`` leaves alone: complete, refused by a gate, cancelled."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The sweep to work on.

    Args:
        view: as it is now.
        finished: there is nothing left to do.
        earlier_flow_run: of the run that was interrupted; it isn't used again.
    """

    view: SweepView
    finished: bool = False
    earlier_flow_run: str | None = None


def choose(
    client: Client,
    experiment: Experiment,
    *,
    owner: Owner,
    tags: Mapping[str, str],
    notes: tuple[str, ...] = (),
    code: str | None = None,
    own_space: bool = True,
    go_on: bool,
) -> Chosen:
    """Make a new sweep, or go on with the newest of the experiment's name.

    Args:
        tags: lineage of a new one.
        notes: sentences on a new one.
        code: digest of the user's own code, where the experiment names such.
        own_space: the file itself says what is searched.

    Raises:
        InputError: the sweep to go on with was started from another experiment.
        ServerRefused: it runs already.
    """
    found = newest(client, experiment.name) if go_on else None
    if found is None:
        request = SweepRequest(
            experiment=experiment.to_request(), owner=owner, tags=dict(tags), notes=notes, code=code
        )
        return Chosen(view=client.create_sweep(request))
    if found.state in FINISHED:
        return Chosen(view=found, finished=True)
    _require_same(client, found, experiment, code, own_space=own_space)
    view = client.continue_sweep(found.id, owner)
    return Chosen(view=view, earlier_flow_run=found.flow_run)


def choose_run(
    client: Client,
    experiment: Experiment,
    *,
    tags: Mapping[str, str],
    code: str | None = None,
    own_space: bool = True,
    go_on: bool,
) -> Chosen:
    """Have the cluster's server begin a run, or go on with the newest of the experiment's name.

    One that runs is the one to follow. Arguments as of ``choose``.

    Raises:
        InputError: the sweep to go on with was started from another experiment.
    """
    found = newest(client, experiment.name) if go_on else None
    if found is None:
        request = RunRequest(experiment=experiment.to_request(), tags=dict(tags), code=code)
        return Chosen(view=client.create_run(request))
    if found.state in FINISHED:
        return Chosen(view=found, finished=True)
    _require_same(client, found, experiment, code, own_space=own_space)
    return Chosen(view=client.continue_run(found.id))


def newest(client: Client, name: str) -> SweepView | None:
    """The newest sweep of a name, None where there is none."""
    try:
        return client.sweep(name)
    except ServerRefused as error:
        if error.status == NOT_FOUND:
            return None
        raise


def _require_same(
    client: Client, found: SweepView, experiment: Experiment, code: str | None, *, own_space: bool
) -> None:
    before = client.document(found.document)
    whole = experiment.to_document()
    if not own_space:  # a default one follows data and version; a sweep keeps that it began with
        whole["search"]["space"] = before.experiment["search"]["space"]
    meant = comparable(whole, before.experiment, experiment.to_request())
    changed = differences(before.experiment, meant)
    if not own_space:
        changed += newly_fixed(before, experiment)
    if (before.code or "").rpartition("/")[2] != (code or ""):
        changed.append("the own code that it names")
    if changed:
        raise InputError(
            f"sweep {found.id} was started from another experiment; to go on with it undo "
            f"these changes, or leave out --continue to start a new one: {'; '.join(changed)}"
        )


def newly_fixed(before: Document, experiment: Experiment) -> list[str]:
    """Keys of ``train`` that the file fixes at the value they had, and that the sweep searches.

    Args:
        before: of the sweep, which has a default space.
        experiment: as it was read, with the default space where that is known.
    """
    searched, space = before.experiment["search"]["space"], experiment.search.space
    fixed = {name for name in written(experiment.train) if name in SEARCHABLE}
    if searched is None:
        # An older server noted nothing: it fixed what differs from a default.
        whole = Experiment.model_validate(before.experiment)
        fixed -= written(as_written(whole, before.written).train)
    else:
        fixed &= searched.keys() - (searched if space is None else space).keys()
    return [
        f"train.{name}: not written before became {getattr(experiment.train, name)!r}"
        for name in sorted(fixed)
        if before.experiment["train"].get(name) == getattr(experiment.train, name)
    ]


def comparable(whole: Any, before: Any, written: Any) -> Any:
    """A whole document, without the keys that the earlier one lacks and nobody wrote: the server
    that filled that one in is older than they are."""
    if isinstance(whole, dict) and isinstance(before, dict):
        written = written if isinstance(written, dict) else {}
        return {
            key: comparable(value, before.get(key), written.get(key))
            for key, value in whole.items()
            if key in before or key in written
        }
    if isinstance(whole, list) and isinstance(before, list) and len(whole) == len(before):
        each = written if isinstance(written, list) else [None] * len(whole)
        return [comparable(*three) for three in zip(whole, before, each, strict=True)]
    return whole


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The keys in which two documents differ, each with its old and new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        nested = (
            differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in keys
        )
        return [line for lines in nested for line in lines]
    return [] if old == new else [f"{path}: {old!r} became {new!r}"]
