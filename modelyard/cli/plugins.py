"""``modelyard plugins``: what other distributions add, and whether it can be used."""

from __future__ import annotations

from modelyard.cli.terminal import console, print_json, print_line, print_table
from modelyard.cli.views import PluginView
from modelyard.plugins.groups import Group
from modelyard.plugins.installed import installed
from modelyard.plugins.listing import Listed, listed
from modelyard.report.tables import Table
from modelyard.sweep.plugged import BUILT_IN, check_of


def plugins_command(json_output: bool) -> None:
    """Imports every plugin once and says what became of it; a broken one ends nothing.

    Args:
        json_output: print a list of ``PluginView``.
    """
    views = [
        _view(plugin)
        for group in Group
        if installed(group)
        for plugin in listed(group, check_of(group), BUILT_IN[group])
    ]
    if json_output:
        print_json(views)
        return
    out = console()
    if not views:
        print_line("no plugins are installed; see docs/plugins.md for how one is made", out)
        return
    print_table(
        Table(
            title="Plugins",
            columns=("group", "name", "distribution", "version", "state"),
            rows=tuple((v.group, v.name, v.distribution, v.version, v.state) for v in views),
        ),
        out,
    )
    for view in views:
        if view.reason:
            print_line(f"\n{view.group} {view.name}: {view.reason}", out)


def _view(found: Listed) -> PluginView:
    plugin = found.plugin
    return PluginView(
        group=plugin.group,
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        state=found.state,
        reason=found.reason,
    )
