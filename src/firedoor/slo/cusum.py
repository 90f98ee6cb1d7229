"""The evidence that a budget burns: a sum that no single moment can carry far.

Source: Page, *Continuous inspection schemes*, Biometrika 41 (1954). Clipping each slice is ours: it
turns "how bad" into "for how long", so that a burst cannot page and an outage does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firedoor.slo.policy import CusumPolicy

RATE_MOST = 0.5
"""The rate of bad units that is looked for is no higher."""
ENOUGH = 0.5
"""Share of a slice from which on it may decide: four and a half bad slices fire, four do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cusum:
    """Evidence so far, and the slice of time that is still open."""

    evidence: float = 0.0
    """Nats, 0 to the policy's ``most``."""
    firing: bool = False
    began_s: float | None = None
    """When the open slice began; None: there is neither evidence nor anything bad."""
    bad: int = 0
    """In that slice, and ``units`` of both kinds."""
    units: int = 0


def gain(bad: int, units: int, *, budget: float, policy: CusumPolicy) -> float:
    """Return what a slice says: positive if the budget burns, 0 if nothing happened in it.

    >>> fast = CusumPolicy(slice_s=30, times=10, fire=10, most=15)
    >>> gain(3_000, 3_000, budget=0.001, policy=fast), gain(0, 3_000, budget=0.001, policy=fast)
    (2.0, -1.0)
    """
    said = _likelier(bad, units, budget, policy)
    return min(policy.gain_max, max(policy.gain_min, said))


def count(
    cusum: Cusum, bad: int, units: int, *, at_s: float, budget: float, policy: CusumPolicy
) -> Cusum:
    """Return the state after so many units, which came just before ``at_s``.

    Slices follow each other while there is evidence. Without any, a slice begins with a bad unit,
    and is given up as soon as it says that all is well: so a fault is found after as many slices as
    it takes, whenever it begins. The slice that makes it fire ends then, from ``ENOUGH`` of it on.
    """
    evidence, firing, began_s = cusum.evidence, cusum.firing, cusum.began_s
    before_bad, before_units = cusum.bad, cusum.units
    open_s = 0.0 if began_s is None else at_s - began_s
    if began_s is not None and open_s >= ENOUGH * policy.slice_s:
        after = evidence + gain(before_bad, before_units, budget=budget, policy=policy)
        fires = not firing and after >= policy.fire
        if fires or open_s >= policy.slice_s:
            evidence = min(policy.most, max(0.0, after))
            firing = fires or (firing and evidence > policy.resolve)
            began_s = at_s - open_s % policy.slice_s if open_s >= policy.slice_s else at_s
            before_bad = before_units = 0
    if not evidence:
        if _likelier(before_bad + bad, before_units + units, budget, policy) <= 0:
            return Cusum()
        began_s = began_s if before_units else at_s
    return Cusum(
        evidence=evidence, firing=firing, began_s=at_s if began_s is None else began_s,
        bad=before_bad + bad, units=before_units + units,
    )  # fmt: skip


def _likelier(bad: int, units: int, budget: float, policy: CusumPolicy) -> float:
    """Return the log of how many times as likely this is where the budget burns."""
    sought = min(policy.times * budget, RATE_MOST)
    return bad * math.log(sought / budget) - units * (sought - budget)


def calm(cusum: Cusum) -> Cusum:
    """Return a state without evidence; the open slice goes on."""
    return Cusum(began_s=cusum.began_s, bad=cusum.bad, units=cusum.units)
