"""What a trial costs on a cluster beside a bare Job, and beside a flow of Prefect's worker.

It takes the installation that the kubeconfig leads to, as a user's ``run --on cluster`` does. The
three take turns; each runs one program of about a second in one pod on images that the node has.
Seconds are taken from clocks of cluster and this machine: they have to agree.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from pathlib import Path

import optuna
from pydantic import SecretStr

from bench.cluster_peers import bare_job, prefect_flow
from bench.cluster_view import ClusterView, Measured
from bench.table import Row
from modelyard.api import StageState, SweepRequest
from modelyard.client import REMOTE_PATIENCE_SECONDS, Client
from modelyard.code.gathering import gather
from modelyard.code.sending import send
from modelyard.errors import ModelyardError
from modelyard.experiment.load import experiment_from
from modelyard.journal.journal import Journal
from modelyard.k8s.forward import forward
from modelyard.k8s.settings import KubernetesSettings
from modelyard.settings import Settings

TURNS = 9
GOAL = 1.2
MODEL = Path(__file__).parent / "cluster_model" / "net.py"
EXPERIMENT = {
    "name": "bench-cluster",
    "data": {"source": "sklearn:iris"},
    "model": f"{MODEL.name}:Net",
    "search": {
        "sampler": "random",
        "pruner": "none",
        "space": {"learning_rate": {"float": [0.001, 0.01]}},
    },
    "budget": {"trials": 1, "parallel": 1},
    "train": {"epochs": 1},
    "resources": {"gpus": 0, "cpus": 0.1, "memory": "1Gi"},
    "deploy": None,
}


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The servers of an installation, and the images that it runs.

    Args:
        journal: of our server.
        database: URL of journal and study.
        prefect: base URL.
        key: opens both servers.
    """

    client: Client
    journal: Journal
    database: str = field(repr=False)
    prefect: str
    key: str = field(repr=False)
    trial_image: str
    flow_image: str


def missing() -> str:
    """What a measurement on a cluster wants and doesn't find; empty when it can be made."""
    wanted = ("KUBECONFIG", "MODELYARD_TEST_IMAGE_TRIAL", "MODELYARD_TEST_IMAGE_FLOW")
    if unset := [name for name in wanted if not os.environ.get(name)]:
        return f"{', '.join(unset)} not set"
    namespace = KubernetesSettings().namespace
    try:
        with forward(namespace, "modelyard", 4300):
            return ""
    except ModelyardError as error:
        return f"no installation in namespace {namespace} ({error}); docs/cluster.md makes one"


@contextmanager
def installation(view: ClusterView) -> Iterator[Installation]:
    """The one in the view's namespace, reached through the kubeconfig."""
    with ExitStack() as ways:
        server, prefect, postgres = (
            ways.enter_context(forward(view.namespace, name, port))
            for name, port in (("modelyard", 4300), ("prefect", 4200), ("postgres", 5432))
        )
        key = view.secret("modelyard-api-key", "api-key")
        password = view.secret("modelyard-postgres", "password")
        database = f"postgresql+psycopg2://modelyard:{password}@{postgres}/modelyard"
        client = Client(
            f"http://{server}",
            patience_seconds=REMOTE_PATIENCE_SECONDS,
            api_key=SecretStr(key),
            remote=True,
        )
        journal = Journal.open(database, lease_seconds=10)
        ways.callback(journal.close)
        yield Installation(
            client=ways.enter_context(client),
            journal=journal,
            database=database,
            prefect=f"http://{prefect}",
            key=key,
            trial_image=os.environ["MODELYARD_TEST_IMAGE_TRIAL"],
            flow_image=os.environ["MODELYARD_TEST_IMAGE_FLOW"],
        )


def trial(found: Installation, view: ClusterView, code: str) -> tuple[float, float]:
    """A sweep of one trial; a turn, see ``Measured``."""
    document = experiment_from(EXPERIMENT).to_document()
    sweep = found.client.create_sweep(SweepRequest(experiment=document, code=code)).id
    for stage in ("prepare", "sweep"):
        found.client.run_stage(sweep, stage)
        ended = found.client.wait_stage(sweep, stage)
        if ended.state is not StageState.COMPLETE:
            raise RuntimeError(f"stage {stage} of {sweep} failed: {ended.failure}")
    (launch,) = (row for row in found.journal.launches(sweep) if row.key.task.isdigit())
    seen = view.over(str(launch.key))
    (told,) = optuna.load_study(study_name=sweep, storage=found.database).trials
    assert told.datetime_complete is not None
    told_at = told.datetime_complete.replace(tzinfo=UTC).timestamp()  # the server pod's own zone
    found.client.cancel(sweep, "measured")
    return seen.running_at - launch.created_at, told_at - seen.ended_at


def measure(turns: int = TURNS) -> dict[str, list[tuple[float, float]]]:
    """Turns of each by its name, taken one after the other, after one of each to warm up."""
    with ClusterView(KubernetesSettings()) as view, installation(view) as found:
        code = send(gather(MODEL, Settings(), no_code=(), image=None), found.client.upload).digest
        with prefect_flow(view, found.flow_image, found.prefect, found.key) as flow:
            each: dict[str, Measured] = {
                "ours": partial(trial, found, view, code),
                "bare": partial(bare_job, view, found.trial_image),
                "flow": flow,
            }
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in each}
            for number in range(turns + 1):
                print(f"turn {number} of {turns}", file=sys.stderr, flush=True)
                for name, turn in each.items():
                    figures = turn()
                    if number:
                        taken[name].append(figures)
    return taken


def rows() -> list[Row]:
    """The figures of this module; none where there is no cluster to measure."""
    if lack := missing():
        print(f"no figures of a cluster: {lack}", file=sys.stderr)
        return []
    taken = measure()
    note = f"one pod at a time, image on the node, median and range of {TURNS} turns; %s"
    parts = (
        (
            "a trial on the cluster, from Launch to Running",
            "from the journal's launch, the Job's creation, the flow run's, until one watch sees "
            "the container run",
        ),
        (
            "… from its program's end to Tell",
            "until the study has its result, a bare watch of the pod its end, the flow run its "
            "state; negative: before",
        ),
    )
    return [
        _row(what, note % how, {name: [one[part] for one in taken[name]] for name in taken})
        for part, (what, how) in enumerate(parts)
    ]


def _row(what: str, note: str, seconds: dict[str, list[float]]) -> Row:
    ours, bare = statistics.median(seconds["ours"]), statistics.median(seconds["bare"])
    return Row(
        what=what,
        ours=f"{ours / bare:.2f} × ({_spread(seconds['ours'])})",
        goal=f"at most {GOAL} × the bare Job",
        met=ours <= GOAL * bare,
        peers=(
            ("bare Job", f"1 ({_spread(seconds['bare'])})"),
            ("Prefect's worker", f"{_spread(seconds['flow'])}"),
        ),
        note=note,
    )


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f}"
