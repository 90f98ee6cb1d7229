"""Whether a zone is worse under a fault than it was in the warm-up, however often one looks.

A promise is a coarse measure of harm: a zone that loses one row in 100,000, and one in 1,000 while
its neighbour is faulted, keeps 99 %, and the fault has come through the wall all the same. So zones
that should feel nothing are compared with themselves as well: the seconds of the warm-up are the
control group. The test is the one by which rollouts are taken back (``firedoor.eprocess``): the
chance that luck alone ever fires it is bounded, though it is asked each second.

Each second of the warm-up is compared once in an exercise, spread over the injection as evenly as
can be, so that all of it counts however long a fault lasts. Of a fault that lasts for longer than
the warm-up several seconds wait for one of the control.

Freshness is not compared: seconds in which a zone waits come one after the other, and are no
independent trials. ``following`` watches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firedoor.drill.judging import scaled, tries_of
from firedoor.drill.measured import Measured
from firedoor.eprocess import Logs, add_gains, bad_grid, log_e, ratio_gains
from firedoor.events.objective import Indicator

COMPARED: tuple[Indicator, ...] = ("availability", "latency")
RATIO_WELL = 2.0
"""Times the share of bad units in the warm-up that is nobody's business: a machine on which a
process is started again is that uneven."""
GRID = bad_grid(RATIO_WELL)
LOOKS_LEAST = 3
"""Looks that it takes at least: rows of one batch fail together, and are no independent trials."""
Counts = tuple[int, int]
"""Units, and how many of them were bad."""
NONE: Counts = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What one zone did in each second of the warm-up, by one indicator."""

    seconds: tuple[Counts, ...] = ()
    clump: float = 1.0
    """How many bad ones come together, 1 or more: see ``clump_of``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What zones did in the warm-up."""

    chance: float
    """That luck alone ever fires, for one zone, indicator and exercise."""
    zones: Mapping[str, Mapping[Indicator, Usual]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks so far for a zone being worse than in the warm-up, by one indicator."""

    logs: Logs = ()
    compared: int = 0
    """Seconds of the warm-up that were compared."""
    then: Counts = NONE
    """What was counted in them."""
    now: Counts = NONE
    """What was counted under the fault, and compared with it."""
    waiting: Counts = NONE
    """What was counted since: it waits for the next second of the warm-up."""

    def fires(self, chance: float) -> bool:
        """Return whether so much is not luck, but for this chance."""
        return log_e(self.logs) >= -math.log(chance)


def control_of(looks: Sequence[Mapping[str, Measured]], *, chance: float) -> Control:
    """Return the control group.

    Args:
        looks: what zones did in each second of the warm-up.
        chance: that luck alone ever fires, for one zone, indicator and exercise.
    """
    names = dict.fromkeys(name for look in looks for name in look)
    return Control(
        chance=chance,
        zones={
            name: {
                each: usual_of([counts_of(look[name], each) for look in looks if name in look])
                for each in COMPARED
            }
            for name in names
        },
    )


def usual_of(seconds: Sequence[Counts]) -> Usual:
    """Return what is usual, of the seconds of a warm-up."""
    return Usual(seconds=tuple(seconds), clump=clump_of([bad for _, bad in seconds]))


def clump_of(bad: Sequence[int]) -> float:
    """Return how many bad ones come together: the rows of a batch, say.

    The index of dispersion of what was bad in each second: variance by mean, 1 at the least.
    Evidence is divided by it. It is known before the first second under a fault, so that the test
    stays as valid as it is without.

    >>> clump_of([0, 20, 0, 0, 0, 0, 0, 0, 0, 0]), clump_of([1, 0, 2, 1]), clump_of([0, 0])
    (20.0, 1.0, 1.0)
    """
    mean = sum(bad) / len(bad) if bad else 0.0
    if not mean:
        return 1.0
    return max(1.0, sum((one - mean) ** 2 for one in bad) / max(1, len(bad) - 1) / mean)


def counts_of(second: Measured, indicator: Indicator) -> Counts:
    """Return the units of a second, and how many were bad, whosever fault; late ones by batches."""
    kept = second.of(indicator)
    tries = tries_of(indicator, kept.units, second)
    return tries, scaled(kept.units - kept.good, kept.units, tries)


def weigh(
    evidence: Evidence,
    second: Counts,
    usual: Usual,
    *,
    passed: float,
    chance: float,
) -> Evidence:
    """Return the evidence after another second under a fault.

    Args:
        evidence: so far.
        second: what was counted in it.
        usual: what was counted in each second of the warm-up.
        passed: share of the injection that is over, 0 to 1.
        chance: see ``Control``: no look adds more than a third of what it takes.
    """
    now = _sum(evidence.waiting, second)
    due = min(len(usual.seconds), int(len(usual.seconds) * passed + 1e-9))
    then = NONE
    for counts in usual.seconds[evidence.compared : due]:
        then = _sum(then, counts)
    if not then[0] or not now[0]:  # which does not hang on how many were bad
        return Evidence(
            logs=evidence.logs, compared=evidence.compared, then=evidence.then, now=evidence.now,
            waiting=now,
        )  # fmt: skip
    most = -math.log(chance) / LOOKS_LEAST
    gains = ratio_gains(GRID, RATIO_WELL, now, then)
    gains = tuple(min(gain / usual.clump, most) for gain in gains)
    return Evidence(
        logs=add_gains(evidence.logs, gains),
        compared=due,
        then=_sum(evidence.then, then),
        now=_sum(evidence.now, now),
    )


def tell(indicator: Indicator, evidence: Evidence) -> str:
    """Return the evidence in words."""
    what = "late" if indicator == "latency" else "lost"
    (units, bad), (units_then, bad_then) = evidence.now, evidence.then
    return (
        f"{bad:,} of {units:,} {what}, {bad_then:,} of {units_then:,} in the warm-up: more than "
        f"{RATIO_WELL:g} times as many"
    )


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1]
