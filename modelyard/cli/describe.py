"""An experiment and its data in phrases for people."""

from __future__ import annotations

from modelyard.code.folder import Folder
from modelyard.data.card import DataCard
from modelyard.experiment.model import Experiment, Gate
from modelyard.experiment.search import Parameter


def describe_card(card: DataCard) -> str:
    """Size and kind of the data in one phrase."""
    if card.kind == "image":
        return f"{card.rows:,} images of {' × '.join(map(str, card.shape))}"
    if card.kind == "text":
        return f"{card.rows:,} texts"
    missing = sum(column.missing for column in card.columns)
    categories = sum(column.type == "category" for column in card.columns)
    return (
        f"{card.rows:,} rows, {_many(len(card.columns), 'columns')} to learn from "
        f"({_many(len(card.columns) - categories, 'numbers')}, "
        f"{_many(categories, 'categories')}), {_many(missing, 'missing cells')}"
    )


def _many(count: int, things: str) -> str:
    """A count of things, which stand in the plural."""
    one = things.replace("ies", "y").removesuffix("s")
    return f"{count:,} {one if count == 1 else things}"


def describe_code(folder: Folder) -> str:
    """What of the user's own code travels, in one phrase."""
    count = len(folder.files)
    return (
        f"{folder.path}: {count} file{'s' if count != 1 else ''}, {folder.size:,} bytes, "
        f"digest {folder.digest[:12]}"
    )


def describe_target(card: DataCard) -> str:
    """What is predicted; how the classes are balanced is among the card's notes."""
    what = f"{len(card.classes)} classes" if card.classes else "a number"
    return f"{card.target}, {what}"


def describe_fits(experiment: Experiment) -> str:
    """How many fits a trial is, where it is more than one."""
    fits = experiment.data.fits
    return f" of {fits} fits each" if fits > 1 else ""


def describe_parameter(parameter: Parameter) -> str:
    """One dimension of a space in one phrase."""
    bounds = parameter.float_ or parameter.int_
    text = (
        ", ".join(map(str, parameter.choice or ()))
        if bounds is None
        else f"{bounds[0]:g} to {bounds[1]:g}"
    )
    if parameter.log:
        text += ", log"
    if parameter.step is not None:
        text += f", step {parameter.step:g}"
    conditions = " and ".join(f"{name} is {value}" for name, value in parameter.when.items())
    return f"{text} (when {conditions})" if conditions else text


def describe_gates(experiment: Experiment) -> list[str]:
    """Each gate as one sentence part."""
    return [
        f"{_condition(gate)}{f' with {gate.confidence:.0%} confidence' if gate.confidence else ''}"
        f"{' (advisory)' if gate.advisory else ''}"
        for gate in experiment.gates
    ]


def _condition(gate: Gate) -> str:
    if gate.plugin is not None:
        options = ", ".join(f"{name} {value}" for name, value in gate.options.items())
        return f"{gate.plugin}{f' ({options})' if options else ''}"
    word, limit = ("most", gate.at_most) if gate.at_least is None else ("least", gate.at_least)
    return f"{gate.metric} at {word} {limit:g}"
