"""What each process of a zone has kept and not kept of what the zone promises, in totals.

Three indicators, each counted in units of its own and each with its own budget:

* ``availability``: rows in data zones, requests in services, runs in jobs: came through, or not.
  Rows that a zone drops as it declares have come through.
* ``latency``: the same units, those that came through: within ``latency_p99_s``, or late (budget:
  1 %). Where that is not promised, none is late.
* ``freshness``: seconds: nothing waited for longer than ``freshness_s`` and the zone was neither
  halted, paused, blocked nor starved, or it was (budget: 1 %). Where that is not promised, nothing
  waits too long.

What is bad is either the zone's own fault or inherited, and then it is named from whom: the name of
a zone, ``dependency:NAME``, ``broker``, ``control``. Refusals that a caller deserves (4xx) and
pauses that a person ordered are no events at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

Indicator = Literal["availability", "latency", "freshness"]
INDICATORS: tuple[Indicator, ...] = ("availability", "latency", "freshness")

BUCKET_BASE_S = 1e-5
BUCKET_GROWTH = 1.05
BUCKETS = 600
"""The last one has all that is slower, from 50,000,000 s on."""
CAUSES_MAX = 20
"""Different ones that a process names; further ones are ``OTHER``."""
OTHER = "other"


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
    """Of the zone: ``running``, ``halted`` ..., of a service: ``ready``, ``not_ready``, or
    ``switched_off``: a person ordered that."""
    blamed: str = ""
    """Whose fault it is that nothing goes on here now, the zone itself included; empty: it does,
    or a person wanted that. Who gets nothing from it has inherited that from there."""
    availability: Kept = Kept()
    latency: Kept = Kept()
    freshness: Kept = Kept()
    degraded: int = 0
    """Units that came through by something worse than promised; they are good."""
    dead: int = 0
    """Rows that were dead-lettered."""
    latency_s: dict[int, int] = {}
    """Durations by bucket, in totals, of batches, requests or runs: bucket ``i`` ends at
    ``BUCKET_BASE_S * BUCKET_GROWTH**i`` seconds."""
    waiting: int = 0
    """Units that wait now: batches in the inboxes of a zone, requests under way in a service."""


def counted_as(cause: str, known: Mapping[str, int]) -> str:
    """Return the name under which a cause is counted, so that names are bounded.

    >>> counted_as("exit 7", {f"exit {code}": 1 for code in range(20, 40)})
    'other'
    """
    return cause if cause in known or len(known) < CAUSES_MAX else OTHER


def bucket_of(seconds: float) -> int:
    """Return the first bucket that does not end before so many seconds.

    >>> bucket_of(0.0), bucket_of(1e-5), bucket_of(0.01), bucket_of(1e9)
    (0, 0, 142, 599)
    """
    if seconds <= BUCKET_BASE_S:
        return 0
    number = math.ceil(math.log(seconds / BUCKET_BASE_S) / math.log(BUCKET_GROWTH) - 1e-9)
    return min(number, BUCKETS - 1)


def bucket_ends_s(number: int) -> float:
    """Return where a bucket ends; the last one never does.

    >>> round(bucket_ends_s(142), 5)
    0.01021
    """
    return math.inf if number >= BUCKETS - 1 else BUCKET_BASE_S * BUCKET_GROWTH**number
