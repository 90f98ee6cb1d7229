"""What it is, in a word and in a sentence: a blip, blips again and again, or an outage."""

from __future__ import annotations

from typing import Literal

from firedoor.slo.budget import Budget, left
from firedoor.slo.burn_rate import window
from firedoor.slo.objective import Objective
from firedoor.slo.policy import AlertPolicy, Detector
from firedoor.slo.watch import Watch

Verdict = Literal["kept", "transient", "recurrent", "systemic"]
"""``transient``: evidence rises, or rose and went away; ``recurrent``: it did so again and again;
``systemic``: there is an alert."""
MINUTE_S, HOUR_S = 60.0, 3_600.0


def verdict_of(watch: Watch, firing: frozenset[Detector], *, at_s: float, flap_s: float) -> Verdict:
    """Return what it is."""
    if firing - {"flapping"}:
        return "systemic"
    if watch.flapping:
        return "recurrent"
    lately = any(at_s - begun_s < flap_s for begun_s in watch.rises.begun_s)
    return "transient" if lately or watch.rises.open else "kept"


def burn(watch: Watch, objective: Objective, policy: AlertPolicy) -> float | None:
    """Return how fast the budget burns in the shortest long window; None: nothing was counted."""
    if not watch.rates:
        return None
    bad, units = window(watch.rates[0], policy.burn_rates[0].long_s, policy.burn_rates[0])
    return bad / units / objective.budget if units else None


def tell(  # noqa: PLR0911 - a sentence each
    watch: Watch,
    objective: Objective,
    policy: AlertPolicy,
    firing: frozenset[Detector],
    *,
    at_s: float,
) -> str:
    """Say what speaks for an alert, most urgent first; an empty string where nothing does."""
    units, rates = objective.units, policy.burn_rates
    if "silent" in firing:
        return "no process of it gives a sign of life, or none is ready"
    if "fast_burn" in firing:
        return (
            f"{_rate(watch, policy)}: evidence {watch.fast.evidence:.0f} of "
            f"{policy.fast_burn.fire:.0f} that its budget burns {policy.fast_burn.times:g} times "
            "too fast"
        )
    if "burn_rate" in firing:
        place = next(place for place, rate in enumerate(watch.rates) if rate.firing)
        windows = rates[place]
        return (
            f"its budget burns more than {windows.times:g} times too fast, over "
            f"{span(windows.long_s)} and over the last {span(windows.short_s)}"
        )
    if "low_traffic" in firing:
        bad = sum(unit.bad for unit in watch.low.last)
        return f"{bad} of the last {len(watch.low.last)} {units} were bad"
    if "inherited" in firing:
        return _tell_inherited(watch, at_s)
    if "slow_burn" in firing:
        return (
            f"its budget has been burning about {policy.slow_burn.times:g} times too fast or more "
            f"for a while: evidence {watch.slow.evidence:.0f} of {policy.slow_burn.fire:.0f}"
        )
    if "flapping" in firing:
        return (
            f"it was bad for a moment {len(watch.rises.begun_s)} times within "
            f"{span(policy.flap_s)}, and well again each time"
        )
    return ""


def tell_budget(budget: Budget, objective: Objective) -> str:
    """Say what is left of a budget."""
    share = left(budget, objective.budget)
    days = f"{objective.period_days:g} days"
    if share < 0:
        return f"the budget of {days} is overdrawn: {1 - share:.3g} times what it allows is spent"
    return f"{share:.0%} of the budget of {days} is left"


def span(seconds: float) -> str:
    """Return a time span as a person reads it.

    >>> span(21_600), span(300), span(2.5)
    ('6 h', '5 min', '2.5 s')
    """
    if seconds >= HOUR_S:
        return f"{seconds / HOUR_S:.3g} h"
    return f"{seconds / MINUTE_S:.3g} min" if seconds >= MINUTE_S else f"{seconds:.3g} s"


def _rate(watch: Watch, policy: AlertPolicy) -> str:
    """Say how many are bad now, over the shortest window there is."""
    windows = policy.burn_rates[0]
    bad, units = window(watch.rates[0], windows.short_s, windows)
    return f"{bad:,} of {units:,} were bad in {span(windows.short_s)}"


def _tell_inherited(watch: Watch, at_s: float) -> str:
    """Say whose fault is inherited."""
    seen = watch.inherited
    since = f" for {span(at_s - seen.since_s)}" if seen.since_s is not None else ""
    return (
        f"unexplained: it has suffered from {seen.root or 'others'}{since}, where nobody was paged"
    )
