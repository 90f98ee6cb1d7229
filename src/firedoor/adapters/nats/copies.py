"""Examine the copies of streams in a cluster: whether there are enough, and none is left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from firedoor.adapters.nats.answers import StreamInfo
from firedoor.adapters.nats.configs import COPIES, NANOS
from firedoor.compute.doctor import Finding

AWAY_S = 5.0
"""Leaders hear from those that follow them each second."""
BEHIND_MAX = 100
"""Entries: those that are on their way do not count."""


def examine_copies(streams: Sequence[StreamInfo], missing: Iterable[str]) -> list[Finding]:
    """Say which streams are kept too few times, and which servers are away or lag behind.

    Args:
        streams: of a cluster, asked just now.
        missing: names of those of which nobody told.
    """
    found = [*_few(streams), *_headless(streams, missing), *_servers(streams)]
    if not found:
        told = f"each of {len(streams)} streams is kept at least {COPIES} times"
        found = [Finding(topic="copies", verdict="ok", found=told)]
    return found


def _few(streams: Sequence[StreamInfo]) -> Iterator[Finding]:
    """Name streams that are to be kept too few times."""
    few = [info.config for info in streams if info.config.num_replicas < COPIES]
    if few:
        names = ", ".join(f"{config.name} ({config.num_replicas})" for config in few)
        remedy = "the next run makes it three, and `firedoor broker declare` does so at once"
        yield _weaker("copies", f"kept less than {COPIES} times: {names}", remedy)


def _headless(streams: Sequence[StreamInfo], missing: Iterable[str]) -> Iterator[Finding]:
    """Name streams that nobody can write to."""
    told = [info.config.name for info in streams if info.cluster and not info.cluster.leader]
    names = [*missing, *told]
    if names:
        found = f"{', '.join(names)} have no leader: most of the servers that keep them are away"
        remedy = "start them; until then nothing is stored there, and nothing is lost"
        yield Finding(topic="copies", verdict="missing", found=found, remedy=remedy)


def _servers(streams: Sequence[StreamInfo]) -> Iterator[Finding]:
    """Name servers that are away, or lag behind."""
    away: dict[str, list[float]] = {}
    behind: dict[str, list[int]] = {}
    for copy in (copy for info in streams if info.cluster for copy in info.cluster.replicas):
        silent_s = copy.active / NANOS
        if copy.offline or (not copy.current and silent_s > AWAY_S):
            away.setdefault(copy.name, []).append(silent_s)
        elif copy.lag > BEHIND_MAX:
            behind.setdefault(copy.name, []).append(copy.lag)
    for name, silences in sorted(away.items()):
        found = f"away for {min(silences):.0f} s: {len(silences)} streams have a copy less"
        yield _weaker(f"server {name}", found, "start it: no other may fail while it is away")
    for name, lags in sorted(behind.items()):
        found = f"up to {max(lags):,} entries behind in {len(lags)} streams"
        remedy = "it catches up by itself; if not, look at its disk, its load and its network"
        yield _weaker(f"server {name}", found, remedy)


def _weaker(topic: str, found: str, remedy: str) -> Finding:
    """Return a finding that hurts nobody yet."""
    return Finding(topic=topic, verdict="weaker", found=found, remedy=remedy)
