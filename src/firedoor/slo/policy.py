"""When somebody is paged, and when a ticket is enough. The numbers are explained in ADR 0027.

Two words for everything: an *error budget* is the share of units that may be bad; a *burn rate* is
how many times as fast as that it is being spent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from firedoor.bounds import ordered, within

Severity = Literal["page", "ticket"]
Detector = Literal[
    "fast_burn", "burn_rate", "low_traffic", "silent", "inherited", "slow_burn", "flapping"
]
"""What may speak for an alert. ``inherited``: nobody whose fault it is has been paged."""
PAGES: tuple[Detector, ...] = ("fast_burn", "burn_rate", "low_traffic", "silent", "inherited")
"""Those that page; the others are tickets."""
BUDGET_LEAST = 1e-6
"""What a promise of 100 % is taken for: no detector can tell less from nothing."""
BUDGET_MOST = 0.45
"""Who promises less than 55 % is not paged: there is no rate that is clearly worse."""
TIME_SCALE_MAX = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CusumPolicy:
    """How evidence of a burning budget is summed up: Page's CUSUM, each slice of time clipped.

    Units are nats: the log of how many times as likely what was seen is at ``times`` the budget.
    """

    slice_s: float
    """Seconds that are counted together. 0.05 to 86,400."""
    times: float
    """Burn rate that is looked for; of bad units it is taken as 50 % at most. 1.5 to 1,000."""
    fire: float
    """Evidence at which it fires. 1 to 1,000."""
    most: float
    """Evidence beyond which no more is kept, so that the end is seen. ``fire`` to 10,000."""
    resolve: float = 3.0
    """Evidence at which it is over. 0 to ``fire``."""
    gain_min: float = -1.0
    """What a good slice takes away at most. -100 to -0.01."""
    gain_max: float = 2.0
    """What a bad slice adds at most: no single moment can page. 0.01 to 100."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("slice_s", self.slice_s, 0.05, 86_400, "seconds")
        within("times", self.times, 1.5, 1_000, "times the budget")
        within("fire", self.fire, 1, 1_000, "nats")
        within("most", self.most, self.fire, 10_000, "nats: fire or more")
        within("resolve", self.resolve, 0, self.fire, "nats: fire or less")
        within("gain_min", self.gain_min, -100, -0.01, "nats")
        within("gain_max", self.gain_max, 0.01, 100, "nats")


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRatePolicy:
    """A burn rate over a long window that a short one confirms (SRE workbook, chapter 5)."""

    times: float
    """Burn rate from which it fires, in both windows. 1 to 1,000."""
    long_s: float
    """Seconds. 1 to 30 days."""
    short_s: float
    """Seconds: it is over when this window is. 0.5 to ``long_s``."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("times", self.times, 1, 1_000, "times the budget")
        within("long_s", self.long_s, 1, 30 * 86_400, "seconds")
        within("short_s", self.short_s, 0.5, 30 * 86_400, "seconds")
        ordered("short_s", self.short_s, "long_s", self.long_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """When an objective is at risk."""

    fast_burn: CusumPolicy = CusumPolicy(slice_s=30, times=10, fire=10, most=15)
    """Pages. Four bad slices and half of a fifth: two minutes of anything never page by this."""
    slow_burn: CusumPolicy = CusumPolicy(slice_s=300, times=3, fire=12, most=18)
    """A ticket: three times the budget for half an hour or longer."""
    burn_rates: tuple[BurnRatePolicy, ...] = (
        BurnRatePolicy(times=14.4, long_s=3_600, short_s=300),
        BurnRatePolicy(times=6, long_s=21_600, short_s=1_800),
    )
    """Page: 2 % of the budget of 30 days in an hour, or 5 % in six."""
    burn_evidence_min: float = 4.0
    """Evidence of a fast burn without which no burn rate begins: two bad slices running. Two blips
    within an hour spend what an outage of a minute does, and are none. 0 to 100."""
    over_s: float = 300.0
    """A burn rate is over once no more was bad in so many seconds than may be: an hour that was bad
    is no reason to be paged for half of one. 1 to 86,400."""
    bad_long_min: int = 10
    """Bad units in the long window below which a burn rate is not judged. 1 to 1,000,000."""
    bad_short_min: int = 3
    """The same for the short window. 1 to 1,000,000."""
    last_units: int = 10
    """Low traffic: how many units are looked back at. 3 to 1,000."""
    last_bad: int = 3
    """How many of them have to be bad to page, at least. 1 to ``last_units``."""
    last_span_s: float = 60.0
    """They have to span so many seconds at least. 0.1 to 86,400."""
    silent_s: float = 60.0
    """Seconds without a sign of life of any process that page. 1 to 86,400."""
    unready_s: float = 30.0
    """Seconds for which no process of a service is ready that page: three probes. 1 to 86,400."""
    clean_units: int = 20
    """Good units in a row that end a page, also where traffic is low. 1 to 1,000,000."""
    clean_s: float = 300.0
    """... and for how long there must have been no bad one. 0.5 to 86,400."""
    flaps: int = 3
    """Rises of the evidence within ``flap_s`` that are a ticket. 2 to 100."""
    flap_s: float = 3_600.0
    """Seconds in which rises are counted. 1 to 86,400."""
    flap_bad_min: int = 5
    """Bad units without which it is no rise: single ones are not. 1 to 1,000,000."""
    unexplained_s: float = 120.0
    """Seconds after which an inherited fault pages, if nobody whose fault it is has been paged.
    1 to 86,400."""
    time_scale: float = 1.0
    """Divides every time above, for demonstrations. It makes no traffic: at 60, 60 requests a
    second are judged as 1 a second would be. 1 to 600."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("bad_long_min", self.bad_long_min, 1, 10**6, "units", whole=True)
        within("bad_short_min", self.bad_short_min, 1, 10**6, "units", whole=True)
        within("last_units", self.last_units, 3, 1_000, "units", whole=True)
        within("last_bad", self.last_bad, 1, self.last_units, "units", whole=True)
        within("clean_units", self.clean_units, 1, 10**6, "units", whole=True)
        within("flaps", self.flaps, 2, 100, "rises", whole=True)
        within("flap_bad_min", self.flap_bad_min, 1, 10**6, "units", whole=True)
        within("time_scale", self.time_scale, 1, TIME_SCALE_MAX, "as a factor")
        within("burn_evidence_min", self.burn_evidence_min, 0, 100, "nats")
        within("over_s", self.over_s, 1, 86_400, "seconds")
        within("last_span_s", self.last_span_s, 0.1, 86_400, "seconds")
        within("silent_s", self.silent_s, 1, 86_400, "seconds")
        within("unready_s", self.unready_s, 1, 86_400, "seconds")
        within("clean_s", self.clean_s, 0.5, 86_400, "seconds")
        within("flap_s", self.flap_s, 1, 86_400, "seconds")
        within("unexplained_s", self.unexplained_s, 1, 86_400, "seconds")


SIGN_S = 15.0
"""No time scale makes silence of less than this a fault: a process that died is started again, and
that takes its time."""


def scaled(policy: AlertPolicy) -> AlertPolicy:
    """Return a policy whose times are divided by its ``time_scale``, which is 1 then."""
    k = policy.time_scale
    if k == 1:
        return policy
    return replace(
        policy,
        fast_burn=replace(policy.fast_burn, slice_s=policy.fast_burn.slice_s / k),
        slow_burn=replace(policy.slow_burn, slice_s=policy.slow_burn.slice_s / k),
        burn_rates=tuple(
            replace(rate, long_s=max(1.0, rate.long_s / k), short_s=max(0.5, rate.short_s / k))
            for rate in policy.burn_rates
        ),
        over_s=max(1.0, policy.over_s / k),
        last_span_s=max(0.1, policy.last_span_s / k),
        silent_s=max(SIGN_S, policy.silent_s / k),
        unready_s=max(SIGN_S, policy.unready_s / k),
        clean_s=max(0.5, policy.clean_s / k),
        flap_s=max(1.0, policy.flap_s / k),
        unexplained_s=max(1.0, policy.unexplained_s / k),
        time_scale=1.0,
    )
