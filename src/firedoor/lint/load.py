"""How much comes at the peak, from the sources on; and what a wall can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from firedoor.spec.plan import Plan, ZonePlan
from firedoor.spec.wall import WallOptions

_DEFAULT = WallOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Batches a second; None: ``missing`` says whose peak is not declared."""

    batches_s: float | None
    missing: str = ""


def rates_of(plan: Plan) -> dict[str, Rate]:
    """Return the batches that come to each zone in a second at the peak.

    Batches go through zones whole, so each zone has those of all that it reads.
    """
    rates: dict[str, Rate] = {}
    for zone in plan.zones:
        if zone.source is not None:
            peak = zone.load.peak if zone.load.peak is not None else zone.source.rate
            missing = f"no peak is declared at {zone.name} (peak=, or rate=)"
            rates[zone.name] = (
                Rate(batches_s=None, missing=missing)
                if peak is None
                else Rate(batches_s=peak / zone.source.batch_rows)
            )
            continue
        read = [rates[edge.publisher] for edge in plan.inboxes(zone.name)]
        unknown = next((rate for rate in read if rate.batches_s is None), None)
        total = sum(rate.batches_s or 0.0 for rate in read)
        rates[zone.name] = unknown or Rate(batches_s=total)
    return rates


def timeout_of(zone: ZonePlan) -> float:
    """Return the longest time that a batch may take in a zone's wall."""
    return float(cast("float", zone.wall.get("timeout_s", _DEFAULT.timeout_s)))


def workers_of(zone: ZonePlan) -> int:
    """Return how many batches a zone works on at once."""
    return int(cast("int", zone.wall.get("workers", _DEFAULT.workers)))


def longest_wait_s(waiting: float, batch_s: float, workers: int) -> float:
    """Return how long the last of a full queue waits: Little's law.

    >>> longest_wait_s(waiting=40, batch_s=0.5, workers=2)
    10.0
    """
    return waiting * batch_s / workers


def most_waiting(limit_s: float, batch_s: float, workers: int) -> int:
    """Return how many may wait so that the last does not wait longer than ``limit_s``.

    >>> most_waiting(limit_s=10.0, batch_s=0.5, workers=2)
    40
    """
    return max(0, int(limit_s * workers / batch_s + 1e-9))
