"""What is counted of answers, by the faces that give them, and what that says of promises.

Each request is counted here once. What a service keeps of its promises is read from the counts,
each second; events of single requests are made only where somebody listens, see ``watching``.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from firedoor.events.objective import Kept, Objectives, counted_as
from firedoor.events.work import Fate
from firedoor.gateway.durations import GRID_S, Durations
from firedoor.gateway.exchange import ORDERED, Answer

SERIES_MAX = 200
"""Of one service; what comes after them is counted under ``other``."""
OK: Final = 200
_CROWDED: Final = 429
_SERVER: Final = 500
_LOOK_S = 1.0


class Series(NamedTuple):
    """What requests are told apart by."""

    arm: str
    status: int
    degraded: str


class ServiceCounts:
    """Counts of one service since the gateway began. Changed in place: each request does."""

    __slots__ = ("_fresh", "_inherited", "_looked_s", "_promised_s", "_stale", "failed",
                 "in_flight", "requests", "rows", "seconds", "took")  # fmt: skip

    def __init__(self, promised_s: float | None = None) -> None:
        """Begin at nothing; ``promised_s``: after which an answer is late; None: none is."""
        self._promised_s = promised_s
        self.requests: dict[Series, int] = {}
        bounds = () if promised_s is None else (promised_s,)
        self.took, self.failed = Durations(*bounds), Durations()
        """How long answers with a prediction took, and those without."""
        self.seconds = 0.0
        self.rows = 0
        self.in_flight = 0
        self._inherited: dict[str, int] = {}
        """Of the requests without a prediction, by whose fault."""
        self._fresh = self._stale = 0
        """Seconds that it was ready, and was not."""
        self._looked_s: float | None = None

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count an answer that took so long."""
        status = answer.status
        series = (answer.arm, status, answer.degraded)
        counts = self.requests
        if series in counts:
            counts[series] += 1
        else:
            named = Series(*series)
            if len(counts) >= SERIES_MAX:
                named = Series("other", status, "other")
            counts[named] = counts.get(named, 0) + 1
        self.seconds += seconds
        if status == OK:
            self.rows += answer.rows
            self.took.add(seconds)
            return
        self.failed.add(seconds)
        if answer.cause:
            known = self._inherited
            cause = counted_as(answer.cause, known)
            known[cause] = known.get(cause, 0) + 1

    def look(self, now_s: float, *, ready: bool | None) -> None:
        """Count the time since the last look; ``ready`` is None where nobody wants it to be."""
        if self._looked_s is None:
            self._looked_s = now_s
            return
        units = int((now_s - self._looked_s) / _LOOK_S)
        self._looked_s += units * _LOOK_S
        if ready:
            self._fresh += units
        elif ready is not None:
            self._stale += units

    def objectives(
        self, service: str, *, process: str, boot: str, at_s: float, state: str, unjudged: bool
    ) -> Objectives:
        """Return what was kept of promises, and what was not: see ``events.objective``.

        A request without a prediction counts where the service or somebody it needs is to blame:
        what its caller or a person ordered is no event.
        """
        statuses: Counter[int] = Counter()
        degraded = 0
        for series, count in self.requests.items():
            status = series[1]
            statuses[status] += count
            degraded += count if status == OK and series[2] else 0
        bad = sum(count for status, count in statuses.items() if _is_bad(status))
        inherited = {name: n for name, n in self._inherited.items() if name != ORDERED}
        good, late = statuses[OK], 0
        if self._promised_s is not None:
            late = self.took.between((self._promised_s,))[1]
        fine = {number: count for number, count in enumerate(self.took.between(GRID_S)) if count}
        return Objectives(
            zone=service,
            process=process,
            boot=boot,
            at_s=at_s,
            state=state,
            blamed="" if unjudged or state == "ready" else service,
            availability=Kept(
                good=good, own=bad - sum(self._inherited.values()), inherited=inherited
            ),
            latency=Kept(good=good - late, own=late),
            freshness=Kept(good=self._fresh, own=self._stale),
            degraded=degraded,
            latency_s=fine,
            waiting=self.in_flight,
        )

    def fate(self, answer: Answer, seconds: float) -> Fate:
        """Return what became of a request; one that its caller got wrong was answered well."""
        if answer.status != OK:
            return "bad" if _is_bad(answer.status) else "good"
        if self._promised_s is not None and seconds > self._promised_s:
            return "late"
        return "degraded" if answer.degraded else "good"


def _is_bad(status: int) -> bool:
    """Return whether a status says that it is not the caller's doing."""
    return status >= _SERVER or status == _CROWDED
