"""What all processes of a zone have counted since the last look, from the totals that they say."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from firedoor.events.objective import INDICATORS, Indicator, Kept, Objectives

PREFIX = "objective."
PROCESSES_MAX = 1_000
"""Of which the last totals are remembered; beyond that the one that spoke the longest ago goes."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a process said last."""

    boot: str
    at_s: float
    kept: dict[Indicator, Kept] = {}


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a zone's processes have counted since the last look."""

    states: tuple[str, ...]
    """Of those that speak now."""
    kept: dict[Indicator, Kept]
    heard: bool = True
    """Whether any of them has spoken since then: what a dead one said last is there for a while."""
    known: bool = True
    """Whether it all came since the last look; False: the first look at some process."""


class Tallies:
    """Takes differences of totals, so that nothing is lost or counted twice."""

    def __init__(self, seen: Mapping[str, Seen] | None = None) -> None:
        """Begin with what was seen by who looked before; None: nobody did."""
        self.seen: dict[str, Seen] = dict(seen or {})
        self._fresh = True

    def look(self, beats: Mapping[str, bytes]) -> dict[str, Counted]:
        """Return by zone what was counted since, of all processes that speak now.

        A process that begins anew counts from nothing. What processes have counted before anybody
        looked for the first time is told, but is no event of now: ``known`` is False.
        """
        found: dict[str, Counted] = {}
        for key, value in beats.items():
            said = _read(value) if key.startswith(PREFIX) else None
            if said is None:
                continue
            last = self.seen.get(f"{said.zone}.{said.process}")
            heard = last is None or (last.boot, last.at_s) != (said.boot, said.at_s)
            kept, known = self._since(said)
            before = found.get(said.zone)
            found[said.zone] = Counted(
                states=(*before.states, said.state) if before else (said.state,),
                kept={name: _plus(before.kept[name], kept[name]) for name in INDICATORS}
                if before
                else kept,
                heard=heard or (before is not None and before.heard),
                known=known and (before is None or before.known),
            )
        self._fresh = False
        return found

    def _since(self, said: Objectives) -> tuple[dict[Indicator, Kept], bool]:
        """Return what a process has counted since, and whether that is of now."""
        key = f"{said.zone}.{said.process}"
        now = {
            "availability": said.availability,
            "latency": said.latency,
            "freshness": said.freshness,
        }
        totals: dict[Indicator, Kept] = {name: now[name] for name in INDICATORS}
        before = self.seen.pop(key, None)
        self.seen[key] = Seen(boot=said.boot, at_s=said.at_s, kept=totals)
        if len(self.seen) > PROCESSES_MAX:
            del self.seen[next(iter(self.seen))]
        if before is None or before.boot != said.boot:
            return totals, not self._fresh
        since = {name: _minus(totals[name], before.kept.get(name, Kept())) for name in INDICATORS}
        return since, not self._fresh


def _plus(one: Kept, other: Kept) -> Kept:
    """Return both together."""
    causes = {*one.inherited, *other.inherited}
    return Kept(
        good=one.good + other.good,
        own=one.own + other.own,
        inherited={
            cause: one.inherited.get(cause, 0) + other.inherited.get(cause, 0)
            for cause in sorted(causes)
        },
    )


def _minus(now: Kept, before: Kept) -> Kept:
    """Return what was added; nothing less than nothing, whatever a process says."""
    return Kept(
        good=max(0, now.good - before.good),
        own=max(0, now.own - before.own),
        inherited={
            cause: count - before.inherited.get(cause, 0)
            for cause, count in now.inherited.items()
            if count > before.inherited.get(cause, 0)
        },
    )


def _read(value: bytes) -> Objectives | None:
    """Return what a process says; None for what another version says."""
    try:
        return msgspec.json.decode(value, type=Objectives)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
