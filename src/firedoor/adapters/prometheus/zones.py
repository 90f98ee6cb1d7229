"""What zones say of themselves, each second, as samples: made of their beats, and of nothing else.

So whoever hears the beats can tell all zones' metrics, and a zone's process its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

from firedoor.events import metrics
from firedoor.events.metrics import Sample, Spread
from firedoor.events.objective import Kept, Objectives, bucket_ends_s
from firedoor.wire.records import ZoneStatus


def samples_of_objectives(told: Objectives) -> Iterator[Sample]:
    """Yield what a process of a zone, service or job has kept of its promises."""
    of = (told.zone, told.process)
    kept: tuple[tuple[str, Kept], ...] = (
        ("availability", told.availability),
        ("latency", told.latency),
        ("freshness", told.freshness),
    )
    for indicator, totals in kept:
        units = [("good", "", totals.good), ("own", "", totals.own)]
        units += [("inherited", cause, count) for cause, count in sorted(totals.inherited.items())]
        for outcome, cause, count in units:
            yield Sample(metrics.OBJECTIVE_UNITS, (*of, indicator, outcome, cause), count)
    yield Sample(metrics.OBJECTIVE_DEGRADED, of, told.degraded)
    yield Sample(metrics.OBJECTIVE_WAITING, of, told.waiting)


def samples_of_zone(status: ZoneStatus, told: Objectives | None) -> Iterator[Sample]:
    """Yield what a zone's process has counted, and how it is; ``told``: what it has kept."""
    of, work = (status.zone, status.replica), status.work
    yield Sample(metrics.ZONE_STATE, (*of, status.state), 1)
    rows = {
        "passed": status.rows_in - status.dead - status.dropped,
        "dead": status.dead,
        "dropped": status.dropped,
        "shed": work.shed,
    }
    for outcome, count in rows.items():
        yield Sample(metrics.ZONE_ROWS, (*of, outcome), count)
    for code, count in work.codes.items():
        yield Sample(metrics.ZONE_DEAD, (*of, code), count)
    for fate, count in work.fates.items():
        yield Sample(metrics.ZONE_BATCHES, (*of, fate), count)
    yield Sample(metrics.ZONE_WAITED, of, work.waited_s)
    yield Sample(metrics.ZONE_STEP, of, work.step_s)
    for cause, count in work.retries.items():
        yield Sample(metrics.ZONE_RETRIES, (*of, cause), count)
    yield Sample(metrics.ZONE_REDELIVERED, of, work.redelivered)
    yield Sample(metrics.ZONE_WORKERS_LOST, of, status.workers_lost)
    yield Sample(metrics.ZONE_MEMORY, of, status.memory_bytes)
    states = Counter((note.explained.guard, note.explained.state) for note in status.guards)
    for (guard, state), count in sorted(states.items()):
        yield Sample(metrics.ZONE_BREAKERS, (*of, guard, state), count)
    if told is not None:
        spread = _spread(told.latency_s, work.seconds)
        yield Sample(metrics.ZONE_SECONDS, of, spread)
        yield from samples_of_objectives(told)


def samples_of_inboxes(statuses: Iterable[ZoneStatus]) -> Iterator[Sample]:
    """Yield what waits between zones, each inbox once: as the process that looked last has seen."""
    latest = sorted(statuses, key=lambda status: status.at_s)
    inboxes = {edge: note for status in latest for edge, note in status.work.inboxes.items()}
    for edge, note in sorted(inboxes.items()):
        yield Sample(metrics.INBOX_BATCHES, (edge,), note.batches)
        yield Sample(metrics.INBOX_BYTES, (edge,), note.bytes)
        yield Sample(metrics.INBOX_LIMIT, (edge,), note.bytes_max)
        yield Sample(metrics.INBOX_OLDEST, (edge,), round(note.oldest_s, 3))


def _spread(buckets: dict[int, int], total_s: float) -> Spread:
    """Return fine buckets as the coarse ones of the metric."""
    bounds = metrics.ZONE_SECONDS.bounds
    counts = [0] * (len(bounds) + 1)
    for number, count in buckets.items():
        counts[bisect_left(bounds, bucket_ends_s(number))] += count
    return Spread(tuple(counts), total_s)
