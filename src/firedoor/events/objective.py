"""What each process of a zone has kept and not kept of what the zone promises, in totals.

Three indicators, each counted in units of its own and each with its own budget:

* ``availability``: rows in data zones, requests in services, runs in jobs: came through, or not.
* ``latency``: the same units: came through within ``latency_p99_s``, or late (budget: 1 %).
* ``freshness``: seconds: nothing waited for longer than ``freshness_s`` and the zone was neither
  halted, paused, blocked nor starved, or it was (budget: 1 %).

What is bad is either the zone's own fault or inherited, and then it is named from whom: the name of
a zone, ``dependency:NAME``, ``broker``, ``control``. Refusals that a caller deserves (4xx) and
pauses that a person ordered are no events at all.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Indicator = Literal["availability", "latency", "freshness"]
INDICATORS: tuple[Indicator, ...] = ("availability", "latency", "freshness")


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Totals of one indicator since its process began."""

    good: int = 0
    own: int = 0
    """Bad, by the zone's own fault."""
    inherited: dict[str, int] = {}
    """Bad, by somebody else's: from whom."""

    @property
    def units(self) -> int:
        """All of them."""
        return self.good + self.own + sum(self.inherited.values())


class Objectives(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``objective.ZONE.PROCESS``, said each second.

    Totals: whoever reads them takes differences, so that nothing is lost or counted twice when a
    beat is missed. ``boot`` changes when a process begins anew.
    """

    zone: str
    process: str
    boot: str
    at_s: float
    state: str = ""
    """Of the zone: ``running``, ``halted`` ..., of a service: ``ready`` or ``not_ready``."""
    availability: Kept = Kept()
    latency: Kept = Kept()
    freshness: Kept = Kept()
    degraded: int = 0
    """Units that came through by something worse than promised; they are good."""
    dead: int = 0
    """Rows that were dead-lettered."""
    latency_s: dict[int, int] = {}
    """Durations by bucket, in totals: bucket ``i`` ends at 1e-5 * 1.05**i seconds."""
    waiting: int = 0
    """Units that wait now."""
