"""What a zone promises to those who read it."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_number

PERIOD_DAYS = 30.0
TIME_SCALE_MAX = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """Objectives of a zone. What is not given is not promised.

    >>> SLO(availability=0.999, latency_p99_s=2).given()
    {'availability': 0.999, 'latency_p99_s': 2.0}
    """

    availability: float | None = None
    """Share of the rows, or requests, that come through. 0 to 1."""
    latency_p99_s: float | None = None
    """Time from the arrival of a batch to its departure that 99 of 100 keep. 0.001 to 86,400 s."""
    freshness_s: float | None = None
    """Greatest age of the oldest batch that waits, in 99 of 100 seconds. 0.001 s to 30 days."""
    period_days: float = PERIOD_DAYS
    """Over which the error budget is reckoned. 1 to 90 days."""
    time_scale: float = 1.0
    """Divides the windows of alerts, for demonstrations; leases, deadlines and the budget's period
    stay as they are. 1 to 600."""

    def __post_init__(self) -> None:
        """Refuse what cannot be promised."""
        if self.availability is not None:
            check_number("availability", self.availability, 0, 1, "as a share")
        if self.latency_p99_s is not None:
            check_number("latency_p99_s", self.latency_p99_s, 0.001, 86_400, "seconds")
        if self.freshness_s is not None:
            check_number("freshness_s", self.freshness_s, 0.001, 30 * 86_400, "seconds")
        check_number("period_days", self.period_days, 1, 90, "days")
        check_number("time_scale", self.time_scale, 1, TIME_SCALE_MAX, "as a factor")

    def given(self) -> dict[str, float]:
        """Return the objectives that are promised, by name."""
        named = {
            "availability": self.availability,
            "latency_p99_s": self.latency_p99_s,
            "freshness_s": self.freshness_s,
        }
        return {name: float(value) for name, value in named.items() if value is not None}


def check_slo(slo: object) -> dict[str, float]:
    """Return what a zone promises, as plain values; how it is reckoned, where that is not usual.

    Raises:
        DeclarationError: for what is no ``SLO``.
    """
    if slo is None:
        return {}
    if not isinstance(slo, SLO):
        raise DeclarationError("slo", slo, "is no SLO", "write slo=fd.SLO(availability=0.999)")
    promised = slo.given()
    if promised and slo.period_days != PERIOD_DAYS:
        promised["period_days"] = float(slo.period_days)
    if promised and slo.time_scale != 1:
        promised["time_scale"] = float(slo.time_scale)
    return promised
