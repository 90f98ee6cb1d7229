"""What is known of a service's rollouts; kept as JSON by whoever drives them.

``draft -> [requalifying] -> qualifying -> shadow -> canary(i) -> bake -> live``, and besides
``held``, ``rolling_back``, ``rolled_back`` and ``quarantined``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from firedoor.rollout.guardrails import Trial

Phase = Literal[
    "draft", "requalifying", "qualifying", "shadow", "canary", "bake", "held",
    "rolling_back", "rolled_back", "quarantined", "live",
]  # fmt: skip
Hold = Literal[
    "", "no_evidence", "baseline_unhealthy", "no_verdict", "not_ready", "slices", "drill"
]
"""``no_evidence``: no gateway speaks. ``baseline_unhealthy``: the champion itself is sick.
``no_verdict``: a step took longer than it may. ``not_ready``: no gateway has it ready, or it is not
known yet what is slow. ``slices``: all is well, but some slices stayed with the champion, and only
a person can say what becomes of them. ``drill``: drills have not shown that what the last version
failed at stays in the service."""
WAITING_MAX = 10
ENDED_MAX = 50
SAID_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One version of the model."""

    version: int
    digest: str
    """Of its bundle."""
    content: str = ""
    """Of what it does: by it a quarantine knows it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One attempt to have a version go live."""

    number: int
    candidate: Target
    last_live: Target
    """What every way back leads to: the version that was live when it began."""
    by: str
    because: str = ""
    override: bool = False
    """Whether a person wants it live although the registry would not have it."""
    phase: Phase = "draft"
    was: Phase = "draft"
    """Where it goes on, of ``held``."""
    hold: Hold = ""
    step: int = 0
    """Of ``RolloutPolicy.steps``."""
    second_chance: bool = False
    """A version before it was rolled back: it is judged more strictly."""
    pack: str = ""
    """Evidence of that rollback, which it has to pass: the name of that rollout."""
    rolled_back_s: float = 0.0
    """When that was."""
    faults: tuple[str, ...] = ()
    """Of drills, that stand for what that version failed at; known once it is replayed."""
    undrilled: str = ""
    """What no drill has shown of it, in a sentence; empty: nothing is missing."""
    paused_by: str = ""
    started_s: float = 0.0
    step_from_s: float = 0.0
    """When the phase or step began, later by the time for which it was paused."""
    paused_from_s: float = 0.0
    canary_from_s: float | None = None
    """When it was first given real requests."""
    silent: int = 0
    """Looks in a row at which no gateway spoke."""
    alarms: int = 0
    """How often it looked wrong while it served everybody, and was compared again."""
    cutoffs: tuple[float, float] | None = None
    """The champion's 95th and 99th percentile, frozen, in seconds."""
    held_slices: tuple[str, ...] = ()
    trial: Trial = field(default_factory=Trial)
    verdict: str = ""
    """Why it ended, or ends."""
    guilty: bool = False
    """Whether its content is to be barred."""
    by_hand: bool = False
    """Whether a person said that it goes live; the registry has yet to be told."""

    @property
    def place(self) -> Phase:
        """Return the phase, or the one that a held one goes on with."""
        return self.was if self.phase == "held" else self.phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A rollout that is over."""

    name: str
    version: int
    content: str
    phase: Phase
    verdict: str
    at_s: float
    guilty: bool
    """Whether evidence or a hard fault ended it, and no person."""
    pack: int = 0
    """Requests that were kept for its successor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something that happened, in a sentence."""

    at_s: float
    what: str
    because: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """Everything about a service's rollouts. One is under way at most."""

    service: str
    live: Target | None = None
    """Who answers, unless a rollout gives somebody else a share."""
    previous: Target | None = None
    """Kept warm, to return to."""
    returning: bool = False
    """Whether the registry has yet to be told that ``live`` is live again."""
    current: Rollout | None = None
    waiting: tuple[Rollout, ...] = ()
    """Drafts, the oldest first, at most 10."""
    ended: tuple[Ended, ...] = ()
    """The latest last, at most 50."""
    said: tuple[Said, ...] = ()
    """The latest last, at most 20."""
    next_number: int = 1

    def name_of(self, rollout: Rollout) -> str:
        """Return ``predict-7``."""
        return f"{self.service}-{rollout.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Where requests go: what a route is made of."""

    mode: Literal["steady", "shadow", "canary"] = "steady"
    candidate: Target | None = None
    weight: float = 0.0
    step: int = 0
    mirror: float = 0.0
    held_slices: tuple[str, ...] = ()
    rollout: str = ""
    cutoffs: tuple[float, float] | None = None
