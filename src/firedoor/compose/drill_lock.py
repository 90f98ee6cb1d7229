"""One drill at a time: the beat ``drill``, claimed and renewed by whoever drills."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

import msgspec
import psutil

from firedoor.compose.drill_watch import HOLDER, Holder, decoded
from firedoor.errors import ProjectBusy
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

RENEW_S = 3.0
"""Of a beat that is forgotten after 10 s."""


@dataclass(slots=True, kw_only=True)
class DrillLock:
    """The claim of one drill."""

    drill: str
    by: str
    clock: Clock
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    _mine: bytes | None = None
    _said_s: float = 0.0

    async def take(self, streams: Streams) -> None:
        """Claim the pipeline.

        Raises:
            ProjectBusy: if another drill is at work.
            StreamsUnavailable: if the broker is away.
        """
        seen = (await streams.beats(HOLDER)).get(HOLDER)
        if not self._is_gone(seen) or not await self._say(streams, seen):
            raise ProjectBusy(self._busy(seen))

    async def renew(self, streams: Streams) -> str:
        """Say that it goes on, if that is due; return who has taken it over, empty: nobody.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        if self.clock.now_s() - self._said_s < RENEW_S:
            return ""
        seen = (await streams.beats(HOLDER)).get(HOLDER)
        if seen is not None and seen != self._mine:
            holder = decoded(seen, Holder)
            return f"drill {holder.drill} of {holder.by}" if holder else "another drill"
        # gone: the broker began anew and has forgotten all beats
        return "" if await self._say(streams, seen) else "another drill"

    async def _say(self, streams: Streams, seen: bytes | None) -> bool:
        """Say it in place of what was seen."""
        word = Holder(
            drill=self.drill, by=self.by, host=self.host, pid=self.pid, at_s=self.clock.utc_s()
        )
        mine = msgspec.json.encode(word)
        if not await streams.claim(HOLDER, mine, seen):
            return False
        self._mine, self._said_s = mine, self.clock.now_s()
        return True

    def _is_gone(self, seen: bytes | None) -> bool:
        """Return whether nobody drills: it died here, and its beat has not gone yet."""
        holder = decoded(seen, Holder)
        if seen is None or holder is None:
            return seen is None
        return holder.host == self.host and not psutil.pid_exists(holder.pid)

    def _busy(self, seen: bytes | None) -> str:
        """Return what to say to the second of two drills."""
        holder = decoded(seen, Holder)
        who = "another drill"
        if holder is not None:
            who = f"drill {holder.drill} of {holder.by} ({holder.host}, process {holder.pid})"
        return (
            f"{who} is at work in this pipeline: wait for it, or end it with `firedoor drill stop`"
        )
