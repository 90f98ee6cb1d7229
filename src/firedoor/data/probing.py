"""What the processes of one zone share while a dependency is away: one pause, and one prober.

Whoever finds it away has the broker pause the zone's inboxes until its next probe is due: the pause
ends by itself, should the process die. Before a probe a process claims the lease under
``probe.<zone>``; the others wait for its word. Whoever gets through says so there, and all go on.
What one process finds is taken to hold for all of the zone's. A process that cannot reach the
broker goes on by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.errors import FiredoorError
from firedoor.flow.zone import Deferred, Relieved
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Inbox, Streams

LOOK_S = 0.5
"""Longest time between two looks while a dependency is away."""
MOMENT_S = 0.02
LEASE_S = 5.0
"""How much longer than until its next probe a process keeps the lease. With the longest wait
between two probes it is shorter than a beat is heard."""
HEARD_S = 8.0
"""Longest lease: a beat that nobody repeats is gone after 10 s."""


class Lease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said under ``probe.<zone>``. Times are in seconds since 1970."""

    holder: str
    until_s: float
    through_s: float = 0.0
    """When it got through last; 0: it did not."""


class Probing:
    """Says when this process may probe, and keeps the inboxes paused meanwhile."""

    def __init__(
        self,
        streams: Streams,
        inboxes: Sequence[Inbox],
        clock: Clock,
        *,
        conduct: Conduct,
        replica: str,
    ) -> None:
        """Begin: nothing is away."""
        self._streams = streams
        self._inboxes = inboxes
        self._clock = clock
        self._conduct = conduct
        self._replica = replica
        self._key = f"probe.{conduct.plan.name}"
        self._granted_s: float | None = None
        """The probe that may be made, by when it was due."""
        self._held = False
        """Whether the lease is, or was, this process's."""
        self._away_s: float | None = None
        """Since when a dependency is away (UTC)."""
        self._paused_s: float | None = None
        """The probe until which the inboxes are paused."""

    @property
    def granted(self) -> bool:
        """Whether a probe that is due may be made: always where no dependency is away."""
        probe = self._conduct.state.probe
        return not self._away or (probe is not None and probe.due_s == self._granted_s)

    async def run(self) -> None:
        """Follow the zone's state, for ever."""
        while True:
            due_in_s = None if self.granted else self._conduct.probe_in_s()
            wait_s = LOOK_S if due_in_s is None else max(MOMENT_S, due_in_s)
            await self._conduct.bell.wait(min(LOOK_S, wait_s))
            try:
                await self._follow()
            except FiredoorError:  # the broker is away, or refuses: each goes on by itself
                self._grant()

    @property
    def _away(self) -> bool:
        """Whether a dependency is away."""
        trouble = self._conduct.state.trouble
        return trouble is not None and trouble.quick

    async def _follow(self) -> None:
        """Do what the zone's state asks for."""
        if not self._away:
            if self._away_s is not None:
                await self._end()
            return
        if self._away_s is None:
            self._away_s = self._clock.utc_s()
        state = self._conduct.state
        if state.out or state.probe is None:
            return
        await self._pause(state.probe.due_s)
        if not self.granted:
            await self._listen()

    async def _pause(self, due_s: float) -> None:
        """Have the broker deliver nothing until a probe is due."""
        wait_s = due_s - self._clock.now_s()
        if due_s == self._paused_s or wait_s <= 0:
            return
        self._paused_s = due_s
        for inbox in self._inboxes:
            await inbox.pause(wait_s)

    async def _listen(self) -> None:
        """Hear whether another process got through; claim the lease when a probe is due."""
        said, lease = await self._read()
        others = lease if lease is not None and lease.holder != self._replica else None
        assert self._away_s is not None, "it is away"
        if others is not None and others.through_s > self._away_s:
            self._conduct.tell(Relieved())
            return
        due_in_s = self._conduct.probe_in_s()
        if due_in_s is None or due_in_s > 0:
            return
        now_s = self._clock.utc_s()
        if others is not None and others.until_s > now_s:
            self._conduct.tell(Deferred(min(LOOK_S, others.until_s - now_s)))
            return
        if await self._claim(said, self._next_s()):
            self._held = True
            self._grant()
            await self._deliver()

    async def _end(self) -> None:
        """Say that it got through; have the inboxes deliver again."""
        self._away_s = self._paused_s = self._granted_s = None
        held, self._held = self._held, False
        await self._deliver()
        if held:
            now_s = self._clock.utc_s()
            lease = Lease(holder=self._replica, until_s=now_s, through_s=now_s)
            await self._streams.beat(self._key, msgspec.json.encode(lease))

    async def _deliver(self) -> None:
        """End the pause: its deadline is on this machine's clock, which the broker's may not be."""
        for inbox in self._inboxes:
            await inbox.pause(0)

    async def _read(self) -> tuple[bytes | None, Lease | None]:
        """Return what is said under the lease's key."""
        said = (await self._streams.beats(self._key)).get(self._key)
        try:
            return said, None if said is None else msgspec.json.decode(said, type=Lease)
        except msgspec.DecodeError:
            return said, None

    async def _claim(self, said: bytes | None, lease_s: float) -> bool:
        """Take the lease, if it is still as it was read."""
        until_s = self._clock.utc_s() + lease_s
        lease = Lease(holder=self._replica, until_s=until_s)
        return await self._streams.claim(self._key, msgspec.json.encode(lease), said)

    def _next_s(self) -> float:
        """Return how long the lease has to hold: until the probe after this one, and a while."""
        probe = self._conduct.state.probe
        wait_s = 0.0 if probe is None else probe.wait_s
        return min(wait_s + LEASE_S, HEARD_S)

    def _grant(self) -> None:
        """Let the next probe be made when it is due."""
        probe = self._conduct.state.probe
        if probe is not None and not self.granted:
            self._granted_s = probe.due_s
            self._conduct.bell.ring()
