"""A fault of one service in one gateway: begun, renewed and ended where it is done.

Nothing of it is on the way of a request before it begins, nor after it ended. It ends by a timer of
this process, whatever became of the broker and of the drill; with the process ends all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from firedoor.compose.drilled_service import DrilledService
from firedoor.compose.injection import Injection
from firedoor.compute.affliction import WRONG_VERSION, Affliction
from firedoor.drill import lease as leases
from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.chance import hits
from firedoor.drill.fault import Fault
from firedoor.ports.clock import Clock
from firedoor.wire.fetching import Fetch
from firedoor.wire.serving import Ask

NO_FEATURES = "{} looks no features up: choose a service that does, or another fault"
NO_VERSION = "{} has no version that answers, to which that could be done: promote one first"


class ServiceFaults:
    """Injects what a drill wants of one service."""

    def __init__(
        self,
        service: str,
        drilled: DrilledService,
        injection: Injection,
        *,
        champion: Callable[[str], str],
        deafen: Callable[[str], Callable[[], None]],
        absolve: Callable[[str, str], None],
        clock: Clock,
    ) -> None:
        """Begin with nothing.

        Args:
            service: its name.
            drilled: what of it can be reached.
            injection: what is to be injected.
            champion: returns the digest of what a service answers by; empty: nothing.
            deafen: has flags of a service be heard of no more; returns what ends that.
            absolve: has a service forget what it holds against requests and against a version, by
                its digest, and what that answered.
            clock: that leases are on, ``CLOCK_MONOTONIC``.
        """
        self._service, self._drilled, self.injection = service, drilled, injection
        self._champion, self._deafen, self._absolve = champion, deafen, absolve
        self._clock = clock
        self._doing: Fault | None = None
        self._undo: Callable[[], None] = _nothing
        self._affliction: Affliction | None = None
        self._digest = ""
        self._hits_told = 0
        self._timer: asyncio.TimerHandle | None = None

    def apply(self) -> None:
        """Do what is in force now, and nothing else."""
        now_s = self._clock.now_s()
        fault = leases.in_force(self.injection.lease, now_s)
        doing = self._doing
        if doing is not None and (fault is None or fault.id != doing.id):
            self._end()
        if fault is None:
            return
        ends_s = leases.ends_s(self.injection.lease)
        if self._doing is None:
            self._begin(fault, ends_s)
        elif self._affliction is not None:
            self._affliction.renew(ends_s)
        self._count()
        if self._doing is not None:
            if fault.name == WRONG_VERSION:  # who was loading when it began has the right files
                self._drilled.end_workers(self._digest)
            self._arm(ends_s - now_s)

    def _arm(self, after_s: float) -> None:
        """Look again when the lease is over, if nobody renews it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after_s, self.apply)

    def _begin(self, fault: Fault, ends_s: float) -> None:
        """Do a fault from now on; say why, where it cannot be done."""
        why = ""
        match fault.name:
            case "latency":
                self._drilled.slow(lambda ask: self._delay_s(fault, ask))
                self._undo = lambda: self._drilled.slow(None)
            case "features_down" | "stale_features" if not self._drilled.has_features:
                why = NO_FEATURES.format(self._service)
            case "features_down":
                self._drilled.cut(lambda ask: self._away(fault, ask))
                self._undo = lambda: self._drilled.cut(None)
            case "stale_features":
                self._drilled.age(lambda keys: self._aged_s(fault, keys))
                self._undo = lambda: self._drilled.age(None)
            case "flags_down":
                self._undo = self._deafen(self._service)
                self.injection.hit()
            case name if CATALOGUE[name].at == "replica":
                why = self._afflict(fault, ends_s)
            case _:  # of an exporter, whose thread asks by itself
                self._undo = _nothing
        if why:
            self.injection.unable(why)
        else:
            self._doing = fault

    def _afflict(self, fault: Fault, ends_s: float) -> str:
        """Have workers of the version that answers do it to themselves; return why they cannot.

        Of the version that answers now: it is that version's fault, and another one that takes its
        place does not have it.
        """
        digest = self._champion(self._service)
        if not digest:
            return NO_VERSION.format(self._service)
        affliction = self._drilled.affliction(digest)
        try:
            affliction.begin(fault, ends_s)
        except ValueError as error:
            return str(error)
        self._affliction, self._digest, self._hits_told = affliction, digest, 0
        self._undo = affliction.end
        return ""

    def _end(self) -> None:
        """Have all be as it was."""
        self._undo()
        self._count()
        if self._affliction is not None:
            self._absolve(self._service, self._digest)
        self._doing, self._undo, self._affliction = None, _nothing, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self) -> None:
        """Count what workers say that they hit."""
        if self._affliction is not None:
            said = self._affliction.hits
            self.injection.hit(max(0, said - self._hits_told))
            self._hits_told = said

    # ---- what is done to requests

    def _delay_s(self, fault: Fault, ask: Ask) -> float:
        """Return by how much a request takes longer."""
        return fault.intensity if self._hit(fault, f"{ask.body!r}{ask.extra!r}") else 0.0

    def _away(self, fault: Fault, ask: Fetch) -> str:
        """Return why a store answers nothing."""
        hit = self._hit(fault, repr(ask.keys))
        return f"its store is away (a drill: {fault.id})" if hit else ""

    def _aged_s(self, fault: Fault, keys: str) -> float:
        """Return by how much features count as older."""
        return fault.intensity if self._hit(fault, keys) else 0.0

    def _hit(self, fault: Fault, key: str) -> bool:
        """Return whether something is hit, and count it."""
        hit = hits(fault, key)
        if hit:
            self.injection.hit()
        return hit


def _nothing() -> None:
    """Leave all as it is."""
