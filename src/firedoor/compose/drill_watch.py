"""Look each second at what zones say of themselves, at what is injected, and at whether to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from firedoor.drill.fault import Injected
from firedoor.drill.job_runs import JobSaid
from firedoor.drill.measured import Measured, Meter
from firedoor.errors import StreamsUnavailable
from firedoor.events.objective import Objectives
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

OBJECTIVE = "objective."
INJECTED = "injected."
RUNS = "runs."
HOLDER = "drill"
"""The beat of the drill that is at work."""
STOP = "drill.stop"
"""The beat by which somebody stops drills."""
T = TypeVar("T")


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the beat ``drill``: who drills this pipeline now."""

    drill: str
    by: str
    host: str
    pid: int
    at_s: float


class StopWord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``drill.stop``."""

    by: str
    because: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen in a second."""

    made: Mapping[str, Measured]
    """What each zone did since the last look that was answered."""
    injected: tuple[Injected, ...]
    jobs: tuple[JobSaid, ...]
    stop: str
    """Who wants drills to stop; empty: nobody."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """The eyes of a drill."""

    streams: Streams
    clock: Clock
    began_s: float
    """UTC: what was to stop before then stopped another drill."""
    away_s: float = 0.0
    """For so long the broker has not answered."""
    _meter: Meter = field(default_factory=Meter)
    _looked_s: float = 0.0

    async def begin(self) -> None:
        """Take totals to count from.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        beats = await self.streams.beats("")
        self._looked_s = self.clock.now_s()
        self._meter.begin(_read(beats, OBJECTIVE, Objectives), self._looked_s)

    async def look(self) -> Look | None:
        """Return what came since the last look; None: the broker does not answer."""
        try:
            beats = await self.streams.beats("")
        except StreamsUnavailable:
            self.away_s = self.clock.now_s() - self._looked_s
            return None
        now_s = self.clock.now_s()
        since_s, self._looked_s, self.away_s = now_s - self._looked_s, now_s, 0.0
        totals = list(_read(beats, OBJECTIVE, Objectives))
        return Look(
            made=self._meter.take(totals, now_s, since_s),
            injected=tuple(_read(beats, INJECTED, Injected)),
            jobs=tuple(_read(beats, RUNS, JobSaid)),
            stop=self._stop(beats.get(STOP)),
        )

    def _stop(self, value: bytes | None) -> str:
        """Return who wants this drill to stop."""
        word = decoded(value, StopWord)
        if word is None or word.at_s < self.began_s:
            return ""
        return f"{word.by} stopped it" + (f": {word.because}" if word.because else "")


def _read(beats: Mapping[str, bytes], prefix: str, kind: type[T]) -> Iterator[T]:
    """Give what is said under keys that begin so; what cannot be read is left out."""
    for key, value in beats.items():
        word = decoded(value, kind) if key.startswith(prefix) else None
        if word is not None:
            yield word


def decoded(value: bytes | None, kind: type[T]) -> T | None:
    """Return a value as what it should be; None for nothing, or for what another version says."""
    try:
        return msgspec.json.decode(value, type=kind) if value else None
    except msgspec.MsgspecError:
        return None
