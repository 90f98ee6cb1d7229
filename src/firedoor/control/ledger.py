"""Read the ledger: both books as one, in the order in which things happened.

What is read is a list of what happened; how something is now is a fold of it. Entries of a process
are numbered without gaps, so that what was lost on the way is known, and how much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from firedoor.events.happened import Happened
from firedoor.events.kinds import BOOKS, Book
from firedoor.events.pace import HELD
from firedoor.ports.streams import Streams

READ_MAX = 100_000
"""Entries of a book that are held at once: the newest."""
PROCESSES_MAX = 10_000


@dataclass(slots=True, kw_only=True)
class LedgerReader:
    """Goes through the ledger, and goes on where it was."""

    streams: Streams
    zone: str | None = None
    """Only of this zone or service; None: all."""
    kinds: tuple[str, ...] = ()
    """Only these, or those that begin so: ``zone``, ``zone.state``; empty: all."""
    since_s: float = 0.0
    """Only what was written since then (UTC), which is after it happened."""
    _after: dict[Book, int] = field(default_factory=lambda: dict.fromkeys(BOOKS, 0))

    async def fresh(self) -> list[Happened]:
        """Return what was written since the last call, in the order in which it happened.

        Raises:
            StreamsUnavailable: if the broker is away. Nothing is skipped by that.
        """
        found: list[Happened] = []
        after = dict(self._after)
        for book in BOOKS:
            newest: deque[Happened] = deque(maxlen=READ_MAX)
            entries = self.streams.entries(
                book, after=after[book], since_s=self.since_s, zone=self.zone
            )
            async for entry in entries:
                after[book] = entry.place
                if is_of(entry.happened, self.kinds):
                    newest.append(entry.happened)
            found += newest
        self._after = after
        return in_order(found)


def is_of(happened: Happened, kinds: Sequence[str]) -> bool:
    """Return whether an entry is of one of these kinds, or of one that begins so.

    >>> is_of(Happened(at_s=0, kind="zone.state", text=""), ("zone", "flag"))
    True
    """
    return not kinds or any(f"{happened.kind}.".startswith(f"{kind}.") for kind in kinds)


def in_order(found: Iterable[Happened]) -> list[Happened]:
    """Return entries as they happened."""
    return sorted(found, key=lambda one: (one.at_s, one.process, one.sequence))


@dataclass(frozen=True, slots=True)
class Missing:
    """Entries of one process that are not in the ledger."""

    process: str
    count: int
    told: int
    """Of them, that its journal says it had no room for."""


def missing(found: Iterable[Happened]) -> list[Missing]:
    """Return whose entries are not all among those found, which have to be all that there are.

    The first ones of a process may be past retention, and are not counted.
    """
    seen: dict[str, set[int]] = {}
    told: dict[str, int] = {}
    for one in found:
        if one.process not in seen and len(seen) >= PROCESSES_MAX:
            continue
        seen.setdefault(one.process, set()).add(one.sequence)
        lost = one.facts.get("lost", 0)
        if one.kind == "gap" and one.about == one.process and isinstance(lost, int):
            told[one.process] = told.get(one.process, 0) + lost
    gaps: list[Missing] = []
    for process, sequences in seen.items():
        first = 1 if told.get(process) else min(sequences)
        count = max(sequences) - first + 1 - len(sequences)
        if count > 0:
            gaps.append(Missing(process, count, min(count, told.get(process, 0))))
    return gaps


def told_of(happened: Happened) -> str:
    """Return an entry in a sentence: what, whose fault, who and why, for how many it stands."""
    text = " ".join(happened.text.split())
    if happened.before or happened.after:
        text += f" ({happened.before or '-'} -> {happened.after or '-'})"
    if happened.cause:
        text += f"; because of {happened.cause}"
    if happened.by or happened.because:
        text += f"; {': '.join(filter(None, (happened.by, happened.because)))}"
    held = happened.facts.get(HELD)
    return f"{text} (and {held} more like it)" if held else text
