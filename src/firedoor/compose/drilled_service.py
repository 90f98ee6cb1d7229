"""What a gateway has of one service that a drill can reach: workers, the way to them, look-ups.

Requests do not come by here. As long as nobody drills, nothing stands in their way.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from firedoor.compose.slow_link import Delay
from firedoor.compose.store_link import Away, StoreLink
from firedoor.compute.affliction import Affliction
from firedoor.gateway.features import FeatureLookups
from firedoor.ports.variants import VariantFacts


class Reached(Protocol):
    """A version that is held: ``compose.opening.CopiedVariant``."""

    digest: str

    @property
    def facts(self) -> VariantFacts:
        """How it is now."""
        ...

    def slow(self, delay_s: Delay | None) -> None:
        """Have requests take longer on their way to it; None: no more."""
        ...


class DrilledService:
    """One service of a gateway, as a drill sees it. Used from one event loop."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._versions: WeakSet[Reached] = WeakSet()
        self._afflictions: WeakValueDictionary[str, Affliction] = WeakValueDictionary()
        self._delay_s: Delay | None = None
        self._stores: list[StoreLink] = []
        self._lookups: FeatureLookups | None = None

    # ---- told by whoever opens them

    def held(self, version: Reached) -> None:
        """Know a version."""
        self._versions.add(version)
        version.slow(self._delay_s)

    def looks_up(self, lookups: FeatureLookups, stores: list[StoreLink]) -> None:
        """Know the look-ups."""
        self._lookups, self._stores = lookups, stores

    # ---- reached by a drill

    @property
    def has_features(self) -> bool:
        """Whether features are looked up."""
        return self._lookups is not None

    def affliction(self, digest: str) -> Affliction:
        """Return what is done to workers of a version, those that come included."""
        found = self._afflictions.get(digest)
        if found is None:
            found = self._afflictions[digest] = Affliction()
        return found

    def end_workers(self, digest: str) -> None:
        """End the workers of a version as if from outside: others come."""
        for version in self._versions:
            for pid in version.facts.pids if version.digest == digest else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def slow(self, delay_s: Delay | None) -> None:
        """Have requests take longer on their way to any version; None: no more."""
        self._delay_s = delay_s
        for version in self._versions:
            version.slow(delay_s)

    def cut(self, away: Away | None) -> None:
        """Have stores of features be away; None: no more."""
        for store in self._stores:
            store.away = away
        if away is None and self._lookups is not None:
            self._lookups.absolve()

    def age(self, ageing: Callable[[str], float] | None) -> None:
        """Have features count as older than they are; None: no more."""
        if self._lookups is not None:
            self._lookups.ageing = ageing
