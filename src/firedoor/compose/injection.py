"""The fault of one process: heard of by beats, a lease, counted, and said of oneself.

It looks by its own client of the broker, which no fault of a link is put before: so a drill that
takes a fault back is heard at once. Where the broker cannot be asked, the lease runs out here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from firedoor.drill import lease as leases
from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.fault_kind import Place, ZoneKind
from firedoor.drill.lease import NOTHING, POLL_S
from firedoor.drill.permission import Environment, why_not
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock

if TYPE_CHECKING:
    from firedoor.ports.streams import Streams

STRUCK_MAX = 1_000
"""Batches that are remembered to have been hit."""
SAID_S = 10.0
"""How long it is said that a fault is over."""


class Injection:
    """What is to be injected in one process of a zone. See ``ports.faults.Faults``."""

    def __init__(
        self,
        zone: str,
        kind: ZoneKind,
        clock: Clock,
        *,
        process: str,
        places: Iterable[Place],
        drills: Sequence[str] = (),
        supervisor: bool = False,
        poll_s: float = POLL_S,
    ) -> None:
        """Begin with nothing.

        Args:
            zone: whose process it is; ``broker`` and ``control`` are zones here.
            kind: what kind of zone.
            clock: the time.
            process: which process, in characters that a key may have.
            places: where in it something can be injected.
            drills: faults that the zone allows in production.
            supervisor: whether it injects what is left to whoever supervises.
            poll_s: how often it looks.
        """
        self.environment: Environment = "production"
        """Until it is known that it is not."""
        self.lease = NOTHING
        self._zone = zone
        self._kind: ZoneKind = kind
        self._clock = clock
        self._process = process
        self._places = frozenset(places)
        self._drills = tuple(drills)
        self._supervisor = supervisor
        self._poll_s = poll_s
        self._hits = 0
        self._since_s = 0.0
        self._ended_s: float | None = None
        self._struck: dict[str, str] = {}

    # ---- asked where it would strike

    def now(self, at: Place) -> Fault | None:
        """Return the fault that is to be injected at this place now, if any is."""
        if not self.lease.here:  # the usual answer, at no cost
            return None
        fault = leases.in_force(self.lease, self._clock.now_s())
        if fault is None or CATALOGUE[fault.name].at != at:
            return None
        return fault

    def ends_s(self) -> float:
        """Return when it ends if nothing more is heard."""
        return leases.ends_s(self.lease)

    def hit(self, count: int = 1) -> None:
        """Count what it hit."""
        self._hits += count

    def strike(self, batch: str, count: int = 1) -> None:
        """Note that it hits a batch."""
        if self.lease.fault is None:
            return
        self._hits += count
        self._struck[batch] = self.lease.fault.id
        if len(self._struck) > STRUCK_MAX:
            del self._struck[next(iter(self._struck))]

    def struck(self, batch: str) -> str:
        """Return the id of the fault that hit a batch lately."""
        return self._struck.get(batch, "")

    def forget(self, batch: str) -> None:
        """Take a batch, or its next attempt, for one that was not hit."""
        self._struck.pop(batch, None)

    def over(self, fault: str) -> bool:
        """Return whether a fault is not injected any more."""
        active = leases.in_force(self.lease, self._clock.now_s())
        return active is None or active.id != fault

    def unable(self, why: str) -> None:
        """Say that it cannot be injected here."""
        self.lease = leases.refuse(self.lease, why)

    # ---- looking and telling

    async def follow(self, streams: Streams) -> None:
        """Look what is to be injected, and say what is, for ever."""
        while True:
            await self.look(streams)
            await self._clock.wait(self._poll_s)

    async def look(self, streams: Streams) -> None:
        """Look once; a broker that does not answer has said nothing."""
        key = f"{leases.PREFIX}{self._zone}"
        with contextlib.suppress(FiredoorError):
            self.hear((await streams.beats(key)).get(key))
        with contextlib.suppress(FiredoorError):
            await self._say(streams)

    def hear(self, value: bytes | None) -> None:
        """Take what is said under the zone's key; what cannot be read is nothing."""
        fault = None
        with contextlib.suppress(msgspec.DecodeError):
            fault = msgspec.json.decode(value, type=Fault) if value else None
        if fault is not None and not leases.is_for(fault, supervisor=self._supervisor):
            fault = None
        before = self.lease
        self.lease = leases.heard(before, fault, self._clock.now_s())
        known = "" if before.fault is None else before.fault.id
        if self.lease.fault is None or self.lease.fault.id == known:
            return
        self._hits, self._since_s, self._ended_s = 0, self._clock.utc_s(), None
        self.lease = replace(self.lease, refused=self._why_not(self.lease.fault))

    def _why_not(self, fault: Fault) -> str:
        """Return why a fault may not be injected here; empty: it may."""
        why = why_not(
            fault, zone_kind=self._kind, environment=self.environment, drills=self._drills
        )
        if why:
            return why
        at = CATALOGUE[fault.name].at
        if at in self._places:
            return ""
        return f"{fault.name} is injected by the {at} of a zone, and {self._zone} has none here"

    async def _say(self, streams: Streams) -> None:
        """Say what is injected, what is refused, and for a while what is over."""
        fault = self.lease.fault
        if fault is None:
            return
        active = leases.in_force(self.lease, self._clock.now_s()) is not None
        over = not active and not (self.lease.refused and self.lease.here)
        if not over:
            self._ended_s = None
        elif self._ended_s is None:
            self._ended_s = self._clock.now_s()
        elif self._clock.now_s() - self._ended_s >= SAID_S:
            return
        said = Injected(
            id=fault.id, name=fault.name, zone=self._zone, process=self._process,
            since_s=self._since_s, hits=self._hits, refused=self.lease.refused, over=over,
        )  # fmt: skip
        await streams.beat(f"injected.{self._zone}.{self._process}", msgspec.json.encode(said))
