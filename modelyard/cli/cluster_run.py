"""``modelyard run --on cluster``: hands an experiment to the cluster's server and watches."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from modelyard.cli.check import CheckedExperiment, load_checked
from modelyard.cli.choose import Chosen, choose_run
from modelyard.cli.cluster import cluster
from modelyard.cli.display import Display, display_for
from modelyard.cli.follow import Followed, suffix_of
from modelyard.cli.lineage import lineage
from modelyard.cli.summary import run_view
from modelyard.cli.terminal import console, print_json, print_line
from modelyard.cli.wanted import Wanted
from modelyard.cli.weights import with_uploaded_weights
from modelyard.client import Client
from modelyard.code.sending import send
from modelyard.errors import InputError, ServerUnreachable
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import UPLOADED, is_mounted, is_path
from modelyard.settings import Settings


class CannotBegin(ServerUnreachable):
    """The cluster can't be reached, and nothing was begun there.

    Args:
        error: why.
        fallback: what the experiment file says to do then.
    """

    def __init__(self, error: ServerUnreachable, fallback: str | None) -> None:
        self.fallback = fallback
        super().__init__(str(error))


def run_on_cluster(wanted: Wanted, settings: Settings) -> int:
    """Run an experiment on the cluster.

    Returns:
        The exit code of what the run came to; 0 when Ctrl-C left it to itself.

    Raises:
        InputError: file, cluster or key can't be used, or the sweep to go on with is another.
        CannotBegin: the cluster can't be reached.
        ServerUnreachable: it was reached, and then was away for too long.
    """
    # Every mistake, of the file and against its data, is found before anything is sent.
    checked = load_checked(wanted.file, wanted.sets, on_cluster=True)
    out = console(json_output=wanted.json_output)
    with ExitStack() as stack:
        try:
            client = stack.enter_context(cluster(settings))
        except ServerUnreachable as error:
            raise CannotBegin(error, checked.experiment.fallback) from error
        display = display_for(out, checked.experiment.objective[0].metric)
        stack.callback(display.close)
        chosen, experiment = _begin(client, checked, wanted, display)
        if chosen.finished:
            display.close()
            return _nothing_to_do(client, chosen, wanted)
        display.say(f"sweep {chosen.view.id} of {experiment.name} on {client.address}")
        followed = Followed(
            client=client,
            experiment=experiment,
            out=out,
            display=display,
            suffix=suffix_of(settings, "cluster"),
            json_output=wanted.json_output,
            line_to_go_on=wanted.line_to_go_on,
        )
        return followed.to_the_end(chosen.view)


def _begin(
    client: Client, checked: CheckedExperiment, wanted: Wanted, display: Display
) -> tuple[Chosen, Experiment]:
    """Send what the cluster hasn't got, and have the run begun, or found."""
    experiment = with_uploaded_source(client, checked.experiment, display)
    experiment = with_uploaded_weights(client, experiment, display)
    tags, code = lineage(wanted.file), None
    if checked.code is not None:
        display.say(f"sending {len(checked.code.files)} files of code unless they are there")
        sent = send(checked.code, client.upload)
        tags, code = {**tags, **sent.tags}, sent.digest
    chosen = choose_run(
        client,
        experiment,
        tags=tags,
        code=code,
        own_space=checked.own_space,
        go_on=wanted.go_on,
    )
    return chosen, experiment


def with_uploaded_source(client: Client, experiment: Experiment, display: Display) -> Experiment:
    """The experiment with its data in the server's store, where it is a file of this machine.

    The data is named by its digest: what is there already isn't sent again.
    """
    source = experiment.data.source
    if not is_path(source) or is_mounted(source, experiment.resources.volumes):
        return experiment
    path = Path(source)
    if path.is_dir():
        raise InputError(
            f"data.source: {source} is a folder, and folders aren't uploaded; put it on a volume "
            "that the cluster mounts (resources.volumes) and give its path there"
        )
    display.say(f"sending {path.name} ({path.stat().st_size:,} bytes) unless it is there")
    digest = client.upload(path, path.name)
    data = experiment.data.model_copy(update={"source": f"{UPLOADED}{digest}/{path.name}"})
    return experiment.model_copy(update={"data": data})


def _nothing_to_do(client: Client, chosen: Chosen, wanted: Wanted) -> int:
    view, out = chosen.view, console(json_output=wanted.json_output)
    print_line(
        f"sweep {view.id} of {view.name} is {view.state} already; there is nothing to go on "
        "with. Without --continue a new one is started.",
        out,
    )
    if wanted.json_output:
        print_json(run_view(client, view))
    return 0
