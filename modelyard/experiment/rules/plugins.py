"""Plugins that the file names where nothing of Modelyard's own can stand: are they installed?"""

from __future__ import annotations

from modelyard.experiment.plugins import uses
from modelyard.experiment.rules.case import Case, Mistakes, listing

JUDGED_WITH_OTHERS = ("models", "metrics")
"""Groups whose names are held against Modelyard's own as well."""


def check_plugins(case: Case) -> Mistakes:
    """Data, sampler, gates and hooks."""
    for use in uses(case.experiment):
        there = case.catalogue.plugins.get(use.group, ())
        if use.group not in JUDGED_WITH_OTHERS and use.name not in there:
            yield case.mistake(
                use.loc,
                f"there is no plugin {use.name!r} in modelyard.{use.group} here; installed are "
                f"{listing(there) or 'none'}",
                value=use.name,
                valid=there,
            )
