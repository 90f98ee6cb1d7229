"""What the controller of rollouts needs of the registry, of gateways and of drills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from firedoor.rollout.drilled import Drilled
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.state import Target
from firedoor.wire.route import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVersion:
    """Who is live by the registry."""

    live: Target | None
    previous: Target | None = None
    by: str = ""
    """Who made it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVersion:
    """A version that somebody wants rolled out."""

    target: Target
    barred: str = ""
    """Why its content is quarantined; empty: it is not."""
    unqualified: str = ""
    """``is a candidate``: why it may not go live; empty: it may."""


class Versions(Protocol):
    """What rollouts need of the registry, for one model.

    Any of it raises ``ModelsUnavailable`` if the registry cannot be reached.
    """

    async def standing(self) -> LiveVersion:
        """Return who is live."""
        ...

    async def find(self, version: int | None) -> FoundVersion:
        """Return a version; of None the challenger. Raises ``NotKnown`` if there is none."""
        ...

    async def promote(self, version: int, *, because: str, anyway: bool) -> None:
        """Have it be the champion; one that is already is fine.

        ``anyway``: a person said so, although it is not qualified or was compared with another.

        Raises:
            ModelRefused: if it may not; the rollout ends.
        """
        ...

    async def quarantine(self, version: int, *, because: str) -> None:
        """Bar its content; one that is barred already is fine."""
        ...

    async def roll_back(self, of: int, *, because: str) -> None:
        """Have the version before ``of`` be the champion; where it is already, fine."""
        ...


class Replayer(Protocol):
    """Replays what a rollback kept."""

    async def replay(self, pack: str, candidate: Arm) -> ReplayOutcome:
        """Replay the requests that were kept of a rollout on a candidate, as a tester."""
        ...


class Drills(Protocol):
    """What drills have shown of one service."""

    async def last(self, faults: Sequence[str]) -> tuple[Drilled, ...]:
        """Return what the last drill of each fault showed; what was never drilled is left out.

        Raises nothing: a drill that cannot be read is none.
        """
        ...
