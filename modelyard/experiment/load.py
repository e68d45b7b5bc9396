"""Reads an experiment file: from bytes to an ``Experiment``, or every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import ExperimentError, Mistake
from modelyard.experiment.model import Experiment
from modelyard.experiment.overrides import override
from modelyard.experiment.shape import Shaped, shape
from modelyard.experiment.source import LIMIT_BYTES, Source, read_source
from modelyard.experiment.support import unsupported


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A file that could be read, and what can be told of it without its data.

    Args:
        source: what the file says, overrides applied.
        shaped: the experiment, or the sound part of it.
        mistakes: of reading, shape and support, each with its line.
    """

    source: Source
    shaped: Shaped
    mistakes: tuple[Mistake, ...]

    def with_mistakes(self, more: Sequence[Mistake]) -> tuple[Mistake, ...]:
        """All mistakes in the file's order, without those that only follow from unsound keys."""
        fresh = [m for m in more if not self.shaped.is_unsound(m.path)]
        every = {(m.path, m.message): m for m in self.mistakes}
        for mistake in fresh:
            every.setdefault((mistake.path, mistake.message), self.source.located(mistake))
        return tuple(sorted(every.values(), key=lambda m: m.line or 0))


def load(path: Path, overrides: Sequence[str] = (), limit_bytes: int = LIMIT_BYTES) -> Loaded:
    """Reads a file as far as it can be read.

    Args:
        path: the experiment file.
        overrides: ``KEY=VALUE`` each, as ``--set`` gives them.
        limit_bytes: a larger file is refused unread.

    Raises:
        InputError: no such file, or too large.
        ExperimentError: nothing in it can be judged, as it isn't YAML or isn't a mapping.
    """
    source = override(read_source(path, limit_bytes), overrides)
    shaped = shape(source.values)
    found = [*source.mistakes, *shaped.mistakes]
    if shaped.experiment is not None:
        found += [
            m
            for m in unsupported(shaped.experiment, source.values)
            if not shaped.is_unsound(m.path)
        ]
    return Loaded(source=source, shaped=shaped, mistakes=tuple(_located(source, found)))


def experiment_from(values: Mapping[str, Any], name: str = "experiment") -> Experiment:
    """The experiment of plain values, as a request or a flow's parameters carry it.

    Raises:
        ExperimentError: every mistake in them.
    """
    shaped = shape(values)
    mistakes = list(shaped.mistakes)
    if shaped.experiment is not None:
        mistakes += unsupported(shaped.experiment, values)
    if mistakes or shaped.experiment is None:
        raise ExperimentError(name, tuple(mistakes))
    return shaped.experiment


def _located(source: Source, mistakes: Sequence[Mistake]) -> list[Mistake]:
    located = [m if m.line is not None else source.located(m) for m in mistakes]
    return sorted(located, key=lambda m: m.line or 0)
