"""Do what the machine wants done: tell the registry, write down what happened."""

from __future__ import annotations

from collections.abc import Callable

from firedoor.control import changes
from firedoor.errors import (
    ArtifactsFull,
    BundleDamaged,
    ChangedMeanwhile,
    DeclarationError,
    LedgerFull,
    ModelRefused,
    NotKnown,
)
from firedoor.ports.rollouts import Versions
from firedoor.ports.streams import Streams
from firedoor.rollout.events import Done, Event, Note, Promote, Quarantine, Return, Unable
from firedoor.wire.change import Change

BY = "firedoor"
REFUSALS = (ModelRefused, NotKnown, BundleDamaged, ArtifactsFull, DeclarationError)


async def tell_registry(
    command: Promote | Quarantine | Return, versions: Versions, *, kept: int
) -> Event | None:
    """Do it, and return what became of it; None: somebody else changed the model, look again.

    Args:
        command: what is wanted.
        versions: the registry.
        kept: failing requests that gateways keep of the candidate.

    Raises:
        ModelsUnavailable: if it cannot be asked. The machine says it again.
    """
    version = command.of if isinstance(command, Return) else command.version
    what = type(command).__name__.lower()
    try:
        match command:
            case Promote(because=because, anyway=anyway):
                await versions.promote(version, because=because, anyway=anyway)
            case Quarantine(because=because):
                await versions.quarantine(version, because=because)
            case Return(because=because):
                await versions.roll_back(version, because=because)
    except ChangedMeanwhile:
        return None
    except REFUSALS as error:
        return Unable(what=what, version=version, because=str(error))
    return Done(what=what, version=version, pack=kept)


async def write_down(
    note: Note, streams: Streams, *, service: str, at_s: float, tell: Callable[[str], None]
) -> None:
    """Keep a change for good, and say a line. A ledger that is full stops no rollout.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    by = f" ({note.by})" if note.by else ""
    change = Change(
        at_s=at_s, by=note.by or BY, because=note.because, what=note.what, about=service,
        before=note.before, after=note.after,
    )  # fmt: skip
    try:
        await changes.record(streams, change)
    except LedgerFull as full:
        tell(f"{service}: what follows is written down nowhere else: {full}")
    tell(f"{service}: {note.what}{by}: {note.because}")
