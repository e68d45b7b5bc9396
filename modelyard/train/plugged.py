"""Hooks that other distributions bring, as ``train.hooks``.

The entry point of ``modelyard.hooks`` is a ``Hook`` class, or a function that gives one; it takes
the options of the experiment file by name. Each fit has hooks of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from modelyard.experiment.training import HookUse
from modelyard.plugins.groups import Group
from modelyard.plugins.loading import guarded, load
from modelyard.train.hooks import Hook


def plugged_hooks(uses: Iterable[HookUse]) -> tuple[Hook, ...]:
    """Fresh hooks, in the file's order.

    Raises:
        PluginError: one isn't installed, or can't be used.
    """
    return tuple(_hook(use) for use in uses)


def check_hook(_name: str, thing: Any) -> Iterator[str]:
    """What breaks the contract of ``modelyard.hooks``."""
    if isinstance(thing, type) and not issubclass(thing, Hook):
        yield f"{thing.__name__} is no subclass of modelyard.train.hooks.Hook"
    elif not callable(thing):
        yield f"a hook is a Hook class or a function that gives one, not a {type(thing).__name__}"


def _hook(use: HookUse) -> Hook:
    make = load(Group.HOOKS, use.name, check_hook)
    with guarded(f"the hook {use.name}", "be made"):
        hook = make(**use.options)
        if not isinstance(hook, Hook):
            raise TypeError(f"it gives a {type(hook).__name__}, not a modelyard.train.hooks.Hook")
    return hook
