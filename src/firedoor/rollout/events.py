"""What happens to a rollout, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass, field

from firedoor.rollout.counts import Look
from firedoor.rollout.drilled import Drilled
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.state import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Somebody wants a version rolled out."""

    candidate: Target
    by: str
    because: str = ""
    supersede: bool = False
    override: bool = False
    second: str = ""
    """Who agrees, where two people are needed."""
    barred: str = ""
    """Why its content is quarantined; empty: it is not."""
    unqualified: str = ""
    """Why it may not go live by the registry; empty: it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Somebody wants its share to stay what it is. It is judged all the same."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Somebody wants it to go on."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """Somebody wants it to end, and everybody to be served by the version that was live."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotedByHand:
    """Somebody wants it live, whatever evidence there is."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBackByHand:
    """Somebody wants what was live before: the rollout under way ended, or else the last one."""

    by: str
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Time for a look."""

    look: Look = field(default_factory=Look)
    ready: bool = False
    """Whether every gateway that speaks has the candidate ready."""
    cutoffs: tuple[float, float] | None = None
    """The champion's 95th and 99th percentile now, in seconds; None: of too few answers."""
    drills: tuple[Drilled, ...] = ()
    """The last one of each fault that a rollout waits for; of one that waits for none, ()."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """A gateway met a hard fault of the candidate."""

    rollout: str
    kind: str
    """``crash_loop``, ``non_finite``, ``misshaped``, ``unloadable`` or ``killed``."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The evidence of the last rollback was replayed on the candidate."""

    rollout: str
    outcome: ReplayOutcome
    drills: tuple[Drilled, ...] = ()
    """The last one of each fault that stands for what the last version failed at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The registry did what was wanted of it about a version: it is live, or barred."""

    what: str
    """``promote``, ``quarantine`` or ``return``."""
    version: int
    pack: int = 0
    """Requests kept of it, when it was quarantined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """The registry refuses, for good, what was wanted of it about a version."""

    what: str
    version: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChanged:
    """The registry has another champion than before, by somebody's hand."""

    live: Target
    previous: Target | None = None
    by: str = ""


Event = (
    Started | Paused | Resumed | Aborted | PromotedByHand | RolledBackByHand | Looked | Tripped
    | Replayed | Done | Unable | LiveChanged
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Have a version be the champion. Said again at each look until it is done."""

    version: int
    because: str
    anyway: bool = False
    """Although it is not qualified: a person said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Bar a version's content. Said again at each look until it is done."""

    version: int
    because: str
    pack: str
    """Name of the rollout, whose failing requests are to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Have the version that was live before be the champion again."""

    of: int
    """The version that is the champion by the registry."""
    to: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Replay what an earlier rollback kept on the candidate."""

    rollout: str
    pack: str
    candidate: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Write down what happened, and tell who cares."""

    what: str
    """``rollout started``, ``order refused``, ``rollout held`` ..."""
    because: str
    by: str = ""
    before: str = ""
    after: str = ""


Command = Promote | Quarantine | Return | Replay | Note
