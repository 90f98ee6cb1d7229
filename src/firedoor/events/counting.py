"""Count what a zone or a service keeps of its promises, in one process."""

from __future__ import annotations

from firedoor.events.objective import Kept, Objectives, bucket_of, counted_as


class KeptCounts:
    """One indicator. Changed in place: each batch and each request does."""

    __slots__ = ("good", "inherited", "own")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.good = 0
        self.own = 0
        self.inherited: dict[str, int] = {}

    def bad(self, units: int, cause: str = "") -> None:
        """Count units as bad; ``cause`` is whose fault that is, empty: the zone's own."""
        if not cause or not units:
            self.own += units
            return
        known = self.inherited
        cause = counted_as(cause, known)
        known[cause] = known.get(cause, 0) + units

    def kept(self) -> Kept:
        """Return the totals."""
        return Kept(good=self.good, own=self.own, inherited=dict(self.inherited))


class ObjectiveCounts:
    """All that one process counts of one zone, service or job."""

    __slots__ = ("availability", "boot", "dead", "degraded", "freshness", "latency", "latency_s",
                 "process", "zone")  # fmt: skip

    def __init__(self, zone: str, *, process: str, boot: str) -> None:
        """Begin at nothing.

        Args:
            zone: whose promises they are.
            process: which of its processes counts: small letters, digits and ``-``.
            boot: differs whenever this process begins anew.
        """
        self.zone, self.process, self.boot = zone, process, boot
        self.availability, self.latency = KeptCounts(), KeptCounts()
        self.freshness = KeptCounts()
        self.degraded = 0
        self.dead = 0
        self.latency_s: dict[int, int] = {}

    def through(self, units: int, seconds: float, *, late: bool, cause: str = "") -> None:
        """Count units that came through together.

        Args:
            units: how many.
            seconds: how long it took.
            late: whether that is longer than promised.
            cause: whose fault that is; empty: the zone's own.
        """
        self.availability.good += units
        if late:
            self.latency.bad(units, cause)
        else:
            self.latency.good += units
        self.took(seconds)

    def took(self, seconds: float) -> None:
        """Count a duration."""
        bucket = bucket_of(seconds)
        self.latency_s[bucket] = self.latency_s.get(bucket, 0) + 1

    def told(
        self, at_s: float, *, state: str = "", blamed: str = "", waiting: int = 0
    ) -> Objectives:
        """Return the totals as they are said."""
        return Objectives(
            zone=self.zone,
            process=self.process,
            boot=self.boot,
            at_s=at_s,
            state=state,
            blamed=blamed,
            availability=self.availability.kept(),
            latency=self.latency.kept(),
            freshness=self.freshness.kept(),
            degraded=self.degraded,
            dead=self.dead,
            latency_s=dict(self.latency_s),
            waiting=waiting,
        )
