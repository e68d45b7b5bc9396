"""A plugin's object, imported when it is named and held against its group's contract."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import cache
from typing import Any

from modelyard.errors import InputError
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import Installed, named, names

Check = Callable[[str, Any], Iterable[str]]
"""A contract: given name and object, what breaks it, each as a sentence without its end."""

SLOW_SECONDS = 10.0
"""That an import may take before it is named; torch takes three on a slow disk."""

_REDIRECTING = threading.RLock()
"""The redirection is the whole process's; and a plugin may load another."""


class State(StrEnum):
    """What a plugin can be."""

    READY = "ready"
    BROKEN = "broken"
    """Its import raised."""
    CONTRACT = "breaks contract"
    """It is not what its group asks for."""
    CLASH = "clash"
    """Its name is built in, or another distribution's too: refused."""


class PluginError(InputError):
    """A plugin is missing, or can't be used. Names it, its distribution and what is wrong.

    Args:
        message: a whole sentence or several.
        state: why it can't be used; None where it isn't installed.
        trace: traceback of its import, empty where there is none.
    """

    def __init__(self, message: str, *, state: State | None = None, trace: str = "") -> None:
        self.state = state
        self.trace = trace
        super().__init__(message + (f"\n{trace.rstrip()}" if trace else ""))


def load(group: Group, name: str, check: Check) -> Any:
    """The object of the plugin that an experiment names.

    Built-in names are looked up by the caller before: they win.

    Args:
        group: what it has to be.
        name: of the plugin.
        check: the group's contract.

    Raises:
        PluginError: none of that name is installed, several are, it can't be imported, or it
            breaks the contract.
    """
    found = named(group, name)
    if not found:
        raise missing(group, name)
    if len(found) > 1:
        raise PluginError(
            f"the {group.one} {name} is brought by {' and by '.join(p.origin for p in found)}; "
            "uninstall all but one",
            state=State.CLASH,
        )
    return load_installed(found[0], check)


def missing(group: Group, name: str) -> PluginError:
    """The error for a plugin that isn't installed here."""
    there = ", ".join(names(group)) or "none"
    return PluginError(
        f"there is no plugin {name!r} in {group.entry_points} here (installed: {there}); install "
        "the distribution that brings it wherever trials run: on a cluster, in their image"
    )


@cache
def load_installed(plugin: Installed, check: Check) -> Any:
    """A plugin's object.

    Raises:
        PluginError: it can't be imported, or breaks the contract.
    """
    what = f"the {plugin.group.one} {plugin.name} of {plugin.origin} ({plugin.entry_point.value})"
    with _told(f"{what} can't be imported", State.BROKEN), _named_when_slow(what):
        loaded = plugin.entry_point.load()
    with _told(f"{what} breaks its contract", State.CONTRACT):
        broken = tuple(check(plugin.name, loaded))
    if broken:
        raise PluginError(f"{what} breaks its contract: {'; '.join(broken)}", state=State.CONTRACT)
    return loaded


@contextlib.contextmanager
def _told(what: str, state: State) -> Iterator[None]:
    """A plugin's own code runs within; it may even exit, and what it prints is no answer."""
    try:
        with _REDIRECTING, contextlib.redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"{what}: {type(error).__name__}: {error}", state=state, trace=_trace(error)
        ) from error


@contextlib.contextmanager
def _named_when_slow(what: str) -> Iterator[None]:
    """An import can't be ended from outside; whoever waits for it is told for whom."""
    words = f"{what} is being imported for {SLOW_SECONDS:g} s; it may hang. Ctrl-C ends it"
    timer = threading.Timer(SLOW_SECONDS, lambda: print(words, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextlib.contextmanager
def guarded(plugin: str, doing: str) -> Iterator[None]:
    """A plugin's own code runs within; what it raises is told as its fault, with the place.

    Args:
        plugin: what it is, such as ``the metric cost``.
        doing: what it couldn't do, such as ``measure``.

    Raises:
        PluginError: in place of whatever isn't ours.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # an exit would end the server, not the plugin
        raise PluginError(
            f"{plugin} can't {doing}: {type(error).__name__}: {error}",
            state=State.BROKEN,
            trace=_trace(error),
        ) from error


def _trace(error: BaseException) -> str:
    """From the plugin's first line on: how one got there is no help to its author."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _is_ours(file: str) -> bool:
    return file == __file__ or "importlib" in file or file.startswith("<frozen")
