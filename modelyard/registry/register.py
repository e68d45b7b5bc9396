"""A model becomes a version: what it takes, where it comes from, and whether it is to serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.api import GateView, VersionView
from modelyard.contract import TrialResult
from modelyard.data.card import DataCard
from modelyard.data.snapshot import open_snapshot
from modelyard.errors import ModelyardError
from modelyard.journal.rows import SweepRow, TrialRow
from modelyard.models.packed import describe
from modelyard.registry import packing, signature, versions
from modelyard.registry.aliases import Comparison, Decision, Verdict, decide
from modelyard.registry.pinning import FAMILY
from modelyard.registry.runs import open_sweep_run
from modelyard.registry.tracking import SWEEP, TRIAL, Tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to be registered.

    Args:
        sweep: its sweep; experiment, name, tags and the id of the parent run are read.
        winner: the trial it was made from; None where there was no sweep of trials.
        model: local folder of the packed model.
        snapshot: local folder of the data snapshot; example rows come from its test split.
        card: the snapshot's card.
        data_digest: the snapshot's digest.
        evaluation: accepted result of the stage evaluate: its metrics, and ``gates`` and
            ``champion`` of its outcome.
        champion: the URI that evaluate was given as ``inputs.champion``; None without one.
    """

    sweep: SweepRow
    winner: TrialRow | None
    model: Path
    snapshot: Path
    card: DataCard
    data_digest: str
    evaluation: TrialResult
    champion: str | None = None

    @property
    def alias(self) -> str:
        """Alias of the version that serves."""
        return str(self.sweep.experiment["register"]["alias"])

    @property
    def gates(self) -> tuple[GateView, ...]:
        """Every gate's verdict."""
        return tuple(GateView(**gate) for gate in self.evaluation.outcome.get("gates", ()))


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The version, and what became of it."""

    version: VersionView
    decision: Decision


def register(tracking: Tracking, candidate: Candidate) -> Registered:
    """Log the model, make its version, decide who serves and move the aliases.

    Idempotent by sweep: the version is found by its tag, its decision is kept on it, and once
    the aliases were moved they are never moved again for this sweep. Blocks for about a second.

    Raises:
        ModelyardError: the objective's metric was not evaluated.
    """
    with tracking.alone():
        version = _version(tracking, candidate)
        if "modelyard.settled" not in version.tags:
            decision = _decision(tracking, candidate, version)
            _carry_out(tracking, candidate, version, decision)
        return _outcome(tracking, candidate, int(version.version))


def compare(candidate: Candidate, champion: int | None, champion_uri: str | None) -> Comparison:
    """The objective's metric of both models on the same test rows.

    The champion counts as measured only if it is the one that evaluate was given: it may have
    changed since. With several objectives the first one is compared.

    Args:
        candidate: with the values of both.
        champion: version that serves now.
        champion_uri: where its packed model lies.
    """
    objective = candidate.sweep.experiment["objective"][0]
    metric = objective["metric"]
    metrics = candidate.evaluation.metrics
    if metric not in metrics:
        known = ", ".join(sorted(metrics)) or "none"
        raise ModelyardError(f"{metric} was not evaluated on the test split; known are: {known}")
    measured = candidate.evaluation.outcome.get("champion") or {}
    same = champion is not None and champion_uri == candidate.champion
    return Comparison(
        metric=metric,
        goal=objective["goal"],
        candidate=metrics[metric],
        champion=measured.get("metrics", {}).get(metric) if same else None,
        champion_version=champion,
        problem=_problem(candidate, same=same),
    )


def _problem(candidate: Candidate, *, same: bool) -> str:
    """Why the champion has no value on these rows."""
    if same:
        return str(candidate.evaluation.outcome.get("champion_error") or "")
    return "it became champion while this model was evaluated"


def lineage(candidate: Candidate, *, run: str, champion: int | None) -> dict[str, str]:
    """Tags that say where a version comes from."""
    sweep, winner = candidate.sweep, candidate.winner
    tags = {
        SWEEP: sweep.id,
        "modelyard.run": run,
        "modelyard.data_digest": candidate.data_digest,
        "modelyard.experiment_digest": sweep.document,
        "modelyard.seed": str(sweep.experiment["seed"]),
        "modelyard.project": sweep.project,
        **{f"modelyard.{key}": value for key, value in sweep.tags.items()},
    }
    if winner is not None:
        tags[TRIAL] = str(winner.number)
        tags["modelyard.parameters"] = json.dumps(winner.parameters)
    if winner is not None and winner.run is not None:
        tags["modelyard.trial_run"] = winner.run
    if champion is not None:
        tags["modelyard.parent_version"] = str(champion)
    return tags


def _version(tracking: Tracking, candidate: Candidate) -> ModelVersion:
    """The version of this sweep, found by its tag or made."""
    name = candidate.sweep.name
    known = versions.model_versions(tracking, name)
    for version in known:
        if version.tags.get(SWEEP) == candidate.sweep.id:
            return version
    run = open_sweep_run(tracking, candidate.sweep)
    source, files = packing.log_model(
        tracking,
        model=candidate.model,
        card=candidate.card,
        rows=open_snapshot(candidate.snapshot).rows("test"),
        run=run,
        sweep=candidate.sweep.id,
    )
    champion = versions.aliases(tracking, name).get(candidate.alias)
    tags = {
        **lineage(candidate, run=run, champion=champion),
        **_contents(candidate, files, known[0] if known else None),
    }
    _ensure_model(tracking, name)
    return tracking.client.create_model_version(name, source, run_id=run, tags=tags)


def _contents(
    candidate: Candidate, files: Mapping[str, str], newest: ModelVersion | None
) -> dict[str, str]:
    """Tags that say what a version is: files, metrics, gates and its own version."""
    own = signature.fingerprint(candidate.card)
    before: dict[str, Any] = {} if newest is None else newest.tags
    return {
        FAMILY: describe(candidate.model).family,
        "modelyard.files": json.dumps(files),
        "modelyard.digest": packing.digest(files),
        "modelyard.metrics": json.dumps(candidate.evaluation.metrics),
        "modelyard.gates": json.dumps([gate.model_dump(mode="json") for gate in candidate.gates]),
        "modelyard.signature": own,
        "modelyard.version": signature.next_semantic(
            before.get("modelyard.version"), same_signature=before.get("modelyard.signature") == own
        ),
    }


def _ensure_model(tracking: Tracking, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _decision(tracking: Tracking, candidate: Candidate, version: ModelVersion) -> Decision:
    """Decide, or take what a register that was cut short had decided."""
    name, alias = candidate.sweep.name, candidate.alias
    if "modelyard.verdict" in version.tags:
        return _recorded(version.tags)
    comparison = compare(
        candidate,
        versions.aliases(tracking, name).get(alias),
        versions.champion_model(tracking, name, alias),
    )
    margin = candidate.sweep.experiment["register"]["margin"]
    decision = decide(comparison, margin=margin, gates=candidate.gates)
    tags = {"modelyard.verdict": str(decision.verdict), "modelyard.reason": decision.sentence}
    if decision.gap is not None:
        tags["modelyard.gap"] = repr(decision.gap)
    if comparison.champion_version is not None:
        tags["modelyard.compared_with"] = str(comparison.champion_version)
    # The verdict is written last: where it stands, all of the decision does.
    for key, value in sorted(tags.items(), key=lambda tag: tag[0] == "modelyard.verdict"):
        tracking.client.set_model_version_tag(name, version.version, key, value)
    return decision


def _recorded(tags: Mapping[str, str]) -> Decision:
    gap = tags.get("modelyard.gap")
    return Decision(
        verdict=Verdict(tags["modelyard.verdict"]),
        gap=None if gap is None else float(gap),
        sentence=tags["modelyard.reason"],
    )


def _carry_out(
    tracking: Tracking, candidate: Candidate, version: ModelVersion, decision: Decision
) -> None:
    """Move the aliases; each step may be repeated."""
    name, number, client = candidate.sweep.name, str(version.version), tracking.client
    if decision.verdict is Verdict.CHAMPION:
        versions.make_champion(tracking, name, candidate.alias, int(number))
    else:
        client.set_registered_model_alias(name, decision.verdict, number)
    client.set_model_version_tag(name, number, "modelyard.settled", "true")


def _outcome(tracking: Tracking, candidate: Candidate, number: int) -> Registered:
    found = versions.versions(tracking, candidate.sweep.name)
    version = next(v for v in found if v.version == number)
    return Registered(version=version, decision=_recorded(version.tags))
