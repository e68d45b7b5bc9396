"""Families that other distributions bring. Loads no torch by itself; a plugin's module may.

The entry point of ``modelyard.models`` is a ``Family`` with ``build``, a callable that takes every
parameter of the family by name, and

- of a network ``inputs`` and ``outputs``, the shape of one example and the number of classes (1
  for a regression), as an own class takes them, and with texts ``vocabulary``, the number of ids
  that an example consists of; parameters of the ``encoding`` are left out. It gives an
  ``nn.Module`` that answers logits (n, outputs), or standardised values (n, 1).
- of a classical family ``task`` and ``seed``. It gives an unfitted scikit-learn estimator:
  ``fit(X, y)`` on float32 (n, features) and class indices or values, ``predict(X)``, and of a
  classifier ``predict_proba(X)`` and ``classes_``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

from modelyard.data.card import Kind
from modelyard.experiment.space import SEARCHABLE
from modelyard.models.family import TASKS, Family
from modelyard.plugins.groups import Group
from modelyard.plugins.loading import load


def plugged_family(name: str) -> Family:
    """The family that a plugin of this name is.

    Raises:
        PluginError: none is installed, or it can't be used.
    """
    family: Family = load(Group.MODELS, name, check_family)
    if not family.network:
        return family
    return replace(family, unread=tuple(dict.fromkeys((*family.unread, "dropout"))))


def check_family(name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.models``."""
    if not isinstance(thing, Family):
        yield f"it has to be a modelyard.models.family.Family, not {_what(thing)}"
        return
    if thing.name != name:
        yield f"the family is called {thing.name!r} and its entry point {name!r}"
    for what, given, valid in (
        ("kind", thing.kinds, get_args(Kind)),
        ("task", thing.tasks, TASKS),
    ):
        if not given or set(given) - set(valid):
            yield f"each {what} has to be one of {', '.join(valid)}, not {given!r}"
    for key, parameter in thing.parameters.items():
        problem = None if parameter.required else parameter.problem(parameter.default)
        if problem:
            yield f"the default of {key}: {problem}"
    known = (*thing.parameters, *(SEARCHABLE if thing.network else ()))
    if strange := [key for key in thing.space if key not in known]:
        yield f"its space names {', '.join(strange)}, which it doesn't have"
    yield from _built(thing)


def _built(family: Family) -> Iterator[str]:
    if not callable(family.build):
        yield "build has to be what makes a model of it"
        return
    given = ("inputs", "outputs") if family.network else ("task", "seed")
    ids = ("vocabulary",) if "text" in family.kinds else ()
    own = (name for name in family.parameters if name not in family.encoding)
    taken = dict.fromkeys((*given, *ids, *own))
    try:
        inspect.signature(family.build).bind(**taken)
    except TypeError as error:
        yield f"build can't be called with {', '.join(taken)}: {error}"
    except ValueError:
        pass  # a callable without a signature, such as one written in C


def _what(thing: Any) -> str:
    return f"a {type(thing).__name__}" if not isinstance(thing, type) else f"the class {thing!r}"
