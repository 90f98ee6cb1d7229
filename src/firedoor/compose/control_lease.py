"""Who of several control processes drives rollouts: the one that says so each second.

Another one waits until it has said nothing for a while, or is seen to be dead on this machine.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

import msgspec
import psutil

from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

KEY = "control"
SAY_S = 1.0
STALE_S = 4.0


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The value of the beat ``control``."""

    host: str
    pid: int
    at_s: float


@dataclass(slots=True, kw_only=True)
class ControlLease:
    """The claim of one process."""

    clock: Clock
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    held: bool = False
    _mine: bytes | None = None
    _seen: bytes | None = None
    _seen_s: float = 0.0

    async def claim(self, streams: Streams) -> bool:
        """Say that this one drives, if nobody else does; return whether it does.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        seen, now_s = (await streams.beats(KEY)).get(KEY), self.clock.now_s()
        if seen != self._seen:
            self._seen, self._seen_s = seen, now_s
        free = seen is None or seen == self._mine or self._is_gone(seen, now_s)
        self.held = free and await self._say(streams, seen)
        return self.held

    async def _say(self, streams: Streams, seen: bytes | None) -> bool:
        """Say it in place of what was seen."""
        holder = Holder(host=self.host, pid=self.pid, at_s=self.clock.utc_s())
        mine = msgspec.json.encode(holder)
        if not await streams.claim(KEY, mine, seen):
            return False
        self._mine = self._seen = mine
        self._seen_s = self.clock.now_s()
        return True

    def _is_gone(self, seen: bytes, now_s: float) -> bool:
        """Return whether another one speaks no more."""
        try:
            holder = msgspec.json.decode(seen, type=Holder)
        except msgspec.MsgspecError:
            return now_s - self._seen_s >= STALE_S
        here = holder.host == self.host
        dead = here and (holder.pid == self.pid or not psutil.pid_exists(holder.pid))
        return dead or now_s - self._seen_s >= STALE_S
