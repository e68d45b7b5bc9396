"""``modelyard check``: every mistake of a file at once, or what a run of it would be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.cli.catalogue import Look, look
from modelyard.cli.describe import (
    describe_card,
    describe_code,
    describe_fits,
    describe_gates,
    describe_parameter,
    describe_target,
)
from modelyard.cli.own_code import look_at_code
from modelyard.cli.sources import goes_to_cluster, is_elsewhere
from modelyard.cli.views import CheckView
from modelyard.cli.weights import look_at_weights
from modelyard.code.folder import Folder
from modelyard.data.card import DataCard
from modelyard.errors import ExperimentError, Mistake
from modelyard.experiment.batch import batch_note
from modelyard.experiment.catalogue import Catalogue
from modelyard.experiment.check import check
from modelyard.experiment.load import load
from modelyard.experiment.model import Experiment
from modelyard.experiment.places import absolute
from modelyard.experiment.rules.search import drawn_at_random
from modelyard.experiment.search import Parameter
from modelyard.experiment.sources import with_absolute_sources
from modelyard.experiment.space import effective_space, grid_cells
from modelyard.experiment.unread import unread_note
from modelyard.experiment.void import void_note
from modelyard.models.spaces import reason
from modelyard.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_SPACE = "the family's own, fitted to the data once the prepare stage has looked at it"


@dataclass(frozen=True, kw_only=True)
class CheckedExperiment:
    """An experiment that can be run.

    Args:
        file: absolute path of its file.
        experiment: ``data.source`` is absolute, ``search.space`` is what will be searched; None
            where the server fills it in.
        card: its data; None where only the prepare stage can look at it.
        catalogue: what it was checked against; ``chosen`` is its family.
        trials: that will reach an end.
        notes: sentences that the user should see.
        code: what travels of the user's own code; None where the experiment names none.
        own_space: the file itself says what is searched.
    """

    file: Path
    experiment: Experiment
    card: DataCard | None
    catalogue: Catalogue
    trials: int
    notes: tuple[str, ...]
    code: Folder | None = None
    own_space: bool = False

    @property
    def family(self) -> str:
        """The family that will be trained; ``auto`` where only the data can tell."""
        return self.catalogue.chosen or self.experiment.model.family

    @property
    def space(self) -> Mapping[str, Parameter]:
        """What will be searched."""
        return self.experiment.search.space or {}

    @property
    def why(self) -> str:
        """Why this family, and what of its search follows the data."""
        said = self.catalogue.why or f"{self.family}, as the file says"
        return said + ("" if self.card is None else reason(self.family, self.card, self.space))

    def view(self) -> CheckView:
        """For ``--json``."""
        return CheckView(
            file=str(self.file),
            experiment=self.experiment.to_document(),
            data={} if self.card is None else self.card.model_dump(mode="json"),
            family=self.family,
            why=self.why,
            trials=self.trials,
            notes=self.notes,
            code=None if self.code is None else self.code.digest,
        )


def load_checked(
    file: Path, sets: Sequence[str] = (), *, on_cluster: bool = False
) -> CheckedExperiment:
    """Reads a file, looks at its data, and refuses it with every mistake there is.

    Data that isn't on this machine is looked at by the prepare stage.

    Args:
        file: the experiment file.
        sets: ``KEY=VALUE`` each, as ``--set`` gives them.
        on_cluster: it is to run there.

    Raises:
        InputError: no such file, or too large.
        ExperimentError: every mistake in it.
    """
    loaded = load(file, sets, Settings().experiment_limit_bytes)
    experiment, base = loaded.shaped.experiment, Path(os.path.abspath(file)).parent
    if experiment is None:
        raise ExperimentError(loaded.source.name, loaded.mistakes)
    judged = {mistake.path for mistake in loaded.mistakes}
    unusable = loaded.shaped.is_unsound("data.source") or "data.source" in judged
    elsewhere = is_elsewhere(experiment, on_cluster=on_cluster)
    no_code = [Path(os.path.abspath(file)), Path(absolute(experiment.data.source, base))]
    own = look_at_code(experiment, base, loaded.source.values, no_code)
    raw = loaded.source.values
    seen = look(experiment, base, at_data=not (unusable or elsewhere), own=own.family, raw=raw)
    weights = look_at_weights(experiment, base, raw, on_cluster=on_cluster)
    found = _judged(experiment, seen, raw)
    told = judged | {mistake.path for mistake in found}
    of_data = [mistake for mistake in seen.mistakes if mistake.path not in told]
    mistakes = loaded.with_mistakes([*found, *own.mistakes, *weights.mistakes, *of_data])
    if mistakes or (seen.card is None and not elsewhere):
        raise ExperimentError(loaded.source.name, mistakes)
    checked = _checked(file, experiment, seen.card, seen.catalogue, on_cluster=on_cluster)
    notes = checked.notes if weights.note is None else (*checked.notes, weights.note)
    return replace(checked, code=own.folder, notes=notes)


def _judged(experiment: Experiment, seen: Look, raw: Mapping[str, Any]) -> list[Mistake]:
    """What the rules say, but for keys of which a plugin's own mistake is told."""
    plugins = {mistake.path for mistake in seen.of_plugins}
    found = [m for m in check(experiment, seen.catalogue, raw) if m.path not in plugins]
    return [*found, *seen.of_plugins]


def _checked(
    file: Path,
    experiment: Experiment,
    card: DataCard | None,
    catalogue: Catalogue,
    *,
    on_cluster: bool,
) -> CheckedExperiment:
    space = effective_space(experiment, catalogue.family)
    # Where the data isn't known yet a default space isn't either: the server fills it in.
    known = card is not None or experiment.search.space is not None
    search = experiment.search.model_copy(update={"space": space if known else None})
    path = Path(os.path.abspath(file))
    whole = with_absolute_sources(experiment.model_copy(update={"search": search}), path.parent)
    trials, notes = _trials(whole)
    random = drawn_at_random(search.sampler.name, space)
    if random:
        notes += (f"{search.sampler.name} draws {', '.join(random)} at random.",)
    if family := catalogue.family:
        batch = batch_note(experiment, family, space, card.rows) if card else None
        notes += tuple(filter(None, (unread_note(experiment, family, space), batch)))
    if not on_cluster and (void := void_note(experiment)):
        notes += (void,)
    return CheckedExperiment(
        file=path,
        experiment=whole,
        card=card,
        catalogue=catalogue,
        trials=trials,
        notes=notes,
        own_space=experiment.search.space is not None,
    )


def _trials(experiment: Experiment) -> tuple[int, tuple[str, ...]]:
    """Trials that will reach an end, and why they are fewer than asked for, as far as can be told
    before the space is known."""
    asked, search = experiment.budget.trials, experiment.search
    sampler, space = search.sampler, search.space
    if sampler.name != "grid" or space is None:
        return asked, ()
    steps = sampler.options.get("steps")
    cells = grid_cells(space, steps if isinstance(steps, int) else None)
    if cells >= asked:
        return asked, ()
    return cells, (f"The grid has {cells} cells, so {cells} trials are run instead of {asked}.",)


def check_command(
    file: Path, sets: Sequence[str], json_output: bool, on: str | None = None
) -> None:
    """Prints what a run would be.

    Args:
        on: ``local`` or ``cluster``; None for where a run would go by itself.

    Raises:
        InputError: no such file, or too large.
        ExperimentError: every mistake in it.
    """
    settings = Settings()
    checked = load_checked(file, sets, on_cluster=goes_to_cluster(settings, on))
    if json_output:
        print(checked.view().model_dump_json(indent=2))
        return
    from modelyard.cli.terminal import console

    show(checked, console())


def show(checked: CheckedExperiment, console: Console) -> None:
    """The summary for people: data, family and why, space, number of trials."""
    from rich.markup import escape
    from rich.table import Table

    from modelyard.cli.terminal import print_drawn

    experiment, card = checked.experiment, checked.card
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "data": f"{experiment.data.source}: "
        + ("the prepare stage looks at it" if card is None else describe_card(card)),
        "target": experiment.data.target or "·" if card is None else describe_target(card),
        "family": _family_and_why(checked),
        **({} if checked.code is None else {"code": describe_code(checked.code)}),
        "objective": ", ".join(f"{o.goal} {o.metric}" for o in experiment.objective),
        "search": f"{checked.trials} trials{describe_fits(experiment)}, "
        f"sampler {experiment.search.sampler.name}, pruner {experiment.search.pruner.name}",
        "space": "\n".join(f"{name}: {describe_parameter(p)}" for name, p in checked.space.items())
        or (DEFAULT_SPACE if experiment.search.space is None else "nothing is searched"),
        "gates": "\n".join(describe_gates(experiment)) or "none",
        "deploy": "registered only" if experiment.deploy is None else experiment.deploy.target,
    }
    for name, text in rows.items():
        table.add_row(name, escape(text))
    console.print(f"[bold green]✓[/] {escape(str(checked.file))} can be run", highlight=False)
    print_drawn(table, console)
    for note in (*(() if card is None else card.notes), *checked.notes):
        console.print(f"[yellow]·[/] {escape(note)}", highlight=False)


def _family_and_why(checked: CheckedExperiment) -> str:
    if checked.catalogue.chosen is None:
        return f"{checked.family}: chosen by the prepare stage"
    return checked.why
