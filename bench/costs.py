"""What parts of a trial cost its training: within their calls, see ``bench.calls``, and as fits
with them against fits without, see ``bench.lockstep``.

The figure is that of the calls, of fits that are made alone. Fits in lockstep contradict it where a
part costs more outside of its calls than the bounds hide: a goal counts as met where the figure
meets it and the bounds don't exclude it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import calls
from bench.fits import EPOCHS
from bench.lockstep import Share, Taken, abreast, share, total
from bench.our_fits import Place
from bench.part_fits import fits
from bench.table import Row

TURNS, ALONE = 12, 5
"""Of all fits in lockstep, and of each alone with its calls timed."""

LAUNCHES = 2 * (TURNS + 1 + ALONE + 1)
"""Two of the fits tell a server, and each takes a launch of its own."""

BURNT, NEAR = 0.02, 0.001
"""What is burnt on purpose, of the training, and how near the figure has to come to it."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Fits by their names, in lockstep and alone, and what one of them burns in a turn.

    The names are those of ``bench.part_fits.fits``. Alone each has the calls of its part timed, and
    ``bare`` isn't made.
    """

    taken: Mapping[str, Taken]
    alone: Mapping[str, Taken]
    burnt_seconds: float


PARTS = {
    "burning": calls.HOOKS,
    "scored": calls.SCORES,
    "kept": calls.NUMBERS,
    "live": calls.TELLING,
    "saved": calls.SAVING,
}
"""The calls of what each fit has more than the one that it is set against."""


def measure(
    place: Place, epoch_seconds: float, batches: int, turns: int = TURNS, alone: int = ALONE
) -> Measured:
    """Make the fits.

    Args:
        place: its server has ``LAUNCHES`` launches open.
        epoch_seconds: CPU time that an epoch takes, about.
        batches: of an epoch.
        turns: of all fits in lockstep.
        alone: of each fit by itself.
    """
    burnt = BURNT * epoch_seconds
    made = fits(place, burnt, epoch_seconds / batches)
    timed = {name: calls.metered(*made[name], part) for name, part in PARTS.items()}
    return Measured(
        taken=abreast(made, turns),
        alone={name: abreast({name: one}, alone)[name] for name, one in timed.items()},
        burnt_seconds=burnt * EPOCHS,
    )


def rows(measured: Measured) -> list[Row]:
    """The figures of this module."""
    taken, alone = measured.taken, measured.alone
    return [
        cost(
            "live metrics cost",
            calls.of_training(alone["live"]),
            share(taken["live"], taken["bare"]),
            "metrics of every epoch, progress twice a second and the gradient's norm, posted to a "
            "server: CPU time within their calls and of the thread that posts",
            0.01,
        ),
        cost(
            "health scores cost",
            calls.of_training(alone["scored"]),
            share(taken["scored"], taken["bare"]),
            "CPU time within the calls of what looks at the fit, and of scoring; of the training "
            "time, which is less than the trial's",
            0.02,
        ),
        cost(
            "the numbers that a trial keeps cost",
            calls.of_training(alone["kept"]),
            share(taken["kept"], taken["scored"]),
            "CPU time within the calls that measure, write and store them, beside what the scores "
            "need; of the training time",
            0.01,
        ),
        cost(
            "a checkpoint after each epoch costs",
            calls.of_training(alone["saved"], less=alone["live"]),
            share(taken["saved"], taken["live"]),
            "gathered, written, stored in a folder with digests and told to the server; of the "
            f"training time, {_epoch_seconds(taken['live']):.2f} s an epoch",
        ),
        _known(measured),
    ]


def cost(what: str, found: float, lockstep: Share, note: str, most: float | None = None) -> Row:
    """What a part costs.

    Args:
        what: the part, with its verb.
        found: share of the training within its calls and in its threads.
        lockstep: what a fit with it takes more than one without.
        note: what is counted.
        most: goal.
    """
    return Row(
        what=f"what {what}",
        ours=_said(found, lockstep),
        goal="" if most is None else f"under {most:.0%}",
        met=None if most is None else found < most and lockstep.low <= most,
        note=note,
    )


def _said(found: float, lockstep: Share) -> str:
    return f"{found:.2%}; in lockstep {lockstep}"


def _epoch_seconds(taken: Taken) -> float:
    return total(taken.stretches[:, 1:]) / EPOCHS


def _known(measured: Measured) -> Row:
    burning = measured.alone["burning"]
    burnt = measured.burnt_seconds
    known = burnt / (EPOCHS * _epoch_seconds(burning) - burnt)
    found = calls.of_training(burning)
    lockstep = share(measured.taken["burning"], measured.taken["bare"])
    return Row(
        what=f"what a hook costs that burns {known:.2%} of the training",
        ours=_said(found, lockstep),
        goal=f"within {100 * NEAR:.1f} points of that, and it within the bounds",
        met=abs(found - known) < NEAR and lockstep.low <= known <= lockstep.high,
        note="to see what the measure of these rows is worth",
    )
